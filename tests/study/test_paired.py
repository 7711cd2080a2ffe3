"""The study's arithmetic, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.sgdr_study.paired import Crossing, crossed, crossing, difference, holm, mean_interval, spread


def test_a_difference_has_the_interval_of_the_paired_test() -> None:
    ours, theirs = [3.1, 2.9, 3.4, 3.3, 3.0], [3.5, 3.0, 3.6, 3.9, 3.1]
    found = difference(ours, theirs)
    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((interval.low, interval.high))
    assert found.told() == "-0.28 [-0.55, -0.01], p=0.045"


def test_equal_values_have_no_difference_and_a_constant_one_is_certain() -> None:
    assert difference([1.0, 2.0], [1.0, 2.0]).told() == "the same"
    assert difference([2.0, 3.0], [1.0, 2.0]).told(1) == "+1.0 [+1.0, +1.0], p<0.001"


def test_the_interval_of_a_mean_is_students() -> None:
    values = [3.1, 2.9, 3.4, 3.3, 3.0]
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((3.14, interval.low, interval.high))


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_what_is_no_pair_is_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="are no pairs of at least two seeds"):
        difference(ours, theirs)


def test_holm_never_lowers_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("curve", "target", "epoch"),
    [
        ([5.0, 3.0, 4.0, 3.0, 2.0], 3.0, 4),
        ([1.0, 1.0], 3.0, 1),
        ([5.0, 3.0, 4.0], 3.0, None),
        ([5.0, 4.0, 3.0], 3.0, 3),
    ],
)
def test_a_target_is_reached_when_it_is_never_left_again(curve: list[float], target: float, epoch: int | None) -> None:
    assert crossed(curve, target) == epoch


def test_the_interval_of_a_crossing_holds_its_estimate() -> None:
    generator = np.random.default_rng(1)
    curves = 10 * np.exp(-np.arange(50) / 10) + generator.normal(0, 0.2, (5, 1))
    found = crossing(curves, np.array([1.0, 1.1, 0.9, 1.0, 1.05]))
    assert found.epoch is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.epoch <= found.high
    assert found.low < found.high
    assert crossing(curves, np.full(5, -1.0)) == Crossing(None, None, None)


def test_a_spread_is_mean_and_deviation() -> None:
    assert spread([3.0, 4.0, 5.0]) == "4.00 ± 1.00"
