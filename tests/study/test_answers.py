"""What the study makes of runs, by hand: recommended models, chosen lrs, cycle ends, other choices, gains."""

import math
from pathlib import Path

from benchmarks.sgdr_study.answers import against, choices, gains, restarted, restarts, warmed_pairs
from benchmarks.sgdr_study.results import (
    Members,
    Result,
    by_schedule,
    lowest,
    read_members,
    read_results,
    write_members,
    write_results,
)
from benchmarks.sgdr_study.tables import starred


def result(name: str, errors: list[float], seed: int = 0, stops: tuple[int, ...] = (), lr: float = 0.1) -> Result:
    """A run whose validation loss is a hundredth of its test error."""
    curves = {"val_loss": tuple(round(error / 100, 4) for error in errors), "test_error": tuple(errors)}
    return Result(name, "", lr, seed, 15, stops, curves)


def test_the_recommended_model_is_the_end_of_the_last_complete_cycle() -> None:
    one = result("sgdr", [float(epoch) for epoch in range(1, 21)], stops=(5, 15, 35))
    assert one.ends == (5, 15)
    assert [one.recommended(epoch) for epoch in (1, 4, 5, 14, 15, 20)] == [1, 4, 5, 5, 15, 15]
    assert one.value("test_error") == 15.0
    assert one.anytime("test_error")[3:7] == [4.0, 5.0, 5.0, 5.0]


def test_the_lowest_validation_loss_chooses_and_a_run_that_blew_up_never_does() -> None:
    grid = [result("a", [3.0], lr=0.1), result("a", [2.0], lr=0.3), result("a", [math.nan], lr=0.9)]
    assert lowest([*grid, result("b", [math.nan], lr=0.1), result("b", [9.0], lr=0.3)]) == {"a": 0.3, "b": 0.3}


def test_only_seeds_that_every_schedule_has_are_compared() -> None:
    runs = by_schedule([result("a", [1.0], 0), result("a", [1.0], 1), result("b", [1.0], 1)])
    assert {name: [one.seed for one in each] for name, each in runs.items()} == {"a": [1], "b": [1]}


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    runs = [result("sgdr", [3.24, 2.88], 1, (1, 3)), result("a, b", [3.0, math.inf])]
    write_results(tmp_path / "runs.csv", runs)
    assert read_results(tmp_path / "runs.csv") == runs
    ends = [Members("sgdr", 1, 2, 3.0, 2.96, 3.04, 2.92)]
    write_members(tmp_path / "ends.csv", ends)
    assert read_members(tmp_path / "ends.csv") == ends
    assert not read_results(tmp_path / "none.csv")
    assert not read_members(tmp_path / "none.csv")


def test_a_restart_is_looked_at_a_tenth_and_half_into_the_next_cycle() -> None:
    curve = [float(epoch) for epoch in range(1, 31)]
    runs = {
        "sgdr": [result("sgdr", curve, seed, (2, 5, 25, 65)) for seed in (0, 1)],
        "flat": [result("flat", curve)] * 2,
    }
    first, second = restarts(runs, "test_error")
    assert (first.end, first.soon.mean) == (5, 2.0), "the cycle of three epochs is too short"
    assert first.middle is not None
    assert first.middle.mean == 10.0
    assert (second.end, second.soon.mean, second.middle) == (25, 4.0, None)
    assert restarted(runs) == ["sgdr"]


def test_choices_are_told_where_they_differ_from_the_last_cycles_end() -> None:
    runs = {"sgdr": [result("sgdr", [4.0, 2.0, 5.0, 3.0, 6.0], seed, (2, 4, 8)) for seed in (0, 1)]}
    found = {each.what: each.values for each in choices(runs, "test_error")}
    assert found == {
        "best cycle end by val_loss": [2.0, 2.0],
        "best epoch by val_loss": [2.0, 2.0],
        "weights at the end of the run": [6.0, 6.0],
    }
    short = {"sgdr": [result("sgdr", [4.0, 2.0], seed, (2,)) for seed in (0, 1)]}
    assert choices(short, "test_error") == []


def test_gains_are_paired_by_run_and_averaging_is_held_against_its_control() -> None:
    [gain] = gains([Members("sgdr", seed, 2, 3.0 + seed, 2.5 + seed, 3.5 + seed, 3.25 + seed) for seed in (0, 1)])
    assert (gain.ensemble.mean, gain.control.mean, gain.average.mean, gain.averaging.mean) == (-0.5, 0.5, 0.25, -0.25)
    assert gains([Members("sgdr", 0, 2, 3.0, 2.5, 3.5, 3.25)]) == [], "one run has no interval"


def test_a_schedule_is_held_against_another_at_moments_and_over_all_epochs() -> None:
    runs = {name: [result(name, [value, 1.0], seed) for seed in (0, 1)] for name, value in (("a", 4.0), ("b", 2.0))}
    assert [each.mean for each in against(runs, "a", "b", "test_error", (1, 2))] == [2.0, 0.0, 1.0]
    assert warmed_pairs({"a": [], "a + warmup": [], "b + warmup": []}) == [("a + warmup", "a")]


def test_a_star_counts_all_comparisons_of_its_table() -> None:
    runs = {"a": [result("a", [3.0 + 0.01 * seed], seed) for seed in range(5)]}
    runs["b"] = [result("b", [1.0 + 0.012 * seed], seed) for seed in range(5)]
    sure = against(runs, "a", "b", "test_error", (1,))[0]
    same = against(runs, "a", "a", "test_error", (1,))[0]
    assert starred([[sure, same], [None, sure]]) == [
        ["+2.00 [+1.99, +2.00], p<0.001 *", "the same"],
        ["", "+2.00 [+1.99, +2.00], p<0.001 *"],
    ]
