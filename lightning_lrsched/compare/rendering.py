"""The table as the terminal shows it."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.table import Row, caption

if TYPE_CHECKING:
    from rich.table import Table

_WARMUP = re.compile(r"Warmup\(duration=(?:'([^']*)'|([^,)]*))(?:, (.*))?\)")
_MAX_WORD = 24
_STATUS_STYLES = {"finished": "green", "running": "yellow", "failed": "red", "killed": "red"}


def rich_table(rows: Sequence[Row], goal: Goal, title: str, colors: Sequence[str], *, narrow: bool = False) -> "Table":
    """Return a rich table of the runs.

    Args:
        rows: what to show, in this order.
        goal: what they are compared by.
        title: line above the table.
        colors: the runs' colours in the picture, as ``#rrggbb``.
        narrow: whether schedule and warmup go below the run's name, to save width.
    """
    from rich.text import Text

    table = _empty_table(rows, goal, title, narrow=narrow)
    for row, color in zip(rows, colors, strict=True):
        schedule, warmup, *numbers = (Text(cell) for cell in row_cells(row))
        name = Text.assemble(("●\u00a0", color), row.run)
        about = [Text.assemble(name, "\n", schedule, "\nwarmup ", warmup)] if narrow else [name, schedule, warmup]
        table.add_row(*about, *numbers, Text(row.status, style=_STATUS_STYLES.get(row.status, "")))
    return table


def _empty_table(rows: Sequence[Row], goal: Goal, title: str, *, narrow: bool) -> "Table":
    """Return the table with its columns, without rows."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        caption=caption(goal),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        caption_justify="left",
    )
    if narrow:
        table.add_column("run", overflow="fold")
    else:
        table.add_column("run", overflow="fold", min_width=_word_width([row.run for row in rows]))
        table.add_column("schedule", overflow="fold", min_width=_word_width([row.schedule or "" for row in rows]))
        table.add_column("warmup", overflow="fold")
    table.add_column(f"best\n{goal.metric}", justify="right", overflow="fold", min_width=8)
    for header in ("at\nepoch", "in\ncycle", "epochs to\ntarget", "wall\ntime"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    return table


def row_cells(row: Row) -> list[str]:
    """Return a row's cells from the schedule to the wall time, ``-`` where the run does not say."""
    if row.best is None:
        target = "-"
    elif row.target_step is None:
        target = "not reached"
    else:
        target = f"step {row.target_step}" if row.target_epochs is None else f"{row.target_epochs:.4g}"
    at_step = "-" if row.step is None else f"step {row.step}"
    return [
        row.schedule or "-",
        _short_warmup(row.warmup),
        "-" if row.best is None else f"{row.best:.5g}",
        at_step if row.epoch is None else str(row.epoch),
        "-" if row.cycle is None else str(row.cycle),
        target,
        "-" if row.seconds is None else wall_time(row.seconds),
    ]


def wall_time(seconds: float) -> str:
    """Return a length of time as people write it.

    >>> wall_time(4.21), wall_time(75), wall_time(7265)
    ('4.2s', '1m 15s', '2h 01m')
    """
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def _word_width(texts: Sequence[str]) -> int:
    """Return the width below which words would be broken, within reason."""
    return min(_MAX_WORD, max((len(word) for text in texts for word in text.split()), default=0) + 2)


def _short_warmup(text: str | None) -> str:
    """Return a warmup without the words that the column's header says."""
    match = _WARMUP.fullmatch(text or "")
    if not match:
        return text or "-"
    length = match[1] or (f"{match[2]} steps" if match[2].isdigit() else match[2])
    return f"{length}, {match[3]}" if match[3] else length
