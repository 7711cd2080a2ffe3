"""The figure of the page: the traces, how the panels lie, and the other axes."""

from collections.abc import Sequence
from typing import Any

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.places import epochs_done, seconds_passed
from lightning_lrsched.compare.plot import falls_far, log_bottom
from lightning_lrsched.compare.report.traces import MOST_LANES, in_figure, traces
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.seeds import plans, sharing

_UNITS = ((3 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_GRID = "#e8e8e8"


def figure(records: Sequence[RunRecord], goal: Goal) -> dict[str, Any]:
    """Return all that the page's script draws, as plain values.

    Args:
        records: the runs, in the order of the legend and of `run_colors`.
        goal: what they are compared by.
    """
    clocks = [seconds_passed(record) for record in records]
    longest = max((clock.values[-1] for clock in clocks if clock.values), default=0.0)
    size, unit = next((size, unit) for least, size, unit in _UNITS if longest >= least)
    times = [Curve(clock.steps, tuple(value / size for value in clock.values)) for clock in clocks]
    places = {"epoch": list(map(_points, map(epochs_done, records))), "time": list(map(_points, times))}
    titles = {"step": "optimizer step", "epoch": "epochs trained", "time": f"wall time ({unit})"}
    return {
        "traces": traces(records, goal),
        "layout": _layout(records, goal),
        "places": places,
        "titles": {axis: title for axis, title in titles.items() if axis == "step" or any(places[axis])},
        "seeds": any(len(group) > 1 for group in sharing(records)),
    }


def _points(curve: Curve) -> list[list[float]] | None:
    """Return a curve as two lists; None where there is none."""
    return [list(curve.steps), [float(f"{value:.7g}") for value in curve.values]] if curve.steps else None


def _layout(records: Sequence[RunRecord], goal: Goal) -> dict[str, Any]:
    """Return plotly's layout: two panels over one horizontal axis, and the lanes of the plans below."""
    lanes = plans(records)[:MOST_LANES] if any(record.phases for record in records) else []
    height = 620 + 16 * len(lanes)
    foot = 16 * len(lanes) / height + (0.03 if lanes else 0)
    middle = foot + (1 - foot) * 0.55
    lrs = [[lr for lr in curve.finite().values if lr > 0] for r in records for curve in (r.lr or {}).values()]
    values = [value for record in records for value in record.metric.finite().values]
    direction = "lower" if goal.mode == "min" else "higher"
    over = {"range": [0, 1], "visible": False, "fixedrange": True}
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 76, "r": 12, "t": 16, "b": 46},
        "hovermode": "closest",
        "showlegend": True,
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 12.5, "color": "#222"},
        "legend": {
            "groupclick": "togglegroup",
            "tracegroupgap": 2,
            "x": 1.01,
            "y": 1,
        },
        "xaxis": {"anchor": "y5" if lanes else "y2", "gridcolor": _GRID, "zeroline": False, "title": {"text": ""}},
        "yaxis": _panel("learning rate", [middle + 0.03, 1], log=log_bottom([lr for lr in lrs if lr]) is not None),
        "yaxis2": _panel(
            f"{in_figure(goal.metric)}<br>({direction} is better)", [foot, middle - 0.03], log=falls_far(values, goal)
        ),
        "yaxis3": {"overlaying": "y", **over},
        "yaxis4": {"overlaying": "y2", **over},
    }
    if lanes:
        layout["yaxis5"] = {
            "domain": [0, foot - 0.03], "range": [len(lanes) - 0.5, -0.5], "fixedrange": True, "showgrid": False,
            "zeroline": False, "tickvals": list(range(len(lanes))), "ticks": "", "tickfont": {"size": 11},
            "ticktext": [f"plan {lane + 1}" for lane in range(len(lanes))],
        }  # fmt: skip
    return layout


def _panel(title: str, domain: list[float], *, log: bool) -> dict[str, Any]:
    """Return a vertical axis."""
    scale = {"type": "log"} if log else {"type": "linear", "rangemode": "nonnegative"}
    look = {"gridcolor": _GRID, "zeroline": False, "exponentformat": "e"}
    return {"domain": domain, "title": {"text": title, "standoff": 10}, **look, **scale}
