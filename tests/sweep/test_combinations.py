"""Which runs a file means, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched import SGDR, Constant, Cosine, Plateau, Warmup
from lightning_lrsched.configs import ConfigError
from lightning_lrsched.sweep import SweepConfig, combinations, load_sweep
from tests.sweep.conftest import sweep_file

STEP_LR = {"class_path": "torch.optim.lr_scheduler.StepLR"}


def names(folder: Path, **changed: Any) -> list[str]:
    return [each.name for each in combinations(load_sweep(sweep_file(folder, **changed)))]


def test_a_list_is_for_every_schedule_and_lists_by_name_for_theirs(tmp_path: Path) -> None:
    assert names(tmp_path, warmups=[None, "1ep"], lrs={"sgdr": [0.1, 0.3]}, seeds=[7]) == [
        "constant, no warmup, seed 7",
        "constant, warmup 1ep, seed 7",
        "sgdr, no warmup, lr 0.1, seed 7",
        "sgdr, no warmup, lr 0.3, seed 7",
        "sgdr, warmup 1ep, lr 0.1, seed 7",
        "sgdr, warmup 1ep, lr 0.3, seed 7",
    ]


def test_the_settings_of_a_run_are_told_and_are_its_params(tmp_path: Path) -> None:
    schedules = {"constant": "Constant"}
    file = sweep_file(tmp_path, schedules=schedules, warmups=[None, "1ep"], lrs=[0.3], seeds=[7])
    without, with_warmup = combinations(load_sweep(file))
    assert [without.told("warmups"), without.told("lrs")] == ["no warmup", "lr 0.3"]
    assert [with_warmup.told("warmups"), with_warmup.told("lrs")] == ["warmup 1ep", "lr 0.3"]
    shared = {"sweep/schedule": "constant", "sweep/lr": "0.3", "sweep/seed": "7"}
    assert without.params() == shared | {"sweep/warmup": "none"}
    assert with_warmup.params() == shared | {"sweep/warmup": "Warmup(duration='1ep')"}
    (own,) = combinations(load_sweep(sweep_file(tmp_path, schedules=schedules, seeds=[7])))
    assert (own.told("lrs"), own.params()["sweep/lr"]) == ("the module's lr", "none")


def test_a_schedule_is_a_name_a_call_or_a_class_path(tmp_path: Path) -> None:
    written = {
        "a": "Constant",
        "b": "SGDR('1ep', T_mult=2)",
        "c": {"class_path": "lightning_lrsched.Cosine", "init_args": {"eta_min": 1e-4}},
        "d": {"class_path": "Plateau", "init_args": {"patience": 2}},
        "e": "StepLR(2)",
        "f": {"class_path": "TorchScheduler", "init_args": {"factory": {**STEP_LR, "init_args": {"step_size": 2}}}},
    }
    config = load_sweep(sweep_file(tmp_path, schedules=written, warmups=[{"duration": 3, "shape": "cosine"}]))
    kinds = [Constant(), SGDR("1ep", T_mult=2), Cosine(eta_min=1e-4), Plateau(patience=2)]
    assert list(config.schedules.values())[:4] == kinds
    assert {repr(config.schedules[name]) for name in "ef"} == {"TorchScheduler(partial(StepLR, step_size=2))"}
    assert config.warmups["a"] == (Warmup(3, shape="cosine"),)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"tracking_uri": "sqlite:///other.db", "folder": "other", "experiment": "small", "name": None}, True),
        ({"seeds": [1, 0]}, True),
        ({"schedules": {"flat": "Constant", "sgdr": "SGDR(T_0='1ep')"}}, True),
        ({"trainer": {"max_epochs": 3, "accelerator": "cpu"}}, False),
        ({"name": "second"}, False),
        ({"lrs": [0.2]}, False),
        ({"warmups": ["1ep"]}, False),
        ({"callbacks": ["lightning.pytorch.callbacks.TQDMProgressBar"]}, False),
        ({"module": {"class_path": "tests.sweep.modules.Noisy", "init_args": {"lr": 0.1}}}, False),
    ],
)
def test_a_run_is_known_by_what_decides_its_result(changed: dict[str, Any], same: bool, tmp_path: Path) -> None:
    before = {each.fingerprint for each in combinations(load_sweep(sweep_file(tmp_path)))}
    after = {each.fingerprint for each in combinations(load_sweep(sweep_file(tmp_path, **changed)))}
    assert (before == after) is same
    assert same or not before & after


def test_lrs_go_to_a_module_that_takes_any_argument(tmp_path: Path) -> None:
    module = {"class_path": "tests.sweep.modules.TakesAny"}
    runs = combinations(load_sweep(sweep_file(tmp_path, module=module, lrs=[0.3], seeds=[0])))
    assert [each.module.build().lr for each in runs] == [0.3, 0.3]


def test_a_module_that_takes_no_lr_is_trained_with_its_own(tmp_path: Path) -> None:
    module = {"class_path": "tests.sweep.modules.WithoutLr"}
    (run,) = combinations(
        load_sweep(sweep_file(tmp_path, module=module, schedules={"constant": "Constant"}, seeds=[7]))
    )
    assert (run.lr, run.module.init_args) == (None, {})


def test_a_module_that_is_not_there_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    config = load_sweep(sweep_file(tmp_path, module={"class_path": "tests.sweep.modules.Noissy"}, lrs=[0.3]))
    with pytest.raises(ConfigError, match=r"module: class_path = 'tests.sweep.modules.Noissy' is refused"):
        combinations(config)


def test_the_password_of_a_store_that_is_refused_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"tracking_uri = .* is refused") as refused:
        SweepConfig(
            "small",
            {"class_path": "tests.sweep.modules.Noisy"},
            {"max_epochs": 1},
            {"constant": "Constant"},
            [0],
            tracker={"tracking_uri": "http://ann:s3cret@127.0.0.1:5000"},
        )
    assert "s3cret" not in str(refused.value)


def test_warmups_of_one_length_are_named_apart(tmp_path: Path) -> None:
    warmups = ["1ep", {"duration": "1ep", "shape": "cosine"}, {"duration": "1ep", "start_factor": 0.1}]
    file = sweep_file(tmp_path, schedules={"cosine": "Cosine"}, warmups=warmups, seeds=[0])
    assert [each.name for each in combinations(load_sweep(file))] == [
        "cosine, warmup 1ep, seed 0",
        "cosine, warmup 1ep, shape='cosine', seed 0",
        "cosine, warmup 1ep, start_factor=0.1, seed 0",
    ]


def test_a_name_that_yaml_reads_as_a_number_is_a_name(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, schedules={1: "Cosine", 2: "Constant"}, warmups={1: ["1ep"]}, seeds=[0])
    assert [each.name for each in combinations(load_sweep(file))] == ["1, warmup 1ep, seed 0", "2, seed 0"]


def test_folders_are_apart_and_plain(tmp_path: Path) -> None:
    runs = combinations(load_sweep(sweep_file(tmp_path, schedules={"a/b": "Constant", "a b": "Cosine"}, seeds=[0])))
    folders = [each.folder for each in runs]
    assert len(set(folders)) == 2
    assert all(folder.startswith("a-b-seed-0-") for folder in folders)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"schedule": {}}, "unknown key 'schedule'. Did you mean 'schedules'?", id="key"),
        pytest.param({"seeds": None}, "seeds must be given. The keys are experiment, module", id="missing"),
        pytest.param({"seeds": [0, -1]}, "seeds = -1 is refused", id="seed"),
        pytest.param({"seeds": []}, r"seeds = \[\] is refused: it must be a list of whole numbers", id="no seed"),
        pytest.param({"seeds": "0"}, "seeds = '0' is refused", id="a text of seeds"),
        pytest.param({"seeds": [0, 0]}, "name one value twice", id="seed twice"),
        pytest.param({"lrs": [0.1, 0.1]}, "name one value twice", id="lr twice"),
        pytest.param({"schedules": {"a": "Constant", "b": "Constant"}}, "are the same run", id="schedule twice"),
        pytest.param({"schedules": {}}, "schedules = {} is refused: it must be schedules by name", id="none"),
        pytest.param({"schedules": {"a": "Cosin"}}, "schedule = 'Cosin' is refused: it must be one of REX", id="name"),
        pytest.param({"schedules": {"a": "Warmup(3)"}}, "must be a call of one of", id="no schedule"),
        pytest.param({"schedules": {"a": 5}}, "schedules.a = 5 is refused", id="number"),
        pytest.param(
            {"schedules": {"a": {"class_path": "Plateau", "init_args": {"patienc": 2}}}},
            "unknown key 'patienc'. Did you mean 'patience'?",
            id="argument",
        ),
        pytest.param(
            {"schedules": {"a": {**STEP_LR, "init_args": {"step_size": 2}}}},
            "it must be a schedule: one of torch is the factory of a TorchScheduler",
            id="a scheduler of torch alone",
        ),
        pytest.param({"warmups": "5ep"}, "warmups = '5ep' is refused: it must be a list", id="no list"),
        pytest.param({"warmups": ["5 weeks"]}, "warmup = '5 weeks' is refused", id="warmup"),
        pytest.param({"warmups": {"sgd": ["5ep"]}}, "warmups = 'sgd' is refused: it must be one of", id="whose"),
        pytest.param({"lrs": [0.0]}, "lrs = 0.0 is refused", id="lr"),
        pytest.param({"lrs": []}, r"lrs = \[\] is refused", id="no lr"),
        pytest.param(
            {"lrs": [0.1], "module": {"class_path": "tests.sweep.modules.WithoutLr"}},
            "given to the module as its argument 'lr', and tests.sweep.modules.WithoutLr takes nothing",
            id="no such argument",
        ),
        pytest.param({"trainer": {"accelerator": "cpu"}}, "with a budget, max_epochs or max_steps", id="budget"),
        pytest.param({"trainer": {"max_epochs": -1}}, "with a budget", id="without end"),
        pytest.param({"trainer": {"max_epochs": 2, "logger": True}}, "given by the sweep", id="logger"),
        pytest.param({"trainer": {"max_epochs": 2, "callbacks": []}}, "the key 'callbacks' beside it", id="callbacks"),
        pytest.param({"trainer": {"max_epochs": 2, "devices": 2}}, "trainer.devices = 2 is refused", id="devices"),
        pytest.param({"trainer": 5}, "trainer = 5 is refused", id="no trainer"),
        pytest.param({"module": "a.B"}, "module: 'a.B' is not a section. Its keys are class_path", id="module"),
        pytest.param(
            {"callbacks": [{"class_path": "CycleCheckpoint"}]},
            "callbacks = 'CycleCheckpoint' is refused: it must be an import path with its module. For example: "
            "callbacks: .*lightning_lrsched.CycleCheckpoint",
            id="callback",
        ),
        pytest.param({"tracker": 5}, "tracker = 5 is refused", id="tracker"),
        pytest.param(
            {"tracker": {"tracking_uri": "sqlite:///other.db"}},
            "tracker.tracking_uri = .* it must be left out: .* beside tracker. For example: tracking_uri: sqlite",
            id="store",
        ),
        pytest.param(
            {"tracker": {"experiment": "other"}},
            "tracker.experiment = .* it must be left out: .* beside tracker. For example: experiment: digits",
            id="another experiment",
        ),
        pytest.param(
            {"tracker": {"run_name": "mine"}},
            "tracker.run_name = .* it must be left out: .* beside tracker. For example: name: first",
            id="name of a run",
        ),
        pytest.param(
            {"tracker": {"resume_run": False}},
            "tracker.resume_run = .* it must be left out: no run of a sweep goes on with another",
            id="resume",
        ),
        pytest.param({"experiment": ""}, "experiment = '' is refused", id="experiment"),
    ],
)
def test_a_mistake_is_named(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?").replace("{}", r"\{\}")):
        names(tmp_path, **changed)
