"""Writes the study's tables into ``docs/study.md`` and its pictures into ``docs/images``, from the files of figures."""

import re
from collections.abc import Iterator, Sequence

from benchmarks.sgdr_study import pictures, tables
from benchmarks.sgdr_study.answers import EXPERIMENTS, RULER, Experiment
from benchmarks.sgdr_study.place import Place
from benchmarks.sgdr_study.results import Result, Runs, by_schedule
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.sweep import finished_runs, load_sweep, selected, shared_fingerprint

LOWEST_SEEDS = 2
DRAWN = (RULER, "SGDR T_0=200", "SGDR T_0=10 x2", "1cycle")  # of experiment B, by lrsched compare
Block = tuple[str, list[str]]


def written(page: str, name: str, lines: Sequence[str]) -> str:
    """Return a page with the block of a name replaced."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(rf"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no block {name!r}, which begins {start} and ends {end}")
    return pattern.sub(lambda _: "\n".join([start, *lines, end]), page)


def blocks(place: Place) -> Iterator[Block]:
    """Yield every table that there are enough runs for, by the name of its block."""
    groups = _groups(place)
    for letter, (runs, experiment) in groups.items():
        if grid := [one for one in place.read(f"{experiment.key}-select") if one.schedule in runs]:
            yield f"grid {letter}", tables.grid_table(grid)
        yield f"error {letter}", tables.error_table(runs, experiment)
        yield f"differences {letter}", tables.ruler_table(runs, experiment)
        yield f"against cosine {letter}", tables.cosine_table(runs, experiment)
        yield f"warmed {letter}", tables.warmed_table(runs, experiment)
        yield f"targets {letter}", tables.target_table(runs, experiment)
    narrow = {letter: by_schedule(place.read(f"{each.key}-narrow")) for letter, (_, each) in groups.items()}
    if any(narrow.values()):
        yield "rates", tables.rate_table(groups, narrow)
    if groups:
        yield "restarts", tables.restart_table(groups)
        yield "choices", tables.choice_table(groups)
        yield "best cycle", tables.best_cycle(groups)
    if members := {letter: found for letter in groups if (found := place.members(EXPERIMENTS[letter].key))}:
        yield "ensembles", tables.ensemble_table(members)
    if warmed := _warmed(place):
        floor = place.floor()
        yield "warmup", tables.warmup_table(warmed, floor)
        yield "floor", [f"The unigram floor is {floor:.3f} nats."]
    if times := place.times():
        yield "times", tables.time_table(times)


def rewritten(place: Place, page: str) -> str:
    """Return a page with its tables made anew from the files of figures."""
    for name, lines in blocks(place):
        page = written(page, name, lines)
    return page


def write_report(place: Place) -> None:
    """Write the tables and draw the pictures."""
    place.page.write_text(rewritten(place, place.page.read_text(encoding="utf-8")), encoding="utf-8")
    if groups := _groups(place):
        pictures.final_picture(groups, place.images / "study-final.png")
        pictures.target_picture(groups, place.images / "study-targets.png")
        pictures.anytime_picture(groups, place.images / "study-anytime.png")
        pictures.restart_picture(groups, place.images / "study-restarts.png")
        pictures.choice_picture(groups, place.images / "study-choices.png")
    if members := {letter: found for letter in groups if (found := place.members(EXPERIMENTS[letter].key))}:
        pictures.ensemble_picture(members, place.images / "study-ensembles.png")
    if warmed := _warmed(place):
        pictures.warmup_picture(warmed, place.floor(), place.images / "study-warmup.png")


def compare(place: Place) -> None:
    """Have ``lrsched compare`` draw some runs of experiment B, and write its page of all runs beside the runs."""
    ruler = by_schedule(place.read("study-b"))[RULER][0]
    options = ["--tracking-uri", place.store, "--metric", "test_error"]
    page = ["--experiment", "study-b", "--html", str(place.build / "study-b.html")]
    baseline = ["--baseline", f"{ruler.schedule}, lr {ruler.lr:g}"]
    picture = ["--png", str(place.images / "study-compare.png"), "--run", *_drawn(place)]
    for more in ([*page, *baseline], picture):
        if lrsched(["compare", *options, *more]):
            raise SystemExit("the comparison failed; the lines above say why")


def _drawn(place: Place) -> list[str]:
    """Return the ids of one seed's runs of a few schedules of experiment B."""
    config = load_sweep(place.build / "study-b.yaml")
    runs = finished_runs(place.store, config.experiment, shared_fingerprint(config))
    wanted, _ = selected(config, place.store)
    return [
        str(runs[each.fingerprint].info.run_id)
        for each in wanted
        if each.seed == config.seeds[0] and each.schedule in DRAWN and each.warmup is None
    ]


def _groups(place: Place) -> dict[str, tuple[Runs, Experiment]]:
    """Return the experiments with enough runs, by letter."""
    found = {letter: (by_schedule(place.read(each.key)), each) for letter, each in EXPERIMENTS.items()}
    return {letter: (runs, each) for letter, (runs, each) in found.items() if runs and _seeds(runs) >= LOWEST_SEEDS}


def _seeds(runs: Runs) -> int:
    """Return how many seeds every schedule has."""
    return min(len(each) for each in runs.values())


def _warmed(place: Place) -> dict[str, list[Result]]:
    """Return the runs of experiment D by model."""
    found = {"post-norm": place.read("study-d"), "pre-norm": place.read("study-d-pre")}
    return {name: each for name, each in found.items() if each}
