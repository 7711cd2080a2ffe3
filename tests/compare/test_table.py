"""The numbers of a comparison, against answers worked out by hand."""

import io
import math
from dataclasses import replace

import pytest

from lightning_lrsched.compare import Curve, Goal, Row, RunRecord, goal_for, mode_of, ranked, table_rows
from lightning_lrsched.compare.rendering import rich_table, row_cells, wall_time
from lightning_lrsched.compare.table import caption
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow

SGDR = "SGDR(T_0='2ep', T_mult=2)"
FIVE = "Warmup(duration='5%')"


def test_rows_of_the_study(records: dict[str, RunRecord]) -> None:
    goal = goal_for(list(records.values()), "val_loss")
    ids = {name: record.run_id for name, record in records.items()}
    assert goal == Goal("val_loss", "min", 0.55)
    assert table_rows(ranked(list(records.values()), goal), goal) == [
        Row(ids["cosine"], "cosine", "finished", "Cosine()", "none", 0.3, 23, 5, 0, 19, 5.0, 7265.0, 0.64, 24),
        Row(ids["sgdr"], "sgdr", "finished", SGDR, FIVE, 0.4, 19, 4, 1, 7, 2.0, 75.0, 0.575, 24, 0.5, 7, 0),
        Row(ids["resumed"], "resumed", "finished", SGDR, FIVE, 0.54, 7, 1, None, 7, 2.0, 200.0, 0.72, 8),
        Row(
            ids["foreign"], "foreign", "finished", best=0.55, step=10, target_step=10, seconds=12.0, area=0.55, steps=24
        ),
        Row(ids["diverged"], "diverged", "failed", SGDR, FIVE, 0.8, 7, 1, seconds=4.0, area=0.8, steps=16),
        Row(ids["going"], "going", "running", SGDR, FIVE, 0.85, 3, 0, seconds=30.0, area=0.85, steps=6),
        Row(ids["silent"], "silent", "finished", seconds=1.0),
    ]


def test_cells_of_the_study(records: dict[str, RunRecord]) -> None:
    goal = goal_for(list(records.values()), "val_loss")
    cells = {row.run: row_cells(row) for row in table_rows(list(records.values()), goal)}
    assert cells == {
        "cosine": ["Cosine()", "none", "0.3", "5", "0", "5", "2h 01m"],
        "sgdr": [SGDR, "5%", "0.4", "4", "1", "2", "1m 15s"],
        "resumed": [SGDR, "5%", "0.54", "1", "-", "2", "3m 20s"],
        "foreign": ["-", "-", "0.55", "step 10", "-", "step 10", "12.0s"],
        "diverged": [SGDR, "5%", "0.8", "1", "-", "not reached", "4.0s"],
        "going": [SGDR, "5%", "0.85", "0", "-", "not reached", "30.0s"],
        "silent": ["-", "-", "-", "-", "-", "-", "1.0s"],
    }


def run(values: dict[int, float], status: str = "finished", **params: str) -> RunRecord:
    return RunRecord("id", "run", status, params=params, metric=Curve(tuple(values), tuple(values.values())))


def test_the_default_target_is_the_worst_best_of_the_finished_runs() -> None:
    runs = [run({1: 0.2, 2: 0.9}), run({1: 0.5}), run({1: 3.0}, "failed"), run({1: math.nan})]
    assert goal_for(runs, "val_loss").target == 0.5
    assert goal_for(runs, "val_acc").target == 0.5
    assert goal_for(runs, "val_loss", "max").target == 0.5
    assert goal_for(runs[2:], "val_loss").target == 3.0
    assert goal_for(runs[3:], "val_loss").target is None
    assert goal_for(runs, "val_loss", target=0.0) == Goal("val_loss", "min", 0.0, target_given=True)


def test_a_target_inside_an_epoch_is_counted_in_parts_of_it() -> None:
    row = table_rows([run({0: 0.9, 4: 0.5}, **{"schedule/steps_per_epoch": "4"})], Goal("val_loss", "min", 0.5))[0]
    assert (row.target_step, row.target_epochs, row.epoch) == (4, 1.25, 1)


@pytest.mark.parametrize("length", ["unknown", "None", "0", "nan", "inf"])
def test_an_unknown_epoch_length_leaves_the_step(length: str) -> None:
    row = table_rows([run({4: 0.5}, **{"schedule/steps_per_epoch": length})], Goal("val_loss", "min", 0.5))[0]
    assert (row.target_step, row.target_epochs, row.epoch) == (4, None, None)


def test_a_higher_metric_is_better_with_mode_max() -> None:
    goal = Goal("val_acc", "max", 0.7)
    low, high = run({1: 0.6, 2: 0.65}), run({1: 0.7, 2: 0.9, 3: 0.9})
    assert ranked([low, high], goal) == [high, low]
    assert goal.best(high.metric) == (2, 0.9)
    assert (goal.reached(high.metric), goal.reached(low.metric)) == (1, None)


def test_nan_never_reaches_a_target() -> None:
    curve = Curve((0, 1), (math.nan, 0.1))
    assert Goal("val_loss", "min", 0.5).reached(curve) == 1
    assert Goal("val_loss", "max", 0.0).reached(curve) == 1


def test_runs_of_one_name_are_told_apart_by_their_ids() -> None:
    records = [RunRecord("abcdefgh", "twin", "finished"), RunRecord("12345678", "twin", "failed"), run({})]
    names = [row.run for row in table_rows(records, Goal("val_loss", "min"))]
    assert names == ["twin [abcdef]", "twin [123456]", "run"]


def test_no_cycle_is_told_before_the_first_recorded_one() -> None:
    record = RunRecord("id", "run", "finished", metric=Curve((3,), (0.5,)), cycles=Curve((5, 9), (1.0, 1.0)))
    assert table_rows([record], Goal("val_loss", "min"))[0].cycle is None


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_loss", "min"),
        ("val_acc", "max"),
        ("val/BinaryAccuracy", "max"),
        ("valid_mAP_50", "max"),
        ("val_mape", "min"),
        ("val_AUROC", "max"),
        ("bleu", "max"),
        ("dice_score", "max"),
        ("val_recall", "max"),
        ("val_f1_loss", "min"),
        ("val_rmse", "min"),
        ("map_error", "min"),
        ("val_iou", "max"),
        ("val_mIoU", "max"),
        ("MeanIoU", "max"),
        ("val_dice", "max"),
        ("val_psnr", "max"),
        ("val_ssim", "max"),
        ("val_mcc", "max"),
        ("val_kappa", "max"),
        ("val_r2", "max"),
        ("val_ndcg", "max"),
        ("val_top5", "max"),
        ("acc@5", "max"),
        ("val_corr", "max"),
        ("val_specificity", "max"),
        ("val/MulticlassF1Score", "max"),
        ("val.mAP50-95", "max"),
        ("valacc", "max"),
        ("val_heatmap_mse", "min"),
        ("val_map_mae", "min"),
        ("val_accel_rmse", "min"),
        ("val_surfacc_dist", "min"),
        ("val_top5_error", "min"),
        ("val/MeanSquaredError", "min"),
        ("brier_score", "min"),
        ("valLoss", "min"),
        ("val_hd95", "min"),
    ],
)
def test_the_name_suggests_the_direction(metric: str, mode: str) -> None:
    assert mode_of(metric) == mode


@pytest.mark.parametrize("metric", ["val_heatmap", "val_vaccine", "val_accel", "val_quux", "topology"])
def test_a_part_of_a_word_says_nothing_of_the_direction(metric: str) -> None:
    assert mode_of(metric) == "min"
    goal = goal_for([run({1: 0.5})], metric)
    assert (goal.mode, goal.mode_from) == ("min", "nothing")
    told = (
        f"{metric}: lower is taken for better, as neither its name nor a run says which is (--mode max turns it round)"
    )
    assert told in caption(goal)
    assert f"{metric}: higher is better (--mode min turns it round)" in caption(goal_for([], metric, "max"))


def test_what_the_runs_kept_checkpoints_by_says_what_the_name_does_not() -> None:
    higher, lower = (replace(run({1: 0.5, 2: 0.7}), mode=mode) for mode in ("max", "min"))
    goal = goal_for([higher, run({1: 0.5})], "val_quux")
    assert goal == Goal("val_quux", "max", 0.5, mode_from="runs")
    assert "val_quux: higher is better, as the runs have kept checkpoints by it (--mode min turns" in caption(goal)
    assert goal_for([higher, lower], "val_quux").mode_from == "nothing", "they do not agree"
    assert goal_for([higher], "val_loss").mode == "min", "the name comes first"
    assert goal_for([higher], "val_quux", "min") == Goal("val_quux", "min", 0.5, mode_from="given")


def test_the_caption_states_direction_and_target() -> None:
    text = caption(Goal("val_loss", "min", 0.25))
    assert "val_loss: lower is better (--mode max turns it round)" in text
    assert "target: 0.25 (the worst of the runs' best values; --target sets another)" in text
    assert "target: 0.9 (as given)" in caption(Goal("val_acc", "max", 0.9, target_given=True))
    assert "val_acc: higher is better" in caption(Goal("val_acc", "max"))
    assert "target:" not in caption(Goal("val_acc", "max"))
    assert "recommended" not in text
    told = caption(Goal("val_loss", "min"), recommended=True)
    assert "recommended: the best end of a completed cycle (its number in brackets), as CycleCheckpoint chooses" in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, "-"),
        ("none", "none"),
        ("Warmup(duration='5%')", "5%"),
        ("Warmup(duration=500)", "500 steps"),
        ("Warmup(duration=0.05)", "0.05"),
        ("Warmup(duration='2ep', shape='cosine')", "2ep, shape='cosine'"),
        ("something else", "something else"),
    ],
)
def test_the_warmup_is_shown_short(text: str | None, shown: str) -> None:
    assert row_cells(Row("id", "run", "finished", warmup=text))[1] == shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0s"), (59.94, "59.9s"), (59.96, "1m 00s"), (3599.6, "1h 00m"), (90061.0, "25h 01m")]
)
def test_wall_time_reads_well(seconds: float, text: str) -> None:
    assert wall_time(seconds) == text


@pytest.mark.parametrize("narrow", [False, True])
def test_markup_in_names_is_shown_as_it_is(narrow: bool) -> None:
    from rich.console import Console

    row = Row("id", "[bold]a[/bold]", "finished", schedule="Step('[red]')")
    console = Console(width=120)
    with console.capture() as capture:
        console.print(rich_table([row], Goal("val_loss", "min"), "[/b] of :key:", ["#0072b2"], narrow=narrow))
    assert "[bold]a[/bold]" in capture.get()
    assert "Step('[red]')" in capture.get()
    assert "[/b] of :key:" in capture.get()


@pytest.mark.parametrize("narrow", [False, True])
def test_a_name_cannot_steer_the_terminal(narrow: bool) -> None:
    from rich.console import Console

    row = Row("id", "a\x1b]0;owned\x07", "finished", schedule="\x9b31m b", warmup="\x1b[31m")
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(rich_table([row], Goal("val_loss", "min"), "\x1b[2J", ["#0072b2"], narrow=narrow))
    assert not set(capture.get()) & {"\x1b", "\x07", "\x9b"}
    assert "a\ufffd]0;owned" in capture.get()
