"""Writes the study's tables into ``docs/study.md`` and its pictures into ``docs/images``, from the runs in MLflow."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sgdr_study import tables
from benchmarks.sgdr_study.place import Place
from benchmarks.sgdr_study.results import Result
from benchmarks.sgdr_study.text import Topics
from lightning_lrsched.cli import main as lrsched

LOWEST_SEEDS = 2
COSINE = "SGDR T_0=200"


def written(page: str, name: str, lines: Sequence[str]) -> str:
    """Return a page with the block of a name replaced."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(rf"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no block {name!r}, which begins {start} and ends {end}")
    return pattern.sub(lambda _: "\n".join([start, *lines, end]), page)


def anytime_picture(runs: dict[str, list[Result]], path: Path) -> None:
    """Draw the recommended model's test error over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, each) in enumerate(runs.items()):
        mean, deviation = tables.mean_curve(each, "test_error")
        epochs = range(1, len(mean) + 1)
        [line] = axes.plot(epochs, mean, label=name, linestyle=("-", "--")[index // 10], linewidth=1.4)
        pairs = list(zip(mean, deviation, strict=True))
        axes.fill_between(
            epochs, [m - d for m, d in pairs], [m + d for m, d in pairs], color=line.get_color(), alpha=0.08
        )
    axes.set(xlabel="epochs trained", ylabel="test error of the recommended model, %", ylim=(2, 9), xlim=(1, None))
    axes.set_title(f"{len(next(iter(runs.values())))} seeds, mean and standard deviation", fontsize=10)
    axes.legend(fontsize=8, ncols=2)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=130)


def warmup_picture(groups: dict[str, list[Result]], floor: float, path: Path) -> None:
    """Draw the test loss of every run of experiment D, with and without warmup."""
    from matplotlib.figure import Figure

    kinds = [(name, lr) for name, found in groups.items() for lr in sorted({one.combination.lr or 0 for one in found})]
    figure = Figure(figsize=(3 * len(kinds), 3.4), layout="constrained")
    for axes, (name, lr) in zip(figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], kinds, strict=True):
        for one in groups[name]:
            if one.combination.lr == lr:
                warmed = one.combination.warmup is not None
                steps = [one.epoch_steps * (index + 1) for index in range(one.epochs)]
                axes.plot(steps, one.curves["test_loss"], color="C0" if warmed else "C3", linewidth=1)
        axes.axhline(floor, color="0.5", linestyle=":", linewidth=1)
        axes.set_title(f"{name}, lr {lr:g}", fontsize=9)
        axes.set(xlabel="step", ylabel="test loss, nats" if axes.get_subplotspec().is_first_col() else "")
        axes.grid(alpha=0.25)
    figure.legend(
        [figure.axes[0].plot([], [], color=color)[0] for color in ("C3", "C0")],
        ["no warmup", "warmup of 100 steps"],
        loc="outside upper center",
        ncols=2,
        fontsize=8,
    )
    figure.savefig(path, dpi=130)


def write_report(place: Place) -> None:
    """Write the tables and draw the pictures of what there are enough runs for."""
    page = place.page.read_text(encoding="utf-8")
    page = _write_images(place, page)
    page = _write_warmups(place, page)
    runs = tables.by_schedule(place.read("study-c"))
    if _enough(runs):
        page = written(page, "text", tables.error_table(runs, "test_loss"))
    place.page.write_text(page, encoding="utf-8")


def _enough(runs: dict[str, list[Result]]) -> bool:
    """Return whether there are seeds to compare over."""
    return bool(runs) and len(next(iter(runs.values()))) >= LOWEST_SEEDS


def _restarted(runs: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """Return the schedules that restart within the budget, and the one cosine over all of it."""
    restarted = [name for name, each in runs.items() if any(end < each[0].epochs for end in each[0].ends)]
    return {name: runs[name] for name in [*restarted, COSINE]}


def _write_images(place: Place, page: str) -> str:
    """Return the page with the tables of experiment B."""
    runs = tables.by_schedule(place.read("study-b"))
    if not _enough(runs):
        return page
    blocks = {
        "grid": tables.grid_table([one for one in place.read("study-b-choose") if one.combination.schedule in runs]),
        "error": tables.error_table(runs),
        "differences": tables.difference_table(runs),
        "against cosine": tables.difference_table(_restarted(runs), COSINE) if COSINE in runs else [],
        "targets": tables.target_table(runs),
        "restarts": tables.restart_table(runs),
        "choices": tables.choice_table(runs),
        "best cycle": tables.best_cycle(runs),
        "ensembles": tables.ensemble_table(runs),
    }
    for name, lines in blocks.items():
        page = written(page, name, lines)
    anytime_picture(runs, place.images / "study-anytime.png")
    picture = str(place.images / "study-compare.png")
    options = ["--experiment", "study-b", "--tracking-uri", place.store, "--metric", "test_error", "--png", picture]
    options += ["--filter", "params.`sweep/seed` = '0' and attributes.status = 'FINISHED'"]  # one seed can be looked at
    if lrsched(["compare", *options]):
        raise SystemExit("the comparison failed; the lines above say why")
    return page


def _write_warmups(place: Place, page: str) -> str:
    """Return the page with the table of experiment D."""
    found = {"post-norm": place.read("study-d"), "pre-norm": place.read("study-d-pre")}
    groups = {name: each for name, each in found.items() if each}
    if not groups:
        return page
    floor = Topics(context=48).unigram_floor()
    parts = [tables.warmup_table(each, floor, name) for name, each in groups.items()]
    page = written(page, "warmup", parts[0] + [row for more in parts[1:] for row in more[2:]])
    page = written(page, "floor", [f"The unigram floor is {floor:.3f} nats."])
    warmup_picture(groups, floor, place.images / "study-warmup.png")
    return page
