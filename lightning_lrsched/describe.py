"""A resolved plan as text: its phases with their steps and lrs."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from lightning_lrsched.phases import Span
from lightning_lrsched.shapes import Tabled
from lightning_lrsched.timeline import Timeline

Row: TypeAlias = tuple[str, str, str, str]

HEADER: Row = ("phase", "cycle", "steps", "lr")
_ROWS = 12
_MOST_PHASES = 10_000
_SHARE = re.compile(r"[\d.]+%")


def plan_table(timeline: Timeline, base_lr: float) -> str:
    """Return the phases of a timeline as an aligned table, at most a dozen rows.

    Args:
        timeline: what to describe.
        base_lr: peak lr that the lrs are computed with.
    """
    rows, more = phase_rows(timeline, base_lr)
    rows = [HEADER, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(f"  {line}" for line in (*lines, more) if line)


def phase_rows(timeline: Timeline, base_lr: float) -> tuple[list[Row], str]:
    """Return the cells of the first dozen phases, and a line that tells of the others; empty where there are none."""
    spans = list(islice(timeline.spans(), _ROWS + 1))
    more = f"... and so on{_until(timeline)}" if len(spans) > _ROWS else ""
    return [_row(timeline, span, base_lr) for span in spans[:_ROWS]], more


def _row(timeline: Timeline, span: Span, base_lr: float) -> Row:
    """Return the cells of one phase: the lr of its first step and of its last one, and of a peak between them."""
    if span.stop is None:
        return span.name, str(span.cycle), f"{span.start} ...", f"{timeline.lr(span.start, base_lr):.4g}"
    first, last = timeline.lr(span.start, base_lr), timeline.lr(span.stop - 1, base_lr)
    lrs = [first, *_turns(timeline, span, base_lr), last]
    lr = f"{first:.4g}" if len(set(lrs)) == 1 else " -> ".join(f"{value:.4g}" for value in lrs)
    return (
        span.name + ("" if span.phase.whole else " (cut short)"),
        str(span.cycle),
        f"{span.start} - {span.stop - 1}",
        lr,
    )


def _turns(timeline: Timeline, span: Span, base_lr: float) -> list[float]:
    """Return the highest and the lowest lr inside a phase that is a table, where they lie beyond its two ends."""
    if span.stop is None or not isinstance(span.phase.shape, Tabled):
        return []
    lrs = timeline.lr(span.phase.shape.corners(span.start, span.stop - 1), base_lr)
    if not lrs.size:
        return []
    ends = (timeline.lr(span.start, base_lr), timeline.lr(span.stop - 1, base_lr))
    high, low = int(lrs.argmax()), int(lrs.argmin())
    beyond = ([high] if lrs[high] > max(ends) else []) + ([low] if lrs[low] < min(ends) else [])
    return [lrs[place] for place in sorted(beyond)]


def _until(timeline: Timeline) -> str:
    return "" if timeline.total is None else f", until step {timeline.total - 1}"


class _Absent:
    """Stands for what is not there."""

    def __repr__(self) -> str:
        return "not named"


_ABSENT = _Absent()


def differences(
    old: object, new: object, path: str = "", default: Callable[[str, str], object] = lambda kind, name: None
) -> Iterator[str]:
    """Yield one line for every value that differs between two plans in their primitive form.

    Args:
        old: the one before.
        new: the one now.
        path: where in the plan they stand.
        default: the value of a class's parameter that is not given, by their names.

    >>> list(differences({"main": {"T_0": "10ep"}}, {"main": {"T_0": "5ep"}}))
    ["main.T_0: '10ep' -> '5ep'"]
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.get("class") == new.get("class"):
        kind = old.get("class")
        for key in dict.fromkeys((*old, *new)):
            absent = default(kind, key) if kind else _ABSENT if path == "groups" else None
            values = (old.get(key, absent), new.get(key, absent))
            yield from differences(*values, f"{path}.{key}" if path else str(key), default)
    elif old != new and not (isinstance(old, list | tuple) and isinstance(new, list | tuple) and [*old] == [*new]):
        before, after = (
            _written(each) if isinstance(each, dict) and "class" in each else repr(each) for each in (old, new)
        )
        yield f"{path}: {before} -> {after}"


def plan_document(description: dict[str, Any], timeline: Timeline | None, base_lrs: list[float]) -> dict[str, Any]:
    """Return all that is known of a plan as primitives: what was written, and where its phases lie in the run.

    Args:
        description: plan, update and run as primitives.
        timeline: the resolved plan; None where a scheduler of the module drives the lr.
        base_lrs: peak lr of every parameter group.
    """
    phases = [] if timeline is None else list(islice(timeline.spans(), _MOST_PHASES))
    rows = [
        {"name": s.name, "start": s.start, "stop": s.stop, "cycle": s.cycle, "whole": s.phase.whole} for s in phases
    ]
    return {**description, "base_lrs": base_lrs, "phases": rows}


def flat_params(description: dict[str, Any], base_lrs: list[float]) -> dict[str, str]:
    """Return a plan as flat params: one for each part as it is written, and one for each parameter of a part."""
    plan = description["plan"]
    params = {part: _written(plan.get(part)) for part in ("main", "warmup", "cooldown")}
    for part, values in plan.items():
        if isinstance(values, dict):
            params |= {f"{part}.{key}": _param(value) for key, value in values.items() if key != "class"}
    params |= {key: str(value) for key, value in description.items() if key != "plan"}
    return params | {"base_lr": ", ".join(f"{lr:g}" for lr in dict.fromkeys(base_lrs))}


def shares_in(part: object) -> list[str]:
    """Return the durations that are shares of the run in a plan as primitives, such as ``5%``.

    >>> shares_in({"warmup": {"class": "Warmup", "duration": "5%"}, "main": {"class": "SGDR", "T_0": "10ep"}})
    ['5%']
    """
    if isinstance(part, dict | list | tuple):
        inside = part.values() if isinstance(part, dict) else part
        return [share for each in inside for share in shares_in(each)]
    return [part] if isinstance(part, str) and _SHARE.fullmatch(part) else []


def _written(part: object) -> str:
    """Return a part of a plan as the call that makes it."""
    if not isinstance(part, dict):
        return "none" if part is None else str(part)
    given = ", ".join(f"{key}={_argument(value)}" for key, value in part.items() if key != "class")
    return f"{part['class']}({given})"


def _argument(value: object) -> str:
    """Return a parameter as it stands in a call; schedules inside are calls, too."""
    if isinstance(value, dict):
        inside = (f"{key!r}: {_argument(each)}" for key, each in value.items())
        return _written(value) if "class" in value else f"{{{', '.join(inside)}}}"
    return f"[{', '.join(map(_argument, value))}]" if isinstance(value, list) else repr(value)


def _param(value: object) -> str:
    """Return a parameter as text; the plan of a parameter group as its main schedule and what it has besides."""
    if isinstance(value, dict) and "main" in value:
        more = (f"{name}={_argument(part)}" for name, part in value.items() if part and name != "main")
        return ", ".join([_written(value["main"]), *more])
    return _argument(value) if isinstance(value, dict | list) else str(value)
