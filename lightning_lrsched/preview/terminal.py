"""Curves as a chart of characters (plotext), and phases as a table (rich)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_lrsched.describe import HEADER, phase_rows
from lightning_lrsched.preview.curve import Curve

if TYPE_CHECKING:
    from rich.table import Table

_HEIGHT = 18
_POINTS_PER_COLUMN = 8
_TICK_WIDTH = 14
_ROUNDING = 1e-9
_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼", "-|++++||+++")


def terminal_chart(
    curves: Sequence[Curve], colors: Sequence[int] | None, width: int, *, ascii_only: bool = False
) -> str:
    """Return the curves over one another as lines of text.

    Args:
        curves: the curves, all in the same run.
        colors: a colour of the 256 for each; None for a chart without colours, where several are told apart by digits.
        width: columns of the terminal.
        ascii_only: use no other characters.
    """
    import plotext

    plotext.terminal.limit(False, False)
    figure = plotext.figure.clear().theme("colorless").plot_size(width, _HEIGHT)
    for index, curve in enumerate(curves):
        places, lrs = curve.points(max(100, _POINTS_PER_COLUMN * width))
        marker = sign_of(index) if ascii_only or (colors is None and len(curves) > 1) else "braille"
        marker = marker if colors is None else plotext.marker(marker, colors[index])
        figure.draw(figure.signal(places.tolist(), lrs.tolist(), marker=marker).lines())
    end = max(curve.stop / (curve.steps_per_epoch or 1) for curve in curves)
    ticks = round_ticks(end, max(3, width // _TICK_WIDTH))
    figure.ruler("x").lim(0, end)
    figure.ruler("x").ticks(ticks, [f"{tick:,.15g}" for tick in ticks])
    figure.label(curves[0].unit, "x")
    chart = str(figure.build().string(colors is None))
    return chart.translate(_ASCII) if ascii_only else chart


def phase_table(curve: Curve) -> "Table":
    """Return the phases of a curve as a rich table, the same rows as those that are logged before training.

    Args:
        curve: the curve.
    """
    from rich import box
    from rich.table import Table

    rows, more = phase_rows(curve.timeline, curve.base_lr)
    table = Table(caption=more or None, box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for column in HEADER:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def round_ticks(end: float, most: int) -> list[float]:
    """Return round numbers from 0 up to ``end``, 1, 2 or 5 times a power of ten apart.

    There are at most ``most`` intervals, which is at least 3.

    >>> round_ticks(70, 5)
    [0.0, 20.0, 40.0, 60.0]
    """
    power = 10.0 ** math.floor(math.log10(end / most))
    apart = next((factor * power for factor in (1, 2, 5) if end <= most * factor * power), 10 * power)
    return [i * apart for i in range(math.floor(end / apart * (1 + _ROUNDING)) + 1)]


def sign_of(index: int) -> str:
    """Return the digit that is the sign of a curve where there are no colours."""
    return str((index + 1) % 10)
