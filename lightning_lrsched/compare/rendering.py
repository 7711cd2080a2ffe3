"""The table as the terminal shows it."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.means import Estimate, MeanRow
from lightning_lrsched.compare.table import Row, caption
from lightning_lrsched.masking import printable

if TYPE_CHECKING:
    from rich.table import Table

_WARMUP = re.compile(r"Warmup\(duration=(?:'([^']*)'|([^,)]*))(?:, (.*))?\)")
_MAX_WORD = 24
_NARROW = 12
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
    ends = any_end(rows)
    for row, color in zip(rows, colors, strict=True):
        schedule, warmup, *numbers = (Text(printable(cell)) for cell in row_cells(row))
        if ends:
            numbers.insert(3, Text(end_cell(row)))
        name = Text.assemble(("●\u00a0", color), printable(row.run))
        about = [Text.assemble(name, "\n", schedule, "\nwarmup ", warmup)] if narrow else [name, schedule, warmup]
        table.add_row(*about, *numbers, Text(row.status, style=_STATUS_STYLES.get(row.status, "")))
    return table


def _empty_table(rows: Sequence[Row], goal: Goal, title: str, *, narrow: bool) -> "Table":
    """Return the table with its columns, without rows."""
    from rich.table import Table

    table = Table(**_look(title, caption(goal, recommended=any_end(rows))))
    if narrow:
        table.add_column("run", overflow="fold", min_width=_NARROW)
    else:
        table.add_column("run", overflow="fold", min_width=_word_width([row.run for row in rows]))
        table.add_column("schedule", overflow="fold", min_width=_word_width([row.schedule or "" for row in rows]))
        table.add_column("warmup", overflow="fold")
    table.add_column(f"best\n{goal.metric}", justify="right", overflow="fold", min_width=8)
    ends = ("recom-\nmended",) if any_end(rows) else ()
    for header in ("at\nepoch", "in\ncycle", *ends, "epochs to\ntarget", "wall\ntime"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    return table


def _look(title: str, caption: str) -> dict[str, Any]:
    """Return how a table looks, with the words above and below it: names in them are no markup."""
    from rich import box
    from rich.text import Text

    return {
        "title": Text(printable(title), "table.title"),
        "caption": Text(caption, "table.caption"),
        "box": box.SIMPLE_HEAD,
        "pad_edge": False,
        "collapse_padding": True,
        "title_justify": "left",
        "caption_justify": "left",
    }


def any_end(rows: Sequence[Row]) -> bool:
    """Return whether a run has an end of a cycle to recommend."""
    return any(row.recommended is not None for row in rows)


def end_cell(row: Row) -> str:
    """Return the value at the recommended end of a cycle, and the cycle."""
    if row.recommended is None:
        return "-"
    cycle = "" if row.recommended_cycle is None else f" ({row.recommended_cycle})"
    return f"{row.recommended:.5g}{cycle}"


def means_table(rows: Sequence[MeanRow], goal: Goal, baseline: str | None = None, *, narrow: bool = False) -> "Table":
    """Return a rich table of the plans: means over their runs, with intervals.

    Args:
        rows: what to show, in this order.
        goal: what they are compared by.
        baseline: what the runs' differences are taken from, in words; None for no differences.
        narrow: whether each value of a plan has a line of its own, to save width.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(**_look("Means over the runs of each plan", means_caption(baseline)))
    heads = means_heads(rows, goal, baseline)
    measures = heads[2 : 5 if _any_recommended(rows) else 4]
    table.add_column("plan", overflow="fold", min_width=_word_width([row.name for row in rows]))
    table.add_column("runs", justify="right")
    for head in (["of each run", "mean", *(["minus baseline"] if baseline else [])]) if narrow else heads[2:]:
        table.add_column(head.replace(", ", "\n", 1), overflow="fold")
    for row in rows:
        name, runs, *cells = means_cells(row, rows, baseline)
        if not narrow:
            table.add_row(*map(Text, map(printable, (name, runs, *cells))))
            continue
        columns = [cell.replace(" [", "\n[") for cell in cells]
        for at, measure in enumerate(measures):
            about = (name, runs) if at == 0 else ("", "")
            table.add_row(*map(Text, map(printable, (*about, measure, *columns[at :: len(measures)]))))
    return table


def means_heads(rows: Sequence[MeanRow], goal: Goal, baseline: str | None) -> list[str]:
    """Return the heads of the table of means."""
    measures = [f"best {goal.metric}", "last", *(["recommended"] if _any_recommended(rows) else [])]
    apart = [f"{measure}, minus baseline" for measure in ("best", *measures[1:])] if baseline else []
    return ["plan", "runs", *measures, *apart]


def means_cells(row: MeanRow, rows: Sequence[MeanRow], baseline: str | None) -> list[str]:
    """Return a row's cells: mean, deviation and interval, ``-`` where there is none."""
    means = [row.best, row.last, row.recommended][: 3 if _any_recommended(rows) else 2]
    apart = [row.best_apart, row.last_apart, row.recommended_apart][: len(means)] if baseline else []
    signed = [told_estimate(each, sign="+", runs=None) for each in apart]
    return [row.name, str(row.runs), *(told_estimate(each, runs=row.runs) for each in means), *signed]


def means_caption(baseline: str | None = None) -> str:
    """Return the words that a reader of the table of means needs."""
    text = "mean ± standard deviation [95% interval of the mean, Student's t] over the runs of a plan"
    return text if baseline is None else f"{text}\nminus baseline: seed by seed, minus the runs of {baseline}"


def told_estimate(found: Estimate | None, *, sign: str = "", runs: int | None) -> str:
    """Return an estimate in words, to two digits of its deviation.

    >>> told_estimate(Estimate(0.5, 3, 0.01, 0.475, 0.525), runs=3)
    '0.500 ± 0.010 [0.475, 0.525]'
    """
    if found is None:
        return "-"
    if found.std is None or found.low is None or found.high is None:
        text = f"{found.mean:{sign}.4g}"
    else:
        some = found.std > 1e-12 * abs(found.mean)  # else it is what rounding left of no deviation
        digits = max(0, 1 - math.floor(math.log10(found.std))) if some else 4
        shown = f"{sign}.{digits}f"
        text = f"{found.mean:{shown}} ± {found.std:.{digits}f} [{found.low:{shown}}, {found.high:{shown}}]"
    return text if runs in (None, found.count) else f"{text} of {found.count}"


def _any_recommended(rows: Sequence[MeanRow]) -> bool:
    """Return whether a plan has ends of cycles to recommend."""
    return any(row.recommended is not None for row in rows)


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
