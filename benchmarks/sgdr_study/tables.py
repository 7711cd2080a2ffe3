"""The study's tables, each as lines of Markdown."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.sgdr_study.ensembles import cycle_end_files, ensemble_errors
from benchmarks.sgdr_study.mnist import Mnist
from benchmarks.sgdr_study.paired import crossing_interval, difference, holm, spread
from benchmarks.sgdr_study.results import Result

MOMENTS = (10, 30, 70, 150, 200)
RULER = "step"


def by_schedule(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the runs of each schedule, by seed; only seeds that every schedule has."""
    found: dict[str, dict[int, Result]] = defaultdict(dict)
    for each in results:
        found[each.combination.schedule][each.combination.seed] = each
    seeds = set.intersection(*(set(runs) for runs in found.values())) if found else set()
    return {name: [runs[seed] for seed in sorted(seeds)] for name, runs in found.items()}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def moments(runs: Mapping[str, Sequence[Result]]) -> list[int]:
    """Return the epochs at which tables look, inside the budget."""
    epochs = next(iter(runs.values()))[0].epochs
    return [*(moment for moment in MOMENTS if moment < epochs), epochs]


def grid_table(results: Sequence[Result]) -> list[str]:
    """Return the validation loss that each lr of the grid reached, by schedule; the chosen one in bold."""
    losses: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in results:
        losses[each.combination.schedule][each.combination.lr or 0.0].append(each.value("val_loss"))
    lrs = sorted({lr for found in losses.values() for lr in found})
    rows = []
    for name, found in losses.items():
        means = {lr: statistics.fmean(found[lr]) for lr in lrs if found[lr]}
        lowest = min(means, key=lambda lr: means[lr])
        cells = [f"{means[lr]:.4f}" if lr in means else "" for lr in lrs]
        rows.append([name, *(f"**{cell}**" if lr == lowest else cell for lr, cell in zip(lrs, cells, strict=True))])
    return table(["validation loss", *(f"lr {lr:g}" for lr in lrs)], rows)


def error_table(runs: Mapping[str, Sequence[Result]], metric: str = "test_error") -> list[str]:
    """Return the metric of the recommended model after some epochs, as mean and standard deviation over the seeds."""
    shown = moments(runs)
    rows = [
        [name, f"{each[0].combination.lr:g}", *(spread([one.value(metric, epoch) for one in each]) for epoch in shown)]
        for name, each in runs.items()
    ]
    return table(["schedule", "lr", *(f"@{epoch}" for epoch in shown)], rows)


def ruler_of(runs: Mapping[str, Sequence[Result]]) -> str:
    """Return the schedule that the others are measured against."""
    return RULER if RULER in runs else next(iter(runs))


def difference_table(runs: Mapping[str, Sequence[Result]], ruler: str | None = None) -> list[str]:
    """Return each schedule's test error minus that of the ruler, seed by seed, at some epochs."""
    shown, ruler = moments(runs), ruler or ruler_of(runs)
    others = [name for name in runs if name != ruler]
    cells = {
        (name, epoch): difference(
            [one.value("test_error", epoch) for one in runs[name]],
            [one.value("test_error", epoch) for one in runs[ruler]],
        )
        for name in others
        for epoch in shown
    }
    compared = {at: each for at, each in cells.items() if not each.same}  # the same lr so far is no comparison
    adjusted = dict(zip(compared, holm([each.p for each in compared.values()]), strict=True))
    rows = [
        [name, *(f"{cells[name, epoch]}{' *' if adjusted.get((name, epoch), 1.0) < 0.05 else ''}" for epoch in shown)]
        for name in others
    ]
    return table([f"minus {ruler}", *(f"@{epoch}" for epoch in shown)], rows)


def target_table(runs: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return the epochs after which the seed-mean curve is for good at or below the ruler's final error."""
    ruler = ruler_of(runs)
    final = np.array([one.value("test_error") for one in runs[ruler]])
    rows = []
    for name, each in runs.items():
        epoch, low, high = crossing_interval(np.array([one.anytime("test_error") for one in each]), final)
        rows.append([name, epoch, f"{low} to {high}"])
    return table(["schedule", f"epochs to the {ruler} schedule's final error", "95% interval"], rows)


def restart_table(runs: Mapping[str, Sequence[Result]], after: int = 5) -> list[str]:
    """Return how the test error changes in the epochs after each restart."""
    rows = []
    for name, each in runs.items():
        for end in each[0].ends:
            if end + after <= each[0].epochs:
                now = [one.curves["test_error"][end - 1] for one in each]
                later = [one.curves["test_error"][end + after - 1] for one in each]
                rows.append([name, end, spread(now), spread(later), difference(later, now)])
    return table(["schedule", "cycle's end", "error there", f"{after} epochs later", "change"], rows)


def choice_table(runs: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return the test error of the checkpoints that one may choose, against the last complete cycle's end."""
    rows = []
    for name, each in runs.items():
        if len(each[0].ends) < 2:
            continue
        last = [one.value("test_error") for one in each]
        chosen = {
            "best cycle end by val_loss": [_at_best(one, one.ends) for one in each],
            "best epoch by val_loss": [_at_best(one, range(1, one.epochs + 1)) for one in each],
            "weights at the end of the run": [one.curves["test_error"][-1] for one in each],
        }
        for what, errors in chosen.items():
            if errors != last:
                rows.append([name, spread(last), what, spread(errors), difference(errors, last)])
    return table(["schedule", "last cycle's end", "instead", "its error", "difference"], rows)


def best_cycle(runs: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return in how many runs the best validation loss of all epochs falls on the last complete cycle's end."""
    rows = []
    for name, each in runs.items():
        if len(each[0].ends) < 2:
            continue
        near = sum(_best_epoch(one, one.ends) == one.ends[-1] for one in each)
        exact = sum(_best_epoch(one, range(1, one.epochs + 1)) == one.ends[-1] for one in each)
        rows.append([name, f"{near} of {len(each)}", f"{exact} of {len(each)}"])
    return table(["schedule", "best cycle end is the last", "best epoch of all is the last cycle's end"], rows)


def ensemble_table(runs: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return what averaged predictions and averaged weights of the last cycle ends give."""
    data = Mnist()
    rows = []
    for name, each in runs.items():
        for count in (2, 3, 4):
            found = []
            for one in each:
                files = cycle_end_files(one.folder, [end * one.epoch_steps for end in one.ends])
                if len(files) >= count:
                    found.append(ensemble_errors(files[-count:], data))
            if len(found) < 2:
                continue
            last = [errors["last end"] for errors in found]
            cells = [
                f"{difference([errors[what] for errors in found], last)}" for what in ("ensemble", "control", "average")
            ]
            rows.append([name, count, spread(last), *cells])
    return table(["schedule", "ends", "last end", "ensemble", "batch norm alone", "averaged weights"], rows)


def warmup_table(results: Sequence[Result], floor: float, what: str) -> list[str]:
    """Return test nats without and with warmup, and how many runs learned nothing but how frequent a character is."""
    found: dict[float, dict[bool, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for each in results:
        combination = each.combination
        found[combination.lr or 0.0][combination.warmup is not None][combination.seed] = each.curves["test_loss"][-1]
    rows = []
    for lr, groups in found.items():
        seeds = sorted(set(groups[False]) & set(groups[True]))
        without, warmed = [groups[False][seed] for seed in seeds], [groups[True][seed] for seed in seeds]
        if len(seeds) < 2:
            continue
        dead = [f"{sum(value > floor - 0.05 for value in values)} of {len(seeds)}" for values in (without, warmed)]
        rows.append(
            [what, f"{lr:g}", spread(without, 3), dead[0], spread(warmed, 3), dead[1], difference(warmed, without)]
        )
    return table(["model", "lr", "no warmup", "dead", "100 steps", "dead", "difference"], rows)


def _best_epoch(result: Result, epochs: Iterable[int]) -> int:
    """Return the epoch with the lowest validation loss among some; the first of equals."""
    return min(epochs, key=lambda epoch: result.curves["val_loss"][epoch - 1])


def _at_best(result: Result, epochs: Iterable[int]) -> float:
    """Return the test error where the validation loss is lowest."""
    return result.curves["test_error"][_best_epoch(result, epochs) - 1]


def mean_curve(runs: Sequence[Result], metric: str) -> tuple[list[float], list[float]]:
    """Return the mean of the recommended model's curve over the seeds, and its standard deviation."""
    columns = list(zip(*(one.anytime(metric) for one in runs), strict=True))
    return [statistics.fmean(column) for column in columns], [statistics.stdev(column) for column in columns]
