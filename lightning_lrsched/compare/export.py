"""The comparison for machines: rows as CSV, and everything that was read as JSON."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.means import Estimate, MeanRow
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.table import Row, table_rows

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(records: Sequence[RunRecord], goal: Goal) -> str:
    """Return a line for each run, with the fields of `Row`; a cell is empty where the run does not say.

    A text that a spreadsheet would take for a formula begins with a quote.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in table_rows(records, goal):
        writer.writerow({name: _plain(value) for name, value in asdict(row).items()})
    return text.getvalue()


def means_csv(rows: Sequence[MeanRow]) -> str:
    """Return a line for each plan, with the fields of `MeanRow`, each estimate's in columns of their own."""
    text = io.StringIO()
    measures = [field.name for field in fields(MeanRow) if "Estimate" in str(field.type)]
    names = [field.name for field in fields(MeanRow) if field.name not in measures]
    parts = [field.name for field in fields(Estimate)]
    heads = [*names, *(f"{measure}_{part}" for measure in measures for part in parts)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        estimates = [getattr(row, measure) for measure in measures]
        cells = [getattr(each, part, None) for each in estimates for part in parts]
        writer.writerow([*(_plain(getattr(row, name)) for name in names), *cells])
    return text.getvalue()


def as_json(records: Sequence[RunRecord], goal: Goal, means: Sequence[MeanRow] = ()) -> str:
    """Return the goal, every run (its row, its params, its phases and its curves), and the means of the plans.

    Numbers that are not finite are null, as JSON has no word for them. Curves of the lr with more than a few thousand
    points are thinned to what can be seen.
    """
    rows = table_rows(records, goal)
    runs = [{**asdict(row), **_whole(record)} for row, record in zip(rows, records, strict=True)]
    found = {"goal": asdict(goal), "runs": [_finite(run) for run in runs], "means": [asdict(row) for row in means]}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _whole(record: RunRecord) -> dict[str, Any]:
    """Return what a row does not hold."""
    return {
        "params": dict(record.params or {}),
        "phases": [asdict(phase) for phase in record.phases],
        "metric": _points(record.metric),
        "kept_best": _points(record.cycle_best),
        "kept_last": _points(record.cycle_last),
        "cycle_ends": list(record.cycle_ends),
        "lr": {key: _points(curve) for key, curve in (record.lr or {}).items()},
    }


def _points(curve: Curve) -> dict[str, list[Any]]:
    """Return a curve as two lists of equal length."""
    return {"steps": list(curve.steps), "values": list(curve.values)}


def _finite(value: Any) -> Any:
    """Return a value with None in the place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    """Return a cell that is a text or a number, never a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
