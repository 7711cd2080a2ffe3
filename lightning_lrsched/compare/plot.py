"""The comparison as a picture: the runs' learning rates above, the metric below, over the same optimizer steps."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median, median_low
from typing import TYPE_CHECKING, Any

from lightning_lrsched.compare.colors import run_colors
from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.runs import RunRecord, told_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Names of the artists, for those who want to find them in the figure again.
CYCLE_ENDS, BEST, KEPT, TARGET = "cycle ends", "best", "kept", "target"

_LOG_RATIO = 8.0
_PEAK_RATIO = 20.0
_DASH = 4.0
_FEW_RUNS = 4
_MANY_ENDS = 40
_LEGEND_RUNS = 24
_LEGEND_WIDTH = 125
_NAME_LENGTH = 40
_GREY = "#666666"


def compare_figure(records: Sequence[RunRecord], goal: Goal, title: str) -> "Figure":
    """Return the picture of a comparison; ``savefig`` writes it.

    Args:
        records: the runs, in the order of the legend and of `run_colors`.
        goal: what they are compared by.
        title: line above the picture.
    """
    from matplotlib.figure import Figure

    legend_rows = math.ceil(min(len(records), _LEGEND_RUNS) / _legend_columns(records)) + 1
    figure = Figure(figsize=(10, 6.4 + 0.22 * legend_rows), layout="constrained", facecolor="white")
    figure.suptitle(_literal(title), x=0.01, ha="left", fontsize=13, fontweight="bold")
    lr_axes, metric_axes = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    colors = run_colors(len(records))
    ends = [record.cycle_ends for record in records]
    for index, (record, color) in enumerate(zip(records, colors, strict=True)):
        # The first run, the best of a ranked list, lies on top.
        height = 1 - index / len(records)
        _draw_lr(lr_axes, record, color, height)
        _draw_metric(metric_axes, record, goal, color, height, few=len(records) <= _FEW_RUNS)
        for axes in (lr_axes, metric_axes):
            _draw_cycle_ends(axes, ends, index, color)
    _finish_lr(lr_axes, records)
    _finish_metric(metric_axes, records, goal)
    _explain_marks(metric_axes, goal)
    _name_runs(figure, records)
    return figure


def _draw_lr(axes: "Axes", record: RunRecord, color: str, height: float) -> None:
    """Draw the learning rate of each parameter group, equal ones once, the first one strongest."""
    curves = list(dict.fromkeys((record.lr or {}).values()))
    for index, curve in enumerate(curves):
        first = index == 0
        axes.plot(
            curve.steps,
            _drawable(curve),
            color=color,
            linewidth=1.5 if first else 0.9,
            alpha=0.9 if first else 0.5,
            marker="." if len(curve.steps) == 1 else "",
            label=record.run_id if first else "",
            zorder=2 + height,
        )


def _draw_metric(axes: "Axes", record: RunRecord, goal: Goal, color: str, height: float, *, few: bool) -> None:
    """Draw the metric, its best point, and where there is room the checkpoint kept for each cycle."""
    curve = record.metric
    best = goal.best(curve)
    if best is None:
        return
    axes.plot(
        curve.steps,
        _drawable(curve),
        color=color,
        linewidth=1.5,
        alpha=0.9,
        marker="." if len(curve.finite().steps) == 1 else "",
        label=record.run_id,
        zorder=2 + height,
    )
    if few and record.cycle_best.steps:
        kept = axes.plot(record.cycle_best.steps, record.cycle_best.values, "o", color=color, markersize=6, gid=KEPT)
        kept[0].set(markerfacecolor="white", markeredgewidth=1.4, zorder=4 + height)
    axes.plot(
        *([part] for part in best),
        marker="*",
        markersize=15 if few else 12,
        color=color,
        markeredgecolor="white",
        markeredgewidth=0.8,
        linestyle="",
        gid=BEST,
        zorder=5 + height,
    )


def _draw_cycle_ends(axes: "Axes", ends: Sequence[Sequence[int]], index: int, color: str) -> None:
    """Draw a thin line where each cycle of a run ends; runs whose cycles end together share a line, dash by dash."""
    if not ends[index]:
        return
    before = Counter(step for steps in ends[:index] for step in steps)
    after = Counter(step for steps in ends[index + 1 :] for step in steps)
    styles = [(_DASH * before[step], (_DASH, _DASH * (before[step] + after[step]))) for step in ends[index]]
    alpha = 0.5 if len({step for steps in ends for step in steps}) <= _MANY_ENDS else 0.12
    lines = axes.vlines(ends[index], 0, 1, transform=axes.get_xaxis_transform(), colors=color, linewidth=0.9)
    lines.set(alpha=alpha, zorder=1, gid=CYCLE_ENDS)
    lines.set_linestyle(styles)


def _finish_lr(axes: "Axes", records: Sequence[RunRecord]) -> None:
    """Scale and label the upper panel."""
    curves = [curve.finite().values for record in records for curve in (record.lr or {}).values()]
    positive = [[value for value in curve if value > 0] for curve in curves]
    bottom = log_bottom([curve for curve in positive if curve])
    if bottom is not None:
        axes.set_yscale("log")
    axes.set_ylim(bottom=bottom or 0)
    _dress(axes, "Learning rate", "learning rate", empty=not any(curves))


def log_bottom(curves: Sequence[Sequence[float]]) -> float | None:
    """Return where a logarithmic axis of learning rates begins; None if a linear one reads better.

    A linear axis shows the shapes, but nothing of a run whose peak is a twentieth of another's, and little of runs
    that spend their time far below the peak.
    """
    if not curves:
        return None
    medians = [median(curve) for curve in curves]
    peaks = [max(curve) for curve in curves]
    if max(peaks) <= _PEAK_RATIO * min(peaks) and max(peaks) <= _LOG_RATIO * median_low(medians):
        return None
    return max(0.8 * min(map(min, curves)), 0.02 * min(medians))


def falls_far(values: Sequence[float], goal: Goal) -> bool:
    """Return whether a metric that should be low begins so high that a logarithmic axis reads better."""
    return goal.mode == "min" and bool(values) and min(values) > 0 and max(values) > _LOG_RATIO * median(values)


def _finish_metric(axes: "Axes", records: Sequence[RunRecord], goal: Goal) -> None:
    """Scale and label the lower panel, and mark the target."""
    from matplotlib.ticker import MaxNLocator

    values = [value for record in records for value in record.metric.finite().values]
    if falls_far(values, goal):
        axes.set_yscale("log")
    # The default target of a single run is its own best value.
    if values and goal.target is not None and (goal.target_given or len(records) > 1):
        axes.axhline(goal.target, color=_GREY, linewidth=0.9, linestyle=":", zorder=1, gid=TARGET)
    direction = "lower" if goal.mode == "min" else "higher"
    _dress(axes, f"{goal.metric} ({direction} is better)", goal.metric, empty=not values)
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def _dress(axes: "Axes", title: str, label: str, *, empty: bool) -> None:
    """Give a panel its title, its label and its look."""
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.set_ylabel(label)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if empty:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not recorded by these runs", transform=axes.transAxes, ha="center", color=_GREY)


def _explain_marks(axes: "Axes", goal: Goal) -> None:
    """Say what the marks of the lower panel mean, those that it has, beside its title."""
    from matplotlib.lines import Line2D

    drawn = {artist.get_gid() for artist in axes.get_children()}
    marks: list[tuple[str, str, dict[str, Any]]] = [
        (BEST, "best", {"marker": "*", "markersize": 11, "linestyle": "", "markeredgecolor": "white"}),
        (KEPT, "kept for a cycle", {"marker": "o", "markersize": 6, "linestyle": "", "markerfacecolor": "white"}),
        (CYCLE_ENDS, "end of a cycle", {"linewidth": 0.9, "linestyle": "-"}),
        (TARGET, f"target {goal.target or 0.0:.4g}", {"linewidth": 1.1, "linestyle": ":"}),
    ]
    handles = [Line2D([], [], color=_GREY, label=label, **look) for gid, label, look in marks if gid in drawn]
    if handles:
        axes.legend(
            handles=handles,
            loc="lower right",
            bbox_to_anchor=(1.0, 0.985),
            ncols=len(handles),
            frameon=False,
            fontsize=8.5,
            borderaxespad=0.0,
            columnspacing=1.4,
        )


def _name_runs(figure: "Figure", records: Sequence[RunRecord]) -> None:
    """Name the runs below the panels."""
    from matplotlib.lines import Line2D

    colors = run_colors(len(records))[:_LEGEND_RUNS]
    lines = [Line2D([], [], color=color, linewidth=2.5) for color in colors]
    names = [_literal(name) for name in run_labels(records)[:_LEGEND_RUNS]]
    if len(records) > _LEGEND_RUNS:
        lines.append(Line2D([], [], linestyle=""))
        names.append(f"and {len(records) - _LEGEND_RUNS} more")
    columns = _legend_columns(records)
    figure.legend(lines, names, loc="outside lower left", ncols=columns, frameon=False, fontsize=9)


def run_labels(records: Sequence[RunRecord]) -> list[str]:
    """Return the runs' names for a legend: short, told apart by their id if equal, with the status if unfinished."""
    return [
        shortened(name, _NAME_LENGTH) + (f" ({record.status})" if record.status != "finished" else "")
        for name, record in zip(told_apart(records), records, strict=True)
    ]


def shortened(text: str, length: int) -> str:
    """Return text cut in its middle to a length."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def _legend_columns(records: Sequence[RunRecord]) -> int:
    """Return how many of the runs' names stand side by side."""
    longest = max(map(len, run_labels(records)), default=1)
    return max(1, min(len(records), _LEGEND_WIDTH // (longest + 6)))


def _literal(text: str) -> str:
    """Return a text that matplotlib shows as it is: two dollars would make a formula of what is between them."""
    return text.replace("$", r"\$")


def _drawable(curve: Curve) -> list[float]:
    """Return a curve's values with gaps where they are infinite."""
    return [value if math.isfinite(value) else math.nan for value in curve.values]
