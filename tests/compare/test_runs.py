"""What is read back from a real store."""

import pytest

from lightning_lrsched.compare import CompareError, Curve, RunRecord, Selection, Store, load_runs
from lightning_lrsched.compare.runs import pick_metric
from tests.compare.stores import EXPERIMENT, SGDR_PARAMS, START, VAL_STEPS, quiet_mlflow

pytestmark = quiet_mlflow

STUDY = Selection([EXPERIMENT])


def test_runs_come_oldest_first_with_the_default_metric(study: Store) -> None:
    metric, found = load_runs(study, STUDY)
    assert metric == "val_loss"
    assert [record.name for record in found] == [
        "sgdr", "cosine", "diverged", "going", "foreign", "silent", "resumed",
    ]  # fmt: skip


def test_a_tracked_run_is_read_whole(records: dict[str, RunRecord]) -> None:
    run = records["sgdr"]
    assert run.status == "finished"
    assert run.start_time == START
    assert run.end_time == START + 75_000
    assert run.params == SGDR_PARAMS
    assert run.lr == {"SGD/0": Curve(tuple(range(24)), tuple(0.1 / (1 + step % 8) for step in range(24)))}
    assert run.metric == Curve(VAL_STEPS, (0.9, 0.5, 0.7, 0.6, 0.4, 0.45))
    assert run.epochs == Curve(VAL_STEPS, (0, 1, 2, 3, 4, 5))
    assert run.cycle_ends == (7,)
    assert run.cycle_best == Curve((7,), (0.5,))


def test_a_named_group_keeps_its_name(records: dict[str, RunRecord]) -> None:
    assert list(records["cosine"].lr or {}) == ["AdamW/head"]


def test_a_run_without_an_end_is_dated_by_its_last_point(records: dict[str, RunRecord]) -> None:
    run = records["going"]
    assert (run.status, run.end_time, run.last_time) == ("running", None, START + 33_000)


def test_infinite_values_survive_the_store(records: dict[str, RunRecord]) -> None:
    assert records["diverged"].metric.values[2] == float("inf")
    assert records["diverged"].metric.finite() == Curve((7,), (0.8,))


def test_a_foreign_run_shows_what_it_has(records: dict[str, RunRecord]) -> None:
    run = records["foreign"]
    assert list(run.lr or {}) == ["lr-SGD"]
    assert (run.params, run.epochs, run.cycle_ends) == ({}, Curve(), ())


def test_a_run_without_metrics_is_empty(records: dict[str, RunRecord]) -> None:
    run = records["silent"]
    assert (run.lr, run.metric, run.last_time) == ({}, Curve(), None)


def test_the_latest_of_two_rows_at_a_step_counts(records: dict[str, RunRecord]) -> None:
    assert records["resumed"].metric == Curve((3, 7), (0.9, 0.54))


def test_chosen_runs_come_in_the_order_asked_for_and_once(study: Store, records: dict[str, RunRecord]) -> None:
    ids = [records["foreign"].run_id, records["sgdr"].run_id, records["foreign"].run_id]
    assert [record.name for record in load_runs(study, Selection([EXPERIMENT], run_ids=ids))[1]] == ["foreign", "sgdr"]


@pytest.mark.parametrize("length", [32, 31])
def test_runs_are_found_by_id_in_all_experiments(study: Store, records: dict[str, RunRecord], length: int) -> None:
    ids = [records[name].run_id[:length] for name in ("cosine", "sgdr")]
    _, found = load_runs(study, Selection(run_ids=ids))
    assert [record.name for record in found] == ["cosine", "sgdr"]


@pytest.mark.parametrize("run_id", ["0" * 32, "zzz"])
def test_an_id_that_no_run_has_is_told(study: Store, run_id: str) -> None:
    with pytest.raises(CompareError, match=f"the store has no run with the id '{run_id}'. There are:"):
        load_runs(study, Selection(run_ids=[run_id]))


def test_whole_ids_are_read_without_a_search(
    study: Store, records: dict[str, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(study.client), "search_runs", lambda *args, **given: pytest.fail("searched"))
    assert len(load_runs(study, Selection(run_ids=[records["sgdr"].run_id]))[1]) == 1


def test_another_metric_is_read_when_asked_for(study: Store) -> None:
    metric, found = load_runs(study, STUDY, metric="val_acc")
    assert metric == "val_acc"
    assert found[0].metric.values == (0.1, 0.5, 0.3, 0.4, 0.8, 0.7)
    assert found[0].cycle_best == Curve()
    assert found[1].metric == Curve()


@pytest.mark.parametrize(
    ("keys", "asked", "picked"),
    [
        pytest.param({"val_loss", "val_acc"}, None, "val_loss", id="val_loss wins"),
        pytest.param({"val_top5", "val_acc", "train"}, None, "val_acc", id="first that begins with val"),
        pytest.param({"valid/f1", "epoch"}, None, "valid/f1", id="only one"),
        pytest.param({"val_loss", "train"}, "train", "train", id="asked for"),
        pytest.param({"lr/SGD/0"}, "lr/SGD/0", "lr/SGD/0", id="even one of the tracker's"),
    ],
)
def test_metric_is_picked(keys: set[str], asked: str | None, picked: str) -> None:
    assert pick_metric(keys, asked) == picked


@pytest.mark.parametrize(
    ("keys", "asked", "message"),
    [
        pytest.param({"loss", "acc", "epoch", "lr/a/0"}, None, "Pass one of these: --metric acc, --metric loss$"),
        pytest.param({"my loss"}, "loss", "Pass one of these: --metric 'my loss'$"),
        pytest.param({"val_acc"}, "val_los", "no run has a metric 'val_los'. Pass one of these: --metric val_acc$"),
        pytest.param({"epoch", "schedule/cycle"}, None, "recorded a metric to compare"),
        pytest.param(set(), "val_loss", "recorded a metric to compare"),
    ],
)
def test_missing_metric_lists_those_that_exist(keys: set[str], asked: str | None, message: str) -> None:
    with pytest.raises(CompareError, match=message):
        pick_metric(keys, asked)


@pytest.mark.parametrize(
    ("experiment", "run_ids", "message"),
    [
        pytest.param("stduy", [], "no experiment 'stduy'. These exist: 'Default', 'nothing here', 'study'$", id="typo"),
        pytest.param("thrown away", [], "'thrown away' was deleted", id="deleted"),
        pytest.param("nothing here", [], "'nothing here' has no runs", id="empty"),
        pytest.param(
            "study", ["nope"], r"no run with the id 'nope'. There are:\n(  [0-9a-f]{32}  \w+\n?){7}$", id="id"
        ),
        pytest.param("study", [""], r"7 runs with the id ''. There are:\n  [0-9a-f]{32}  sgdr", id="ambiguous"),
    ],
)
def test_what_does_not_exist_is_told(study: Store, experiment: str, run_ids: list[str], message: str) -> None:
    with pytest.raises(CompareError, match=message):
        load_runs(study, Selection([experiment], run_ids=run_ids))
