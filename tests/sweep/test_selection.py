"""``select``: what a rule chooses, with real fits, and which runs remain."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lightning_lrsched.cli import main
from lightning_lrsched.compare import Curve, RunRecord
from lightning_lrsched.compare.plans import PlannedPhase
from lightning_lrsched.configs import ConfigError
from lightning_lrsched.sweep import Rule, candidates, load_sweep
from lightning_lrsched.sweep.combinations import Combination
from lightning_lrsched.sweep.selection import Choice, selected, value_of
from tests.sweep.conftest import sweep_file
from tests.sweep.test_sweep import children, parents
from tests.tracking.reading import history

RULE = {"metric": "val_loss", "seeds": [100]}
LRS = [0.01, 0.3]


def told_names(uri: str, experiment: str) -> list[str]:
    ids = {run.info.experiment_id for run in parents(uri) if run.info.run_name == experiment}
    return [str(run.info.run_name) for run in children(uri) if run.info.experiment_id in ids]


def test_each_schedule_and_warmup_gets_the_lr_of_its_own_lowest_loss(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(sweep_file(tmp_path, lrs=LRS, warmups={"constant": [None, "1ep"]}, select=RULE))
    assert main(["sweep", file]) == 0
    out = capsys.readouterr().out
    assert "12 runs trained, 0 failed" in out

    losses = {str(run.info.run_name): history(uri, run, "val_loss")[-1][1] for run in children(uri)}
    for name in ("constant, no warmup", "constant, warmup 1ep", "sgdr"):
        tried = {lr: losses[f"{name}, lr {lr:g}, seed 100"] for lr in LRS}
        best = min(tried, key=lambda lr: tried[lr])
        final = [run for run in losses if run.startswith(f"{name}, ") and "seed 100" not in run]
        assert final == [f"{name}, lr {best:g}, seed {seed}" for seed in (0, 1)]
        assert f"chosen for {name}: lr {best:g} (val_loss {tried[0.01]:.4g} at lr 0.01, " in out
    assert len(told_names(uri, "small-select")) == len(told_names(uri, "small")) == 6
    assert f"--experiment small --run {parents(uri)[0].info.run_id[:8]}" in out


def test_a_second_call_trains_what_is_missing_of_both_parts(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed: dict[str, Any] = {"schedules": {"constant": "Constant"}, "seeds": [0], "select": RULE}
    assert main(["sweep", str(sweep_file(tmp_path, lrs=[0.5, 0.01], **changed))]) == 0
    assert "3 runs trained, 0 failed" in capsys.readouterr().out
    assert main(["sweep", str(sweep_file(tmp_path, lrs=[0.5, 0.01], **changed))]) == 0
    assert "0 runs trained, 3 had finished before, 0 failed" in capsys.readouterr().out
    assert main(["sweep", str(sweep_file(tmp_path, lrs=[0.5, 0.01], **changed | {"seeds": [0, 1]}))]) == 0
    assert "1 runs trained, 3 had finished before, 0 failed" in capsys.readouterr().out
    assert main(["sweep", str(sweep_file(tmp_path, lrs=[0.5, 0.01, 0.02], **changed | {"seeds": [0, 1]}))]) == 0
    assert " runs trained, " in capsys.readouterr().out
    assert len(told_names(uri, "small-select")) == 3


def test_nothing_is_chosen_while_a_candidate_has_failed(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(sweep_file(tmp_path, lrs=[0.1, 0.5], seeds=[0], schedules={"constant": "Constant"}, select=RULE))
    (tmp_path / "fail").touch()
    assert main(["sweep", file]) == 1
    out = capsys.readouterr().out
    assert "1 runs trained, 1 failed" in out
    assert "--experiment small-select" in out
    assert told_names(uri, "small") == []
    (tmp_path / "fail").unlink()
    assert main(["sweep", file]) == 0
    assert "2 runs trained, 1 had finished before, 0 failed" in capsys.readouterr().out


def test_a_schedule_with_one_candidate_chooses_nothing(tmp_path: Path) -> None:
    both = {"constant": "Constant", "sgdr": "SGDR('1ep')"}
    file = sweep_file(tmp_path, schedules=both, lrs={"constant": [0.1], "sgdr": LRS}, select=RULE)
    assert [each.name for each in candidates(load_sweep(file))] == [f"sgdr, lr {lr:g}, seed 100" for lr in LRS]
    assert candidates(load_sweep(sweep_file(tmp_path, schedules=both, lrs=LRS))) == []


def test_candidates_have_every_callback_but_checkpoints(tmp_path: Path) -> None:
    paths = ["lightning_lrsched.CycleCheckpoint", "lightning.pytorch.callbacks.TQDMProgressBar"]
    found = candidates(load_sweep(sweep_file(tmp_path, lrs=LRS, callbacks=paths, select=RULE)))
    assert {tuple(path.class_path for path in each.callbacks) for each in found} == {(paths[1],)}


def test_warmups_can_be_chosen_alone_or_with_the_lr(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"lrs": LRS, "warmups": [None, "1ep"], "schedules": {"constant": "Constant"}}
    for over, count in (("lrs", 4), ("warmups", 4), (["lrs", "warmups"], 4)):
        assert len(candidates(load_sweep(sweep_file(tmp_path, **changed, select=RULE | {"over": over})))) == count
    one = changed | {"lrs": [0.1]}
    assert candidates(load_sweep(sweep_file(tmp_path, **one, select=RULE))) == []
    assert len(candidates(load_sweep(sweep_file(tmp_path, **one, select=RULE | {"over": "warmups"})))) == 2


def test_a_list_says_what_is_chosen_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = sweep_file(tmp_path, lrs=LRS, schedules={"constant": "Constant"}, select=RULE)
    assert main(["sweep", str(file), "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "select: constant, lr 0.01, seed 100",
        "select: constant, lr 0.3, seed 100",
        "and of each schedule's, what val_loss chooses, with the seeds 0, 1",
    ]


CYCLES = Curve((0, 3, 4, 11, 12, 15), (0.0, 0.0, 1.0, 1.0, 2.0, 2.0))
PHASES = tuple(
    PlannedPhase("cosine cycle", start, stop, cycle, whole)
    for cycle, (start, stop, whole) in enumerate(((0, 4, True), (4, 12, True), (12, 16, False)))
)


@pytest.mark.parametrize(
    ("changed", "value"),
    [({"at": "last"}, 0.7), ({"at": "best"}, 0.2), ({"at": "cycle_end"}, 0.4), ({"at": "best", "mode": "max"}, 0.9)],
)
def test_the_value_that_counts_is_the_last_the_best_or_that_of_the_last_complete_cycle(
    changed: dict[str, Any], value: float
) -> None:
    curve = Curve((1, 3, 7, 11, 15), (0.9, 0.5, 0.2, 0.4, 0.7))
    record = RunRecord("id", "run", "finished", metric=curve, cycles=CYCLES, phases=PHASES)
    assert value_of(record, Rule("val_loss", [100], **changed)) == value


def test_a_run_that_blew_up_is_the_worst() -> None:
    record = RunRecord("id", "run", "finished", metric=Curve((1, 3), (0.9, math.nan)))
    assert value_of(record, Rule("val_loss", [1])) == math.inf
    assert value_of(record, Rule("val_loss", [1], mode="max")) == -math.inf
    assert value_of(RunRecord("id", "run", "finished"), Rule("val_loss", [1])) == math.inf


Chosen: TypeAlias = Callable[..., tuple[list[Combination], list[Choice]]]


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chosen:
    """What a rule chooses where each candidate, by its setting, has had a given value."""

    def choose(values: dict[Any, float], **select: Any) -> tuple[list[Combination], list[Choice]]:
        axis = select.get("over", "lrs")
        warmups = {"constant": [None, "1ep"]}
        config = load_sweep(sweep_file(tmp_path, lrs=LRS, warmups=warmups, seeds=[0], select=RULE | select))

        def measured(config: Any, tried: list[Combination], uri: str) -> dict[str, float]:
            return {each.fingerprint: values[each.told(axis)] for each in tried}

        monkeypatch.setattr("lightning_lrsched.sweep.selection._values", measured)
        return selected(config, "")

    return choose


@pytest.mark.parametrize(("mode", "best"), [("min", "lr 0.3"), ("max", "lr 0.01")])
def test_the_lr_is_chosen_for_each_schedule_and_warmup(mode: str, best: str, chosen: Chosen) -> None:
    values = {"lr 0.01": 0.8, "lr 0.3": 0.2}
    left, choices = chosen(values, mode=mode)
    names = ["constant, no warmup", "constant, warmup 1ep", "sgdr"]
    assert [(each.name, each.chosen, each.values) for each in choices] == [(name, best, values) for name in names]
    assert [each.name for each in left] == [f"{name}, {best}, seed 0" for name in names]


def test_the_warmup_is_chosen_for_each_lr(chosen: Chosen) -> None:
    left, choices = chosen({"no warmup": 0.5, "warmup 1ep": 0.4}, over="warmups")
    assert [(each.name, each.chosen) for each in choices] == [(f"constant, lr {lr:g}", "warmup 1ep") for lr in LRS]
    both = [f"{name}, lr {lr:g}, seed 0" for name in ("constant, warmup 1ep", "sgdr") for lr in LRS]
    assert [each.name for each in left] == both


def test_where_no_candidate_has_a_value_nothing_is_chosen(chosen: Chosen) -> None:
    told = "select: no candidate of 'constant, no warmup' has a finite val_loss. Give it other lrs"
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
        chosen({"lr 0.01": math.inf, "lr 0.3": math.inf})


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({"metric": "val_loss"}, "select: seeds must be given"),
        (RULE | {"seeds": [0]}, r"select.seeds = 0 is refused: it must be none of the sweep's seeds, \[0, 1\]"),
        (RULE | {"seeds": []}, r"select: seeds = \[\] is refused"),
        (RULE | {"over": "lr"}, "select: over = 'lr' is refused: it must be one of 'lrs', 'warmups'"),
        (RULE | {"over": []}, r"select: over = \[\] is refused"),
        (RULE | {"mode": "low"}, "select: mode = 'low' is refused"),
        (RULE | {"at": "end"}, "select: at = 'end' is refused: it must be one of 'last', 'best', 'cycle_end'"),
        (RULE | {"metric": ""}, "select: metric = '' is refused"),
        (RULE | {"axis": "lrs"}, "select: unknown key 'axis'"),
        ("val_loss", "select: 'val_loss' is not a section. Its keys are metric, seeds"),
    ],
)
def test_a_mistake_in_the_rule_is_named(select: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_sweep(sweep_file(tmp_path, lrs=LRS, select=select))


def test_a_metric_that_no_candidate_has_is_told(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = {"schedules": {"constant": "Constant"}, "lrs": LRS, "seeds": [0]}
    assert main(["sweep", str(sweep_file(tmp_path, **changed, select=RULE | {"metric": "val_acc"}))]) == 2
    assert "select: no run has a metric 'val_acc'. Pass one of these:" in capsys.readouterr().err
