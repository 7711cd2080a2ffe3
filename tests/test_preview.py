"""What is drawn of a timeline: few steps with all that matters, the same in a picture, a terminal and a notebook."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch.optim.lr_scheduler as torch_schedulers
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    InverseSqrt,
    Plan,
    RunLength,
    Schedule,
    Step,
    Timeline,
    TorchScheduler,
    Warmup,
)
from lightning_lrsched.describe import phase_rows
from lightning_lrsched.preview import Curve, draw, preview_figure, shown_steps, steps_to_draw, terminal_chart
from lightning_lrsched.preview.picture import CYCLE_ENDS, PHASE_STARTS
from lightning_lrsched.preview.terminal import round_ticks
from tests.counting import calls_of
from tests.strategies import plans, runs

RUN = RunLength(total_steps=7000, steps_per_epoch=100)
RESTARTS = Plan(SGDR("10ep", T_mult=2), warmup="5%")
mosts = st.integers(64, 500)


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    pyplot.close("all")


def phases_fit(timeline: Timeline, most: int) -> bool:
    """Return whether there are few enough phases that each must be drawn with both ends."""
    return len(list(islice(timeline.spans(), most))) <= most // 4 - 2


@given(plan=plans, run=runs, most=mosts, update=st.sampled_from(["step", "epoch"]), share=st.floats(0.01, 1.2))
def test_steps_are_sorted_few_and_inside(plan: Plan, run: RunLength, most: int, update: str, share: float) -> None:
    try:
        timeline = plan.resolve(run, update)
    except ValueError:
        return  # a staircase refuses what does not end with an epoch
    stop = max(1, round(share * (run.total_steps or 0)))
    steps = steps_to_draw(timeline, most, stop)
    assert 1 <= steps.size <= most
    assert (np.diff(steps) > 0).all()
    assert (steps[0], steps[-1]) == (0, stop - 1)


@given(plan=plans, run=runs, most=mosts)
def test_every_phase_is_drawn_from_end_to_end(plan: Plan, run: RunLength, most: int) -> None:
    timeline = plan.resolve(run)
    drawn = set(steps_to_draw(timeline, most).tolist())
    if phases_fit(timeline, most):
        assert {span.start for span in timeline.spans()} <= drawn
        assert {(span.stop or 0) - 1 for span in timeline.spans()} <= drawn


@given(plan=plans, run=runs, most=mosts, base_lr=st.floats(1e-4, 10.0))
def test_the_extremes_of_a_monotone_phase_are_drawn(plan: Plan, run: RunLength, most: int, base_lr: float) -> None:
    timeline = plan.resolve(run)
    steps = steps_to_draw(timeline, most)
    for span in timeline.spans() if phases_fit(timeline, most) else ():
        lrs = timeline.lr(np.arange(span.start, span.stop), base_lr)
        rises = np.diff(lrs)
        if (rises >= 0).all() or (rises <= 0).all():
            drawn = timeline.lr(steps[(steps >= span.start) & (steps < (span.stop or 0))], base_lr)
            assert (drawn.min(), drawn.max()) == (lrs.min(), lrs.max())


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(Cosine("2ep", periodic=True), id="few swings"),
        pytest.param(Cosine(10, periodic=True), id="more swings than points"),
        pytest.param(Cosine(num_cycles=17.5), id="swings in one phase"),
        pytest.param(Cosine(num_cycles=875), id="more swings in one phase than points"),
    ],
)
def test_both_ends_of_a_swing_are_drawn(schedule: Schedule) -> None:
    timeline = Plan(schedule).resolve(RunLength(70_000, 1000))
    lrs = timeline.lr(steps_to_draw(timeline, 500), 0.1)
    assert (lrs.min(), lrs.max()) == (0.0, 0.1)
    tenths = np.array_split(lrs, 10)
    assert max(part.min() for part in tenths) < 0.02
    assert min(part.max() for part in tenths) > 0.08


def test_a_million_cycles_are_drawn_as_the_band_they_are() -> None:
    timeline = Plan(SGDR(10, gamma=0.999999)).resolve(RunLength(10_000_000))
    steps = steps_to_draw(timeline)
    high, low = steps % 10 == 0, steps % 10 == 9
    assert min(high.sum(), low.sum()) > 450
    assert np.diff(steps[high]).max() < 3 * 10_000_000 / 450
    envelope = timeline.lr(steps[high], 0.1)
    assert (np.diff(envelope) < 0).all()
    assert envelope[-1] == pytest.approx(0.1 * 0.999999**999_999, rel=1e-3)


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(SGDR("10%", T_mult=2), id="few phases"),
        pytest.param(SGDR(10), id="most phases"),
        pytest.param(SGDR(5, T_mult=1.01), id="growing phases"),
        pytest.param(Cosine(), id="one phase"),
    ],
)
def test_the_longest_runs_cost_what_a_short_one_does(schedule: Schedule) -> None:
    def look(total: int) -> None:
        timeline = Plan(schedule, warmup="5%").resolve(RunLength(total))
        timeline.lr(steps_to_draw(timeline), 0.1)

    thousands, *longer = (calls_of(partial(look, total)) for total in (10**5, 10**6, 10**9, 10**15))
    assert thousands > 100
    assert max(longer) < 4 * thousands


def test_a_staircase_is_drawn_with_both_ends_of_each_tread() -> None:
    timeline = Plan(Cosine()).resolve(RunLength(20_000_070, 100_000), update="epoch")
    steps = steps_to_draw(timeline, 1000, 20_000_070)
    assert steps.tolist() == sorted([*range(0, 20_000_070, 100_000), *range(99_999, 20_000_000, 100_000), 20_000_069])


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        pytest.param(SGDR("10ep"), 5000, id="five equal cycles"),
        pytest.param(SGDR("10ep", T_mult=2), 31_000, id="five growing cycles"),
        pytest.param(Cosine("10ep"), 1250, id="a fall and some of the floor"),
        pytest.param(Cosine("10ep", periodic=True), 10_000, id="swings"),
        pytest.param(Constant(), 100, id="nothing happens"),
        pytest.param(InverseSqrt(1000), 8000, id="timescales of an endless fall"),
        pytest.param(Exponential(0.5, "1ep"), 800, id="periods of an endless fall"),
        pytest.param(Step("10ep"), 5000, id="drops"),
    ],
)
def test_a_run_without_end_shows_its_first_phases(schedule: Schedule, steps: int) -> None:
    timeline = Plan(schedule).resolve(RunLength(steps_per_epoch=100))
    assert shown_steps(timeline) == steps
    assert steps_to_draw(timeline)[-1] == steps - 1


def test_refused_numbers_are_named() -> None:
    timeline = RESTARTS.resolve(RUN)
    with pytest.raises(ValueError, match="most = 3 is refused: it must be at least 64"):
        steps_to_draw(timeline, most=3)
    with pytest.raises(ValueError, match="stop = 0 is refused"):
        steps_to_draw(timeline, stop=0)
    with pytest.raises(ValueError, match="base_lr = 0 is refused"):
        RESTARTS.plot(RUN, base_lr=0)


def places(axes: Axes, name: str) -> list[float]:
    """Return where the vertical lines of a name stand."""
    found = [artist for artist in axes.collections if artist.get_gid() == name]
    return [float(np.asarray(path.vertices)[0, 0]) for artist in found for path in artist.get_paths()]


def test_plot_returns_axes_with_the_curve_and_its_marks() -> None:
    axes = RESTARTS.plot(RUN, base_lr=0.2)
    [line] = axes.get_lines()
    epochs, lrs = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert lrs.tolist() == RESTARTS.resolve(RUN).lr(np.rint(epochs * 100).astype(int), 0.2).tolist()
    assert lrs.max() == 0.2
    assert places(axes, PHASE_STARTS) == [3.5]
    assert places(axes, CYCLE_ENDS) == [13.5, 33.5]
    assert axes.get_xlabel() == "epoch"


def test_plans_are_laid_over_one_another_in_given_axes() -> None:
    axes = Figure().add_subplot()
    assert RESTARTS.plot(RUN, ax=axes) is axes
    assert Plan(Cosine()).plot(RunLength(7000), ax=axes, update="step") is axes
    assert [line.get_label() for line in axes.get_lines()] == [str(RESTARTS), "Plan(main=Cosine())"]
    assert len({line.get_color() for line in axes.get_lines()}) == 2
    assert axes.get_xlabel() == "optimizer step"


def test_a_plot_without_the_end_of_the_run_shows_the_first_phases() -> None:
    axes = Plan(SGDR("10ep")).plot(RunLength(steps_per_epoch=100))
    assert np.asarray(axes.get_lines()[0].get_xdata()).max() == 49.99


@pytest.mark.parametrize(
    ("plan", "marks"),
    [pytest.param(Plan(Cyclic(10)), True, id="more than can be seen"), pytest.param(RESTARTS, False, id="not wanted")],
)
def test_phases_are_not_marked_where_they_would_be_a_thicket(plan: Plan, marks: bool) -> None:
    axes = plan.plot(RUN, marks=marks)
    assert places(axes, PHASE_STARTS) + places(axes, CYCLE_ENDS) == []


def test_a_missing_matplotlib_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-lrsched\[plot\]'"):
        RESTARTS.plot(RUN)


def curve(schedule: Schedule, name: str = "one") -> Curve:
    return Curve(name, Plan(schedule).resolve(RUN), 0.1, 7000, 100)


def test_the_picture_of_several_curves_has_a_legend() -> None:
    figure = preview_figure([curve(Cosine(), "a"), curve(SGDR("10ep"), "b")], ["#0072b2", "#d55e00"])
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert [line.get_color() for line in figure.axes[0].get_lines()] == ["#0072b2", "#d55e00"]


def test_the_chart_goes_where_the_curve_goes() -> None:
    lines = terminal_chart([curve(Cosine())], None, 60).splitlines()
    assert {len(line) for line in lines} == {60}
    inside = [line.partition("┤")[2] or line.partition("│")[2] for line in lines[1:-3]]
    columns = [min(i for i, sign in enumerate(line) if sign not in " │") for line in inside]
    assert columns == sorted(columns)
    assert columns[0] == 0
    assert columns[-1] > 40
    assert lines[-2].split() == ["0", "20", "40", "60"]
    assert lines[-1].strip() == "epoch"


def test_curves_without_colours_are_told_apart_by_digits() -> None:
    chart = terminal_chart([curve(Cosine()), curve(Constant())], None, 60)
    assert chart.splitlines()[1].count("2") > 40
    assert chart.count("1") > 30
    assert "\x1b" not in chart


def test_curves_have_the_colours_that_they_are_given() -> None:
    chart = terminal_chart([curve(Cosine()), curve(Constant())], [25, 166], 60)
    assert "\x1b[38;5;25m" in chart
    assert "\x1b[38;5;166m" in chart


@given(end=st.floats(1e-6, 1e16), most=st.integers(3, 20))
def test_ticks_are_round_and_reach_the_end(end: float, most: int) -> None:
    ticks = round_ticks(end, most)
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= most + 1
    assert ticks[-1] <= end * (1 + 1e-6)
    assert end - ticks[-1] < (ticks[1] - ticks[0]) * (1 + 1e-6)
    assert f"{ticks[1]:.3e}"[:5] in ("1.000", "2.000", "5.000")


def test_a_notebook_shows_the_curve_and_the_phases() -> None:
    root = ET.fromstring(Plan(SGDR("10ep", T_mult=2), warmup="5%").resolve(RUN)._repr_html_())
    [polyline] = root.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in polyline.attrib["points"].split()]
    assert 100 < len(points) <= 600
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    cells = [[cell.text for cell in row] for row in root.iter("tr")]
    assert cells[0] == ["phase", "cycle", "steps", "lr"]
    assert cells[1] == ["warmup", "0", "0 - 349", "0.0002849 -> 0.09972"]
    assert [row[0] for row in cells[2:]] == ["cosine cycle", "cosine cycle", "cosine cycle (cut short)"]
    [note] = root.iter("small")
    assert note.text == "Learning rate for a base lr of 0.1."


@given(plan=plans, run=runs)
def test_every_timeline_is_well_formed_html(plan: Plan, run: RunLength) -> None:
    html = plan.resolve(run)._repr_html_()
    ET.fromstring(html)
    assert len(html) < 20_000


def test_html_is_escaped_and_says_when_there_is_more() -> None:
    html = Plan(SGDR(10), warmup=Warmup(10)).resolve(RUN)._repr_html_()
    assert "-&gt;" in html
    assert "... and so on, until step 6999" in html


def test_draw_takes_a_colour() -> None:
    [line] = draw(curve(Cosine()), Figure().add_subplot(), "#123456").get_lines()
    assert line.get_color() == "#123456"


CYCLIC = partial(torch_schedulers.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=1234, mode="triangular2")
DRIVEN = [
    pytest.param(TorchScheduler(partial(torch_schedulers.StepLR, step_size=1777), "step"), id="drops"),
    pytest.param(TorchScheduler(partial(torch_schedulers.StepLR, step_size=7)), id="drops by epoch"),
    pytest.param(TorchScheduler(CYCLIC), id="peaks"),
]


@pytest.mark.parametrize("main", DRIVEN)
def test_no_drop_and_no_peak_of_a_scheduler_of_torch_is_missed(main: TorchScheduler) -> None:
    timeline = main.resolve(RunLength(100_000, 1000), 0.1, warmup=500)
    every = timeline.lr(np.arange(100_000), 0.1)
    slopes = np.sign(np.diff(every).round(12))
    slopes[np.abs(np.diff(every)) < 1e-12] = 0
    corners = np.flatnonzero(slopes[1:] != slopes[:-1]) + 1
    assert corners.size > 20
    drawn = steps_to_draw(timeline)
    assert np.isin(corners, drawn).all()
    assert drawn.size <= 2000


def test_a_table_with_more_corners_than_points_is_drawn_in_few() -> None:
    timeline = TorchScheduler(partial(torch_schedulers.StepLR, step_size=10), "step").resolve(RunLength(50_000), 0.1)
    assert steps_to_draw(timeline, 64).size <= 64


def test_the_table_of_phases_shows_a_peak_inside() -> None:
    up_and_down = TorchScheduler(partial(torch_schedulers.OneCycleLR, max_lr=0.5, total_steps=100))
    rows, _ = phase_rows(up_and_down.resolve(RunLength(100), 0.1), 0.1)
    assert rows == [("OneCycleLR", "0", "0 - 99", "0.02 -> 0.5 -> 2e-06")]
    rows, _ = phase_rows(TorchScheduler(CYCLIC).resolve(RunLength(4500), 0.1), 0.1)
    assert [row[3] for row in rows] == ["0.01 -> 0.1 -> 0.01007", "0.01 -> 0.055 -> 0.02594"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_long_name_stays_inside_the_picture(count: int) -> None:
    curves = [Curve("Sequence(" + 30 * "Cosine(), " + ")", Plan(Cosine()).resolve(RUN), 0.1, 7000, 100)] * count
    figure = preview_figure(curves, ["#0072b2"] * count)
    figure.draw_without_rendering()
    names = [text for text in figure.findobj(Text) if isinstance(text, Text) and "Sequence" in text.get_text()]
    assert len(names) == count
    for name in names:
        box, inside = name.get_window_extent(), figure.bbox
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, name
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, name


def test_a_scheduler_of_torch_is_drawn_in_python() -> None:
    main = TorchScheduler(partial(torch_schedulers.CosineAnnealingWarmRestarts, T_0=2))
    axes = main.plot(RunLength(60, 10), 0.5, warmup="1ep")
    [line] = axes.get_lines()
    timeline = main.resolve(RunLength(60, 10), 0.5, "1ep")
    assert np.asarray(line.get_xdata()).tolist() == [step / 10 for step in range(60)]
    assert np.asarray(line.get_ydata()).tolist() == [timeline.lr(step, 0.5) for step in range(60)]
    assert {each.get_gid() for each in axes.collections} == {PHASE_STARTS, CYCLE_ENDS}
    assert main.plot(RunLength(60, 10), 0.1, axes, marks=False) is axes
    assert "<svg" in timeline._repr_html_()
