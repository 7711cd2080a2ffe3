"""Curves as a picture, drawn with matplotlib."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from lightning_lrsched.preview.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Names of the artists, for those who want to find them in the picture again.
CYCLE_ENDS, PHASE_STARTS = "cycle ends", "phase starts"

_MOST_MARKS = 60
_TITLE_WIDTH, _LEGEND_WIDTH = 100, 110  # characters of a line that fit into the width of the picture


def draw(curve: Curve, axes: "Axes | None" = None, color: str | None = None, *, marks: bool = True) -> "Axes":
    """Draw a curve.

    Args:
        curve: what to draw.
        axes: where; axes of a new figure if None.
        color: colour of the curve; the next one of the axes if None.
        marks: also draw thin lines where phases begin (dotted) and cycles end (dashed).

    Raises:
        ModuleNotFoundError: if matplotlib is not installed, with what to install.
    """
    axes = axes or _new_axes()
    places, lrs = curve.points()
    [line] = axes.plot(places, lrs, label=curve.name, linewidth=1.6, color=color)
    starts, ends = curve.marks(_MOST_MARKS) if marks else ([], [])
    for steps, style, name in ((starts, ":", PHASE_STARTS), (ends, "--", CYCLE_ENDS)):
        if steps:
            lines = axes.vlines(curve.place(steps), 0, 1, transform=axes.get_xaxis_transform(), colors=line.get_color())
            lines.set(linewidth=0.9, linestyle=style, alpha=0.35, zorder=1, gid=name)
    _dress(axes, curve)
    return axes


def preview_figure(curves: Sequence[Curve], colors: Sequence[str]) -> "Figure":
    """Return the picture of several curves over one another; ``savefig`` writes it.

    Args:
        curves: the curves, all in the same run.
        colors: a colour for each, as ``#rrggbb``.
    """
    from matplotlib.figure import Figure

    names = [fill(curve.name, _LEGEND_WIDTH if len(curves) > 1 else _TITLE_WIDTH) for curve in curves]
    rows = sum(name.count("\n") + 1 for name in names) if len(curves) > 1 else 0
    figure = Figure(figsize=(9, 4 + 0.24 * rows), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for curve, color in zip(curves, colors, strict=True):
        draw(curve, axes, color)
    if rows:
        figure.legend(axes.get_lines(), names, loc="outside lower left", frameon=False, fontsize=9)
    else:
        axes.set_title(names[0], loc="left", fontsize=10.5)
    return figure


def _dress(axes: "Axes", curve: Curve) -> None:
    """Label the axes and give them the look of the package's other pictures."""
    axes.set_xlabel(curve.unit)
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _new_axes() -> "Axes":
    """Return the axes of a new figure, which a notebook shows by itself."""
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "a picture of a plan needs matplotlib; install with: pip install 'lightning-lrsched[plot]'"
        ) from missing
    return pyplot.figure(figsize=(9, 4), layout="constrained").add_subplot()
