"""What the page draws: traces of plotly as plain values, with optimizer steps on the horizontal axis.

The page itself moves them to the other axes. A trace's ``meta`` says whose steps it has (``run``) and where it is
shown: among the ``runs``, among the ``means`` over seeds, or in ``both``.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any, TypeAlias

from lightning_lrsched.compare.colors import run_colors
from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.ends import cycle_at
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.means import plan_names
from lightning_lrsched.compare.plans import PlannedPhase
from lightning_lrsched.compare.plot import run_labels, shortened
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.seeds import band, plans, sharing

Trace: TypeAlias = dict[str, Any]

LR, METRIC, LR_ENDS, METRIC_ENDS, LANES = "y", "y2", "y3", "y4", "y5"
"""The vertical axes: two panels, two that lie over them for the ends of cycles, and the lanes of the phases."""

MOST_LANES = 30
_MOST = 2000
_MOST_PHASES = 200
_MANY_ENDS = 40
_DIGITS = 7
_NAME_LENGTH = 40
_PLACE = "at %{x:.8~g}"  # of whichever horizontal axis is chosen
_PHASE_COLORS = {"warmup": "#e69f00", "cooldown": "#cc79a7"}
_CYCLE_COLORS = ("#5b8fb0", "#a9c6d8")


def traces(records: Sequence[RunRecord], goal: Goal) -> list[Trace]:
    """Return everything that is drawn, the first run last, so that it lies on top."""
    colors, names = run_colors(len(records)), run_labels(records)
    groups = sharing(records)
    planned = plans(records)
    told = plan_names([[records[at] for at in group] for group in planned])
    means = {
        group[0]: f"plan {number}: {shortened(name, _NAME_LENGTH)}"
        for number, (group, name) in enumerate(zip(planned, told, strict=True), start=1)
    }
    drawn: list[list[Trace]] = []
    for group in groups:
        view = "runs" if len(group) > 1 else "both"
        runs = [list(_run(records[at], goal, colors[at], _about(names[at], "run", at, view))) for at in group]
        first = group[0]
        drawn += [*runs, list(_mean([records[at] for at in group], first, means.get(first, ""), colors[first]))]
    lanes = [
        trace for lane, group in enumerate(planned[:MOST_LANES]) for trace in _lane(records[group[0]], group[0], lane)
    ]
    return [trace for part in reversed(drawn) for trace in part] + lanes


def _run(record: RunRecord, goal: Goal, color: str, about: Trace) -> Iterator[Trace]:
    """Yield the traces of one run; one of them stands for it in the legend."""
    boundaries = [phase.start for phase in record.phases] + [end + 1 for end in record.cycle_ends]
    lrs = [curve.thinned(_MOST, boundaries) for curve in dict.fromkeys((record.lr or {}).values())]
    for at, curve in enumerate(lrs):
        width = 1.8 if at == 0 else 1
        yield (
            _line(curve, LR, "lr %{y:.4g}", {"color": color, "width": width})
            | about
            | {"opacity": 0.95 if at == 0 else 0.55}
        )
    metric = record.metric.thinned(_MOST, boundaries)
    yield _line(metric, METRIC, f"{in_figure(goal.metric)} %{{y:.5g}}", {"color": color, "width": 1.8}) | about
    for axis in (LR_ENDS, METRIC_ENDS):
        if record.cycle_ends:
            yield _ends(record.cycle_ends, axis, color) | about
    for kept, symbol, which in ((record.cycle_last, "square", "end"), (record.cycle_best, "circle", "best")):
        if kept.steps:
            look: Trace = {"symbol": symbol, "size": 9, "color": "white", "line": {"color": color, "width": 2}}
            cycles = [cycle_at(record, step) for step in kept.steps]
            texts = [f"kept: {which} of {'a cycle' if at is None else f'cycle {at}'}" for at in cycles]
            yield _marks(kept, texts, look) | about
    best = goal.best(record.metric)
    if best is not None:
        star: Trace = {"symbol": "star", "size": 14, "color": color, "line": {"color": "white", "width": 1}}
        yield _marks(Curve((best[0],), (best[1],)), ["best"], star) | about
    yield _entry(color, about["meta"]["run"]) | about


def _mean(records: Sequence[RunRecord], index: int, name: str, color: str) -> Iterator[Trace]:
    """Yield mean and band of runs that share a plan, and the lr of the first of them."""
    found = band(records) if len(records) > 1 else None
    if found is None and len(records) < 2:
        return
    count = len(records) if found is None else found.count
    about = _about(f"{name} (mean of {count})", "mean", index, "means")
    for curve in list(dict.fromkeys((records[0].lr or {}).values()))[:1]:
        yield _line(curve.thinned(_MOST), LR, "lr %{y:.4g}", {"color": color, "width": 1.8}) | about
    if found is not None:
        lower = [mean - spread for mean, spread in zip(found.mean.values, found.spread, strict=True)]
        upper = [mean + spread for mean, spread in zip(found.mean.values, found.spread, strict=True)]
        edge = (
            Curve(found.mean.steps, tuple(lower)).thinned(_MOST),
            Curve(found.mean.steps, tuple(upper)).thinned(_MOST),
        )
        yield {
            "type": "scatter", "x": [*edge[1].steps, *reversed(edge[0].steps)], "yaxis": METRIC, "mode": "lines",
            "y": _rounded([*edge[1].values, *reversed(edge[0].values)]), "line": {"width": 0}, "fill": "toself",
            "fillcolor": f"{color}30", "hoverinfo": "skip", "showlegend": False,
        } | about  # fmt: skip
        yield _line(found.mean.thinned(_MOST), METRIC, "mean %{y:.5g}", {"color": color, "width": 2.2}) | about
    for axis in (LR_ENDS, METRIC_ENDS) if records[0].cycle_ends else ():
        yield _ends(records[0].cycle_ends, axis, color) | about
    yield _entry(color, about["meta"]["run"]) | about


def _lane(record: RunRecord, index: int, lane: int) -> Iterator[Trace]:
    """Yield the phases of a plan as pieces of a bar; none where there are too many to be seen."""
    if len(record.phases) > _MOST_PHASES:
        return
    kinds: dict[str, list[PlannedPhase]] = {}
    for phase in record.phases:
        kinds.setdefault(_PHASE_COLORS.get(phase.name, _CYCLE_COLORS[phase.cycle % 2]), []).append(phase)
    last = max((*record.clock.steps[-1:], *(phase.start for phase in record.phases)), default=0)
    for color, phases in kinds.items():
        steps: list[int | None] = []
        texts: list[str] = []
        for phase in phases:
            stop = last + 1 if phase.stop is None else phase.stop
            steps += [phase.start, (phase.start + stop) // 2, stop, None]
            texts += [f"{in_figure(phase.name)}, cycle {phase.cycle}: steps {phase.start} to {stop - 1}"] * 4
        yield {
            "type": "scatter", "mode": "lines", "x": steps, "y": [lane] * len(steps), "yaxis": LANES, "text": texts,
            "line": {"color": color, "width": 9}, "hovertemplate": "%{text}<extra></extra>", "showlegend": False,
            "meta": {"run": index, "view": "both"},
        }  # fmt: skip


def _about(name: str, kind: str, index: int, view: str) -> Trace:
    """Return what all traces of a run, or of a mean, have in common."""
    return {"name": in_figure(name), "legendgroup": f"{kind} {index}", "meta": {"run": index, "view": view}}


def _line(curve: Curve, axis: str, hover: str, look: dict[str, Any]) -> Trace:
    """Return a curve; a single point, which has no line, as a dot."""
    alone = len(curve.finite().steps) == 1
    return {
        "type": "scatter", "mode": "markers" if alone else "lines", "x": list(curve.steps), "yaxis": axis,
        "y": _rounded(curve.values), "line": look, "marker": {"color": look["color"], "size": 7},
        "hovertemplate": f"{hover} {_PLACE}", "showlegend": False,
    }  # fmt: skip


def _ends(steps: Sequence[int], axis: str, color: str) -> Trace:
    """Return a thin upright line at the end of each cycle."""
    return {
        "type": "scatter", "mode": "lines", "x": [x for step in steps for x in (step, step, None)], "yaxis": axis,
        "y": [0, 1, None] * len(steps), "line": {"color": color, "width": 1, "dash": "dot"}, "hoverinfo": "skip",
        "opacity": 0.7 if len(steps) <= _MANY_ENDS else 0.25, "showlegend": False,
    }  # fmt: skip


def _marks(curve: Curve, texts: Sequence[str], look: dict[str, Any]) -> Trace:
    """Return single points of the metric, each with a text."""
    return {
        "type": "scatter", "mode": "markers", "x": list(curve.steps), "y": _rounded(curve.values), "yaxis": METRIC,
        "text": list(texts), "marker": look, "hovertemplate": f"%{{text}} %{{y:.5g}} {_PLACE}", "showlegend": False,
    }  # fmt: skip


def _entry(color: str, rank: int) -> Trace:
    """Return an empty trace that stands in the legend, the first run at its top."""
    return {
        "type": "scatter", "mode": "lines", "x": [None], "y": [None], "yaxis": METRIC, "line": {"color": color},
        "legendrank": rank,
    }  # fmt: skip


def _rounded(values: Iterable[float]) -> list[float | None]:
    """Return values as JSON has them: seven digits, nothing where they are not finite."""
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values]


def in_figure(text: str) -> str:
    """Return a text as plotly shows it as it is: without markup, and without placeholders."""
    return escape(text, quote=False).replace("%", "&#37;")
