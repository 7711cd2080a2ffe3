"""The study's tables, each as lines of Markdown."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.sgdr_study.answers import (
    Experiment,
    against,
    best_epoch,
    choices,
    gains,
    restarted,
    restarts,
    ruler_of,
    targets,
    warmed_pairs,
)
from benchmarks.sgdr_study.paired import Difference, difference, holm, mean_interval, spread
from benchmarks.sgdr_study.results import Members, Result, Runs, lowest

SURE = 0.05
DEAD = 0.05
"""A language model that ends within so many nats of the unigram floor has learned nothing but frequencies."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def starred(rows: Sequence[Sequence[Difference | None]], digits: int = 2) -> list[list[str]]:
    """Return the differences of one table as text, with a star where Holm's method leaves p below 0.05.

    Runs that were the same up to there (the same lr so far) are no comparison.
    """
    compared = [each for row in rows for each in row if each is not None and not each.same]
    sure = {id(each) for each, p in zip(compared, holm([each.p for each in compared]), strict=True) if p < SURE}
    return [
        ["" if each is None else each.told(digits) + (" *" if id(each) in sure else "") for each in row] for row in rows
    ]


def grid_table(results: Sequence[Result]) -> list[str]:
    """Return the validation loss that each lr of the grid reached, by schedule; the chosen one in bold."""
    chosen = lowest(results)
    lrs = sorted({one.lr for one in results})
    losses = {(one.schedule, one.lr): f"{one.value('val_loss'):.4f}" for one in results}
    rows = [
        [name, *(f"**{losses[name, lr]}**" if lr == best else losses.get((name, lr), "") for lr in lrs)]
        for name, best in chosen.items()
    ]
    return table(["validation loss", *(f"lr {lr:g}" for lr in lrs)], rows)


def rate_table(groups: Mapping[str, tuple[Runs, Experiment]], others: Mapping[str, Runs]) -> list[str]:
    """Return the metric at the end at the chosen rate, and at the rate of a narrower grid where that is another."""
    labels, found, digits = [], [], []
    for letter, (runs, experiment) in groups.items():
        for name, each in others[letter].items():
            ours, theirs = ([one.value(experiment.metric) for one in some] for some in (runs[name], each))
            told = spread(ours, experiment.digits), spread(theirs, experiment.digits)
            labels.append([letter, name, f"{runs[name][0].lr:g}", told[0], f"{each[0].lr:g}", told[1]])
            found.append([difference(ours, theirs)])
            digits.append(experiment.digits)
    head = ["", "schedule", "lr", "at the end", "lr of the narrow grid", "at the end", "difference"]
    return table(head, [[*label, *row] for label, row in zip(labels, _each_starred(found, digits), strict=True)])


def error_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Return the metric of the recommended model: mean and deviation over the seeds, at the end with its interval."""
    metric, digits, shown = experiment.metric, experiment.digits, experiment.shown(runs)
    rows = []
    for name, each in runs.items():
        columns = [[one.value(metric, epoch) for one in each] for epoch in shown]
        _, low, high = mean_interval(columns[-1])
        cells = [spread(column, digits) for column in columns]
        rows.append([name, f"{each[0].lr:g}", *cells, f"{low:.{digits}f} to {high:.{digits}f}"])
    return table(["schedule", "lr", *(f"@{epoch}" for epoch in shown), f"95% interval @{shown[-1]}"], rows)


def difference_table(runs: Runs, experiment: Experiment, pairs: Sequence[tuple[str, str]], head: str) -> list[str]:
    """Return one schedule minus another for each pair, seed by seed, at some epochs and over all of them."""
    shown = experiment.shown(runs)
    found = [against(runs, ours, theirs, experiment.metric, shown) for ours, theirs in pairs]
    rows = [[ours, *cells] for (ours, _), cells in zip(pairs, starred(found, experiment.digits), strict=True)]
    return table([head, *(f"@{epoch}" for epoch in shown), "mean over all epochs"], rows)


def ruler_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Return every schedule minus the ruler."""
    ruler = ruler_of(runs)
    return difference_table(runs, experiment, [(name, ruler) for name in runs if name != ruler], f"minus {ruler}")


def cosine_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Return the schedules that restart minus one cosine over the whole budget."""
    cosine = experiment.cosine
    pairs = [(name, cosine) for name in restarted(runs)] if cosine in runs else []
    return difference_table(runs, experiment, pairs, f"minus {cosine}")


def warmed_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Return the schedules with warmup minus themselves without."""
    return difference_table(runs, experiment, warmed_pairs(runs), "with minus without warmup")


def target_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Return the epochs after which the seed-mean curve is for good at or below the ruler's final value."""
    rows = []
    for name, found in targets(runs, experiment.metric).items():
        epoch, low, high = ("never" if each is None else each for each in (found.epoch, found.low, found.high))
        budget = runs[name][0].epochs
        faster = "" if found.epoch is None else f"{budget / found.epoch:.2f}"
        rows.append([name, epoch, f"{low} to {high}", faster])
    ruler = ruler_of(runs)
    return table(["schedule", f"epochs to the {ruler} schedule's final value", "95% interval", "times faster"], rows)


def restart_table(groups: Mapping[str, tuple[Runs, Experiment]]) -> list[str]:
    """Return how the metric of the present weights differs from that at a cycle's end in the cycle that follows."""
    labels, found, lines = [], [], []
    for letter, (runs, experiment) in groups.items():
        for each in restarts(runs, experiment.metric):
            labels.append([letter, each.schedule, each.end, spread(each.values, experiment.digits)])
            found.append([each.soon, each.middle])
            lines.append(experiment.digits)
    cells = _each_starred(found, lines)
    head = ["", "schedule", "cycle's end", "there", "a tenth into the next cycle", "at its middle"]
    return table(head, [[*label, *row] for label, row in zip(labels, cells, strict=True)])


def choice_table(groups: Mapping[str, tuple[Runs, Experiment]]) -> list[str]:
    """Return the metric of the checkpoints that one may choose, against the last complete cycle's end."""
    labels, found, digits = [], [], []
    for letter, (runs, experiment) in groups.items():
        for each in choices(runs, experiment.metric):
            values = [spread(each.last, experiment.digits), each.what, spread(each.values, experiment.digits)]
            labels.append([letter, each.schedule, *values])
            found.append([each.apart])
            digits.append(experiment.digits)
    head = ["", "schedule", "last cycle's end", "instead", "there", "difference"]
    return table(head, [[*label, *row] for label, row in zip(labels, _each_starred(found, digits), strict=True)])


def _each_starred(rows: Sequence[Sequence[Difference | None]], digits: Sequence[int]) -> list[list[str]]:
    """Return the differences of one table whose rows have units, and so decimals, of their own."""
    shown = {count: starred(rows, count) for count in set(digits)}
    return [shown[count][index] for index, count in enumerate(digits)]


def best_cycle(groups: Mapping[str, tuple[Runs, Experiment]]) -> list[str]:
    """Return in how many runs the best validation loss of all epochs falls on the last complete cycle's end."""
    rows = []
    for letter, (runs, _) in groups.items():
        for name, each in runs.items():
            if len(each[0].ends) < 2:
                continue
            near = sum(best_epoch(one, one.ends) == one.ends[-1] for one in each)
            exact = sum(best_epoch(one, range(1, one.epochs + 1)) == one.ends[-1] for one in each)
            rows.append([letter, name, f"{near} of {len(each)}", f"{exact} of {len(each)}"])
    return table(["", "schedule", "best cycle end is the last", "best epoch of all is the last cycle's end"], rows)


def ensemble_table(groups: Mapping[str, Sequence[Members]]) -> list[str]:
    """Return what averaged predictions and averaged weights of the last cycle ends gain."""
    labels, found = [], []
    for letter, members in groups.items():
        for each in gains(members):
            labels.append([letter, each.schedule, each.count, spread(each.last)])
            found.append([each.ensemble, each.control, each.average, each.averaging])
    head = ["", "schedule", "ends", "last end", "ensemble", "batch norm alone", "averaged weights", "averaging alone"]
    return table(head, [[*label, *row] for label, row in zip(labels, starred(found), strict=True)])


def warmup_table(groups: Mapping[str, Sequence[Result]], floor: float) -> list[str]:
    """Return test nats without and with warmup, and how many runs learned nothing but how frequent a character is."""
    labels, found = [], []
    for what, results in groups.items():
        by_lr: dict[float, dict[bool, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for one in results:
            by_lr[one.lr][bool(one.warmup)][one.seed] = one.curves["test_loss"][-1]
        for lr, warmed in by_lr.items():
            seeds = sorted(set(warmed[False]) & set(warmed[True]))
            if len(seeds) < 2:
                continue
            cells = []
            for values in ([warmed[each][seed] for seed in seeds] for each in (False, True)):
                cells += [spread(values, 3), f"{sum(value > floor - DEAD for value in values)} of {len(seeds)}"]
            labels.append([what, f"{lr:g}", *cells])
            found.append([difference([warmed[True][s] for s in seeds], [warmed[False][s] for s in seeds])])
    head = ["model", "lr", "no warmup", "dead", "100 steps", "dead", "difference"]
    return table(head, [[*label, *row] for label, row in zip(labels, starred(found, 3), strict=True)])


def time_table(times: Mapping[str, tuple[int, float, float]]) -> list[str]:
    """Return how many runs each experiment took, the sum of their own durations, and the shortest of them."""
    rows: list[list[object]] = [
        [name.removeprefix("study-").upper(), runs, f"{seconds / 60:.1f}", f"{least:.1f}"]
        for name, (runs, seconds, least) in times.items()
    ]
    runs, seconds = sum(each[0] for each in times.values()), sum(each[1] for each in times.values())
    return table(
        ["experiment", "runs", "minutes", "shortest run, s"], [*rows, ["all", runs, f"{seconds / 60:.1f}", ""]]
    )
