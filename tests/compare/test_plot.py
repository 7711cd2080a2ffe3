"""The picture, by what is drawn on it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from lightning_lrsched.compare import Curve, RunRecord, compare_figure, goal_for, run_colors
from lightning_lrsched.compare.plot import BEST, CYCLE_ENDS, KEPT, TARGET, run_labels

PNG = b"\x89PNG\r\n\x1a\n"


def curve(*values: float, every: int = 1) -> Curve:
    return Curve(tuple(range(every - 1, every * len(values), every)), values)


def sgdr(run_id: str = "a", lr: Curve | None = None) -> RunRecord:
    return RunRecord(
        run_id,
        f"run {run_id}",
        "finished",
        lr={"SGD/0": lr or curve(*[0.1, 0.05] * 6)},
        metric=curve(0.9, 0.5, math.nan, 0.4, every=3),
        cycles=Curve((0, 1, 2, 5, 6, 11), (0, 0, 1, 1, 2, 2)),
        cycle_best=Curve((5,), (0.5,)),
    )


def panels(*records: RunRecord, metric: str = "val_loss", target: float | None = None) -> tuple[Axes, Axes]:
    figure = compare_figure(records, goal_for(records, metric, target=target), "title")
    lr_axes, metric_axes = figure.axes
    return lr_axes, metric_axes


def lines(axes: Axes, label: str) -> list[Line2D]:
    return [line for line in axes.lines if label in (line.get_gid(), line.get_label())]


def points(line: Line2D) -> list[tuple[float, float]]:
    return list(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True))


def dashes(style: Any) -> tuple[float, float, float]:
    offset, (on, off) = style
    return offset, on, off


def cycle_marks(axes: Axes) -> list[LineCollection]:
    return [found for found in axes.collections if isinstance(found, LineCollection) and found.get_gid() == CYCLE_ENDS]


def test_curves_are_those_of_the_run() -> None:
    lr_axes, metric_axes = panels(sgdr())
    (lr,), (metric,) = lines(lr_axes, "a"), lines(metric_axes, "a")
    np.testing.assert_array_equal(lr.get_xdata(), np.arange(12))
    np.testing.assert_array_equal(lr.get_ydata(), [0.1, 0.05] * 6)
    np.testing.assert_array_equal(metric.get_xdata(), [2, 5, 8, 11])
    np.testing.assert_array_equal(metric.get_ydata(), [0.9, 0.5, math.nan, 0.4])
    assert lr.get_color() == metric.get_color() == run_colors(1)[0]


def test_marks_stand_where_they_belong() -> None:
    lr_axes, metric_axes = panels(sgdr())
    for axes in (lr_axes, metric_axes):
        (marks,) = cycle_marks(axes)
        assert [segment[0][0] for segment in marks.get_segments()] == [1, 5]
    (best,), (kept,) = lines(metric_axes, BEST), lines(metric_axes, KEPT)
    assert points(best) == [(11, 0.4)]
    assert points(kept) == [(5, 0.5)]


def test_runs_that_share_cycle_ends_share_the_line_dash_by_dash() -> None:
    _, axes = panels(sgdr("a"), sgdr("b"))
    first, second = ([dashes(style) for style in marks.get_linestyle()] for marks in cycle_marks(axes))
    assert [on == off for _, on, off in first + second] == [True] * 4
    assert [later - earlier for (earlier, _, _), (later, _, _) in zip(first, second, strict=True)] == [
        pytest.approx(first[0][1])
    ] * 2


def test_an_infinite_value_is_a_gap() -> None:
    record = RunRecord("a", "run", "failed", metric=curve(0.9, math.inf, 0.5))
    _, axes = panels(record)
    np.testing.assert_array_equal(lines(axes, "a")[0].get_ydata(), [0.9, math.nan, 0.5])


def test_equal_groups_are_drawn_once_and_others_beside_them() -> None:
    record = RunRecord("a", "run", "finished", lr={"0": curve(0.1, 0.2), "1": curve(0.1, 0.2), "2": curve(0.3, 0.4)})
    lr_axes, _ = panels(record)
    assert [points(line) for line in lr_axes.lines] == [[(0, 0.1), (1, 0.2)], [(0, 0.3), (1, 0.4)]]


@pytest.mark.parametrize(
    ("curves", "scale"),
    [
        pytest.param([curve(0.1, 0.08, 0.05, 0.02, 0.0)], "linear", id="a cosine shows its shape"),
        pytest.param([curve(0.1, 0.01, 0.001)], "log", id="steps by ten"),
        pytest.param([curve(0.1, 0.05), curve(0.001, 0.0005)], "log", id="peaks far apart"),
        pytest.param([curve(0.0, 0.0)], "linear", id="nothing above zero"),
    ],
)
def test_the_scale_of_the_learning_rate_follows_the_values(curves: list[Curve], scale: str) -> None:
    records = [RunRecord(str(at), "run", "finished", lr={"0": lr}) for at, lr in enumerate(curves)]
    lr_axes, _ = panels(*records)
    assert lr_axes.get_yscale() == scale


def test_a_loss_that_falls_by_orders_is_drawn_on_a_log_scale() -> None:
    falling = RunRecord("a", "run", "finished", metric=curve(900.0, 1.0, 0.5, 0.4))
    assert panels(falling)[1].get_yscale() == "log"
    assert panels(falling, metric="val_acc")[1].get_yscale() == "linear"


def test_the_target_is_drawn_unless_it_is_a_single_runs_own_best() -> None:
    assert not lines(panels(sgdr())[1], TARGET)
    (given,) = lines(panels(sgdr(), target=0.6)[1], TARGET)
    assert [y for _, y in points(given)] == [0.6, 0.6]
    assert lines(panels(sgdr("a"), sgdr("b"))[1], TARGET)


def test_axes_say_what_they_show() -> None:
    lr_axes, metric_axes = panels(sgdr(), metric="val_acc")
    assert lr_axes.get_ylabel() == "learning rate"
    assert metric_axes.get_title("left") == "val_acc (higher is better)"
    assert (metric_axes.get_ylabel(), metric_axes.get_xlabel()) == ("val_acc", "optimizer step")
    assert lr_axes.get_shared_x_axes().joined(lr_axes, metric_axes)


def test_legends_name_runs_and_the_marks_that_are_there() -> None:
    records = [sgdr("a"), RunRecord("b", "bare", "running", metric=curve(0.7))]
    figure = compare_figure(records, goal_for(records, "val_loss"), "title")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["run a", "bare (running)"]
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "best", "kept for a cycle", "end of a cycle", "target 0.4",
    ]  # fmt: skip


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    runs = [replace(sgdr("a"), name="$5 and $x_$"), replace(sgdr("b"), name="_b")]
    figure = compare_figure(runs, goal_for(runs, "val_loss"), "$a_$ study")
    figure.savefig(tmp_path / "names.png")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [r"\$5 and \$x_\$", "_b"]  # an escaped dollar is drawn without the backslash


def test_names_are_told_apart_and_cut_in_the_middle() -> None:
    same = [RunRecord("abcdefgh", "twin", "finished"), RunRecord("12345678", "twin", "killed")]
    assert run_labels(same) == ["twin [abcdef]", "twin [123456] (killed)"]
    (label,) = run_labels([RunRecord("a", "x" * 30 + "y" * 30, "finished")])
    assert (len(label), label[0], label[-1]) == (39, "x", "y")


@pytest.mark.parametrize("count", [1, 3, 12, 13, 30])
def test_any_number_of_runs_becomes_a_png(tmp_path: Path, count: int) -> None:
    records = [sgdr(f"{at:02}", curve(*[0.1 * (at + 1), 0.05] * 6)) for at in range(count)]
    figure = compare_figure(records, goal_for(records, "val_loss"), f"{count} runs")
    figure.savefig(tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)
    assert len({line.get_color() for line in figure.axes[0].lines}) == count
    assert sum(len(marks.get_segments()) for marks in cycle_marks(figure.axes[1])) == 2 * count
    assert len(figure.legends[0].get_texts()) == min(count, 25)


def test_runs_that_recorded_nothing_leave_empty_panels(tmp_path: Path) -> None:
    records = [RunRecord("a", "empty", "failed"), RunRecord("b", "empty too", "running", metric=curve(math.nan))]
    figure = compare_figure(records, goal_for(records, "val_loss"), "title")
    figure.savefig(tmp_path / "compare.png")
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["not recorded by these runs"]] * 2
