"""The study's pictures, one for each question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.sgdr_study.answers import Experiment, choices, gains, restarted, restarts, targets
from benchmarks.sgdr_study.paired import Difference, mean_interval
from benchmarks.sgdr_study.results import WARMED, Members, Result, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Groups = Mapping[str, tuple[Runs, Experiment]]
DPI = 110
MOST_CURVES = 12
UNITS = {"test_error": "test error, %", "test_loss": "test loss, nats"}


@dataclass(frozen=True)
class Dot:
    """An estimate with its interval.

    Args:
        label: what it is of.
        value: the estimate.
        low: the interval's lower end.
        high: its upper end.
        color: of the dot.
    """

    label: str
    value: float
    low: float
    high: float
    color: str | tuple[float, ...] = "C0"


def final_picture(groups: Groups, path: Path) -> None:
    """Draw each schedule's metric at the end of the budget, with its interval."""
    figure, panels = _panels(groups, height=4.2)
    for axes, (letter, (runs, experiment)) in zip(panels, groups.items(), strict=True):
        dots = [
            Dot(name, *mean_interval([one.value(experiment.metric) for one in each]), _color(runs, name))
            for name, each in runs.items()
        ]
        _draw_dots(axes, dots)
        axes.set(xlabel=UNITS[experiment.metric])
        axes.set_title(_title(letter, runs), fontsize=9)
    _save(figure, path)


def anytime_picture(groups: Groups, path: Path) -> None:
    """Draw the recommended model's metric over the epochs, as the mean over the seeds."""
    figure, panels = _panels(groups, height=5.2)
    for axes, (letter, (runs, experiment)) in zip(panels, groups.items(), strict=True):
        again = restarted(runs)
        shown = _few(runs)
        for name, each in shown.items():
            curve = np.array([one.anytime(experiment.metric) for one in each]).mean(0)
            bold = name in again or name == "step"
            style = {"linewidth": 1.8} if bold else {"linewidth": 0.9, "linestyle": "--"}
            axes.plot(range(1, len(curve) + 1), curve, label=name, color=_color(runs, name), **style)
        _scale(axes, shown, experiment)
        axes.set_title(_title(letter, runs), fontsize=9)
        axes.legend(fontsize=6, ncols=2)
    _save(figure, path)


def target_picture(groups: Groups, path: Path) -> None:
    """Draw when each schedule reaches the step schedule's final value."""
    figure, panels = _panels(groups, height=4.2)
    for axes, (letter, (runs, experiment)) in zip(panels, groups.items(), strict=True):
        budget = next(iter(runs.values()))[0].epochs
        beyond = budget * 1.06
        dots = [
            Dot(name, each.epoch or beyond, each.low or beyond, each.high or beyond, _color(runs, name))
            for name, each in targets(runs, experiment.metric).items()
        ]
        _draw_dots(axes, dots)
        for share, label in ((0.25, "1/4"), (0.5, "1/2"), (1, "1")):
            axes.axvline(share * budget, color="0.6", linewidth=0.8, linestyle=":")
            axes.text(share * budget, 1.01, label, transform=axes.get_xaxis_transform(), fontsize=7, ha="center")
        axes.set(xlabel="epochs (at the right edge: never)", xlim=(0, budget * 1.1))
        axes.set_title(_title(letter, runs), fontsize=9, pad=12)
    _save(figure, path)


def restart_picture(groups: Groups, path: Path) -> None:
    """Draw the metric of the present weights over the epochs, with the cycles' ends."""
    figure, panels = _panels(groups, height=4.2)
    for axes, (letter, (runs, experiment)) in zip(panels, groups.items(), strict=True):
        shown = {each.schedule for each in restarts(runs, experiment.metric)}
        for name in [name for name in runs if name in shown]:
            curve = np.array([one.curves[experiment.metric] for one in runs[name]]).mean(0)
            epochs = np.arange(1, len(curve) + 1)
            ends = np.array(runs[name][0].ends)
            axes.plot(epochs, curve, label=name, color=_color(runs, name), linewidth=1)
            axes.plot(ends, curve[ends - 1], "o", color=_color(runs, name), markersize=4)
        _scale(axes, {name: runs[name] for name in runs if name in shown}, experiment)
        axes.set_title(_title(letter, runs), fontsize=9)
        axes.legend(fontsize=6)
    _save(figure, path)


def choice_picture(groups: Groups, path: Path) -> None:
    """Draw what other checkpoints than the last cycle's end are worth."""
    figure, panels = _panels(groups, height=4.2)
    for axes, (letter, (runs, experiment)) in zip(panels, groups.items(), strict=True):
        dots = [
            _dot(f"{each.schedule}: {each.what}", each.apart, _color(runs, each.schedule))
            for each in choices(runs, experiment.metric)
        ]
        _draw_dots(axes, dots, zero=True)
        axes.set(xlabel=f"minus the last end, {experiment.unit}")
        axes.set_title(_title(letter, runs), fontsize=9)
    _save(figure, path)


def ensemble_picture(groups: Mapping[str, Sequence[Members]], path: Path) -> None:
    """Draw what ensembles of cycle ends and averages of their weights gain over the last end."""
    figure, panels = _panels(groups, height=6.0)
    for axes, (letter, members) in zip(panels, groups.items(), strict=True):
        dots = []
        for each in gains(members):
            where = f"{each.schedule}, {each.count} ends"
            dots.append(_dot(f"{where}: ensemble", each.ensemble, "C0"))
            dots.append(_dot(f"{where}: weights", each.average, "C1"))
        _draw_dots(axes, dots, zero=True)
        axes.set(xlabel="minus the last end, points")
        axes.set_title(f"experiment {letter}", fontsize=9)
    _save(figure, path)


def warmup_picture(groups: Mapping[str, Sequence[Result]], floor: float, path: Path) -> None:
    """Draw the test loss of every run of experiment D, with and without warmup."""
    kinds = [(name, lr) for name, found in groups.items() for lr in sorted({one.lr for one in found})]
    figure, panels = _panels(kinds, height=3.4, sharey=True)
    for axes, (name, lr) in zip(panels, kinds, strict=True):
        for one in groups[name]:
            if one.lr == lr:
                steps = [one.epoch_steps * (index + 1) for index in range(one.epochs)]
                axes.plot(steps, one.curves["test_loss"], color="C0" if one.warmup else "C3", linewidth=1)
        axes.axhline(floor, color="0.5", linestyle=":", linewidth=1)
        axes.set_title(f"{name}, lr {lr:g}", fontsize=9)
        axes.set(xlabel="step")
    panels[0].set(ylabel="test loss, nats")
    lines = [panels[0].plot([], [], color=color)[0] for color in ("C3", "C0")]
    figure.legend(lines, ["no warmup", "warmup of 100 steps"], loc="outside upper center", ncols=2, fontsize=8)
    _save(figure, path)


def _few(runs: Runs) -> Runs:
    """Return as many schedules as can be told apart: where there are many, those without warmup at the chosen lr."""
    if len(runs) <= MOST_CURVES:
        return runs
    return {name: each for name, each in runs.items() if not name.endswith(WARMED) and ", lr " not in name}


def _panels(
    groups: Sequence[object] | Mapping[str, object], height: float, *, sharey: bool = False
) -> tuple["Figure", list["Axes"]]:
    """Return a figure with one panel for each group, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.6, min(4.6 * len(groups), 13.5)), height), layout="constrained")
    panels = list(figure.subplots(1, len(groups), squeeze=False, sharey=sharey)[0])
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=7)
    return figure, panels


def _save(figure: "Figure", path: Path) -> None:
    """Write a figure without the time and the versions, so that the same figures give the same file."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _title(letter: str, runs: Runs) -> str:
    """Return the title of an experiment's panel."""
    return f"experiment {letter}, {len(next(iter(runs.values())))} seeds"


def _color(runs: Runs, name: str) -> str | tuple[float, ...]:
    """Return a schedule's color; black for the ruler."""
    from matplotlib import colormaps

    return "black" if name == "step" else colormaps["tab20"](list(runs).index(name) % 20)


def _scale(axes: "Axes", runs: Runs, experiment: Experiment) -> None:
    """Show where the curves are apart: the first tenth of the budget may leave the picture at the top."""
    metric = experiment.metric
    curves = [np.array([one.anytime(metric) for one in each]).mean(0) for each in runs.values()]
    early = len(curves[0]) // 10
    low, high = min(curve.min() for curve in curves), np.quantile([curve[early] for curve in curves], 0.8)
    axes.set(xlabel="epochs", ylabel=UNITS[metric], ylim=(low - 0.05 * (high - low), high + 0.2 * (high - low)))


def _dot(label: str, found: Difference, color: str | tuple[float, ...]) -> Dot:
    """Return a difference as a dot."""
    return Dot(label, found.mean, found.low, found.high, color)


def _draw_dots(axes: "Axes", dots: Sequence[Dot], *, zero: bool = False) -> None:
    """Draw estimates below one another, each with its interval and its label at the axis."""
    places = range(len(dots), 0, -1)
    for place, dot in zip(places, dots, strict=True):
        axes.plot([dot.low, dot.high], [place, place], color=dot.color, linewidth=1.4)
        axes.plot([dot.value], [place], "o", color=dot.color, markersize=4)
    axes.set_yticks(list(places), [dot.label for dot in dots], fontsize=6.5)
    if zero:
        axes.axvline(0, color="0.4", linewidth=0.8)
