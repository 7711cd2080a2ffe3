"""The page: the figure, the tables, plotly and a small script, in one file that loads nothing."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from lightning_lrsched.compare.colors import run_colors
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.means import MeanRow, mean_rows
from lightning_lrsched.compare.rendering import any_end, end_cell, means_caption, means_cells, means_heads, row_cells
from lightning_lrsched.compare.report.figure import figure
from lightning_lrsched.compare.report.plans_table import PlanRow, plan_rows
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.table import Row, caption, table_rows


def report_page(
    records: Sequence[RunRecord], goal: Goal, title: str, source: str, *, baseline: str | None = None
) -> str:
    """Return the comparison as an HTML page.

    Whatever comes from the store is escaped, and the page's content security policy lets no script run but the two
    that it was made with, and nothing be loaded or sent.

    Args:
        records: the runs, in the order of the table.
        goal: what they are compared by.
        title: heading of the page.
        source: where and when the runs were read, without credentials.
        baseline: what the means of the plans are held against: see `mean_rows`.
    """
    from plotly.offline import get_plotlyjs

    library, script = get_plotlyjs(), _file("page.js")
    page = Template(_file("page.html"))
    rows, means = table_rows(records, goal), mean_rows(records, goal, baseline)
    return page.substitute(
        title=escape(title),
        source=escape(source),
        script_hashes=" ".join(f"'sha256-{_hash(code)}'" for code in (library, script)),
        style=_file("page.css"),
        seeds="" if (drawn := figure(records, goal))["seeds"] else "hidden",
        runs=_runs_table(rows, goal),
        caption="<br>".join(map(escape, [*caption(goal, recommended=any_end(rows)).splitlines(), _AREA])),
        means_hidden="" if means else "hidden",
        means=_means_table(means, goal, baseline),
        means_caption="<br>".join(map(escape, means_caption(baseline).splitlines())),
        plans=_plans_table(records),
        data=_json(drawn),
        library=library,
        script=script,
    )


_AREA = (
    "mean of the curve: the area under it, divided by its length in steps. A star marks a run's best value, a ring the "
    "checkpoint kept as the best of a cycle, a square that of the cycle's end, a dotted line the end of a cycle"
)


def _file(name: str) -> str:
    """Return a file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    """Return a script's hash as a content security policy names it."""
    return b64encode(sha256(code.encode()).digest()).decode()


def _json(value: Any) -> str:
    """Return a value as JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _runs_table(rows: Sequence[Row], goal: Goal) -> str:
    """Return the table of runs; a cell's ``data-sort`` is what it is sorted by, its text where there is none."""
    heads = (
        "run", "schedule", "warmup", f"best {goal.metric}", "at epoch", "in cycle", "recommended", "epochs to target",
        "wall time", "mean of the curve", "steps", "status",
    )  # fmt: skip
    body = [_run_row(row, color) for row, color in zip(rows, run_colors(len(rows)), strict=True)]
    head = "".join(f'<th scope="col"><button type="button">{escape(text)}</button></th>' for text in heads)
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"


def _run_row(row: Row, color: str) -> str:
    """Return a row of the table of runs."""
    schedule, warmup, best, epoch_cell, cycle, *rest = row_cells(row)
    measured = (best, epoch_cell, cycle, end_cell(row), *rest)
    area = "-" if row.area is None else f"{row.area:.5g}"
    steps = "-" if row.steps is None else f"{row.steps}"
    epoch = row.step if row.epoch is None else row.epoch
    target = row.target_step if row.target_epochs is None else row.target_epochs
    numbers = (row.best, epoch, row.cycle, row.recommended, target, row.seconds, row.area, row.steps)
    cells = [
        f'<td title="{escape(row.run_id)}"><i style="background:{color}"></i>{escape(row.run)}</td>',
        *(f"<td>{escape(text)}</td>" for text in (schedule, warmup)),
        *(
            f'<td class="number" data-sort="{"" if number is None else repr(number)}">{escape(text)}</td>'
            for text, number in zip((*measured, area, steps), numbers, strict=True)
        ),
        f"<td>{escape(row.status)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _means_table(rows: Sequence[MeanRow], goal: Goal, baseline: str | None) -> str:
    """Return the means of the plans as a table."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in means_heads(rows, goal, baseline))
    body = []
    for row in rows:
        name, *cells = means_cells(row, rows, baseline)
        lines = (escape(text).replace(" [", "<br>[") for text in cells)
        numbers = "".join(f'<td class="number">{text}</td>' for text in lines)
        body.append(f'<tr><th scope="row">plan {row.plan}: {escape(name)}</th>{numbers}</tr>')
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"


def _plans_table(records: Sequence[RunRecord]) -> str:
    """Return the plans side by side; a line in which they do not differ is pale."""
    groups, rows = plan_rows(records)
    if not groups:
        return "<tbody><tr><td>none of these runs has stored a plan</td></tr></tbody>"
    colors = run_colors(len(records))
    names = [f"plan {index}: {_named(records, group)}" for index, group in enumerate(groups, start=1)]
    dots = [f'<i style="background:{colors[group[0]]}"></i>' for group in groups]
    heads = "".join(f'<th scope="col">{dot}{escape(name)}</th>' for dot, name in zip(dots, names, strict=True))
    return f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(map(_plan_row, rows))}</tbody>"


def _plan_row(row: PlanRow) -> str:
    """Return a line of the table of plans."""
    cells = zip(row.cells, row.marked, strict=True)
    texts = "".join(f"<td{' class=differs' if marked else ''}>{escape(text)}</td>" for text, marked in cells)
    return f'<tr{"" if row.differs else " class=same"}><th scope="row">{escape(row.name)}</th>{texts}</tr>'


def _named(records: Sequence[RunRecord], group: Sequence[int]) -> str:
    """Return the runs of a plan in few words."""
    first = records[group[0]].name
    return first if len(group) == 1 else f"{first} and {len(group) - 1} more"
