"""What a sweep's file says: what is trained, on what, with which schedules, warmups, learning rates and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_lrsched.checks import check_number, refusal
from lightning_lrsched.configs import ClassPath, build, load_document
from lightning_lrsched.expression import from_config, main_from_config, parse_schedule
from lightning_lrsched.masking import masked
from lightning_lrsched.room import Main
from lightning_lrsched.sweep.rule import Rule, check_seeds
from lightning_lrsched.torch_schedules import Plateau
from lightning_lrsched.warmup import Warmup, as_warmup

_NOT_OURS = ("callbacks", "logger", "default_root_dir")
_NOT_THE_TRACKERS = {  # why, and what to write in its place
    "tracking_uri": (
        "every run is in the sweep's store, which stands beside tracker",
        "tracking_uri: sqlite:///mlflow.db",
    ),
    "experiment": ("every run is in the sweep's experiment, which stands beside tracker", "experiment: digits"),
    "run_name": ("runs are named by their settings, and their parent by the name beside tracker", "name: first"),
    "resume_run": ("no run of a sweep goes on with another", "tracker: {log_checkpoints: false}"),
}
_ONE = (None, 1, "auto", "1")
_SCHEDULES = "schedules: {cosine: Cosine, sgdr: {class_path: SGDR, init_args: {T_0: 10ep, T_mult: 2}}}"


@dataclass(frozen=True)
class SweepConfig:
    """A sweep, checked.

    Args:
        experiment: MLflow's experiment; made if there is none.
        module: class path and arguments of the LightningModule; its ``configure_optimizers`` returns an optimizer.
        trainer: arguments of the Trainer, the same for all runs, ``max_epochs`` or ``max_steps`` among them: the
            budget. Callbacks, loggers and folders are the sweep's.
        schedules: main schedules by a name of one's own, each as a class name, a Python call or class path and
            arguments.
        seeds: one run each; whole numbers from 0.
        data: class path and arguments of a LightningDataModule; None where the module has the loaders.
        warmups: lengths of the warmup or arguments of `Warmup`, None for no warmup: a list for every schedule, or
            lists by the schedule's name (one that is not named has no warmup).
        lrs: peak lrs, given to the module as its argument ``lr``: a list for every schedule, or lists by the
            schedule's name (one that is not named has the module's own).
        callbacks: class paths and arguments of further callbacks: a list for every schedule, or lists by name.
        tracker: further arguments of `MLflowTracker`; which run it writes to is the sweep's to say.
        name: name of the parent run; a new one begins a new sweep. None for the experiment's.
        tracking_uri: where MLflow keeps the runs; None for ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db``.
        folder: where checkpoints go, each run in a folder of its own.
        select: the rule by which one of several lrs or warmups is chosen before the seeds are trained: the arguments
            of `Rule`. None to train all of them.

    Raises:
        ValueError: if a value is refused, with a valid example.
    """

    experiment: str
    module: Any
    trainer: Mapping[str, Any]
    schedules: Mapping[str, Any]
    seeds: Sequence[int]
    data: Any = None
    warmups: Any = (None,)
    lrs: Any = (None,)
    callbacks: Any = ()
    tracker: Mapping[str, Any] | None = None
    name: str | None = None
    tracking_uri: str | None = None
    folder: str = "sweeps"
    select: Any = None

    def __post_init__(self) -> None:
        """Check every part that needs no training, and read schedules, warmups and class paths."""
        for key in ("experiment", "name", "tracking_uri", "folder"):
            value = getattr(self, key)
            if (value is None and key in ("experiment", "folder")) or value == "" or not isinstance(value, str | None):
                raise refusal(key, value, "a text", f"{key}: digits")
        _check_trainer(self.trainer)
        check_seeds(self.seeds)
        set_field = object.__setattr__
        set_field(self, "module", _class_path(self.module, "module"))
        set_field(self, "data", None if self.data is None else _class_path(self.data, "data"))
        if not isinstance(self.schedules, Mapping) or not self.schedules:
            raise refusal("schedules", self.schedules, "schedules by name", _SCHEDULES)
        set_field(self, "schedules", {str(name): _main(name, text) for name, text in self.schedules.items()})
        set_field(self, "warmups", self._by_schedule("warmups", (None,), _warmup))
        set_field(self, "lrs", self._by_schedule("lrs", (None,), _lr))
        set_field(self, "callbacks", self._by_schedule("callbacks", (), _callback))
        _check_tracker(self.tracker)
        if self.select is not None:
            given = self.select
            set_field(self, "select", given if isinstance(given, Rule) else build(Rule, given, "select"))
            _check_apart(self.seeds, self.select.seeds)

    def _by_schedule(self, key: str, absent: tuple[Any, ...], read: Any) -> dict[str, tuple[Any, ...]]:
        """Return a list for each schedule, from one list for all or from lists by the schedule's name."""
        given = getattr(self, key)
        by_name = isinstance(given, Mapping)
        lists = {str(name): each for name, each in given.items()} if by_name else dict.fromkeys(self.schedules, given)
        for name, each in lists.items():
            if name not in self.schedules:
                raise refusal(key, name, f"one of the schedules: {', '.join(self.schedules)}", f"{key}: {{...}}")
            if isinstance(each, str) or not isinstance(each, Sequence) or (absent and not each):
                raise refusal(key, each, "a list", f"{key}: [...], or {key}: {{{next(iter(self.schedules))}: [...]}}")
        return {name: tuple(read(each) for each in lists.get(name, absent)) for name in self.schedules}


def load_sweep(path: str | Path) -> SweepConfig:
    """Return the sweep that a YAML file describes.

    Raises:
        ConfigError: if a key is unknown or missing, a value is refused, or the file holds a password.
    """
    return build(SweepConfig, load_document(path), str(path))


def _main(name: object, written: object) -> Main:
    """Return a main schedule from a class name, a Python call, or class path and arguments."""
    where = f"schedules.{name}"
    if isinstance(written, str):
        written = parse_schedule(written) if "(" in written else {"class_path": written}
    if isinstance(written, Mapping) and str(written.get("class_path")).rpartition(".")[2] == "Plateau":
        return build(Plateau, written.get("init_args") or {}, where)
    return written if isinstance(written, Main) else main_from_config(written, where)


def _warmup(written: object) -> Warmup | None:
    """Return a warmup from its length, its arguments, or None."""
    read = from_config(written) if isinstance(written, Mapping) else written
    return None if read is None else as_warmup(read)  # type: ignore[arg-type]


def _lr(written: object) -> float | None:
    """Return a peak lr."""
    return None if written is None else check_number("lrs", written, "lrs: [0.03, 0.1, 0.3]", above=0.0)


def _callback(written: object) -> ClassPath:
    """Return a callback's class path; a name alone has no arguments."""
    given = {"class_path": written} if isinstance(written, str) else written
    name = given.get("class_path") if isinstance(given, Mapping) else None
    if isinstance(name, str) and name.isidentifier():
        example = "callbacks: [{class_path: lightning_lrsched.CycleCheckpoint, init_args: {monitor: val_loss}}]"
        raise refusal("callbacks", name, "an import path with its module", example)
    return _class_path(given, "callbacks")


def _class_path(written: object, where: str) -> ClassPath:
    """Return a class path from a section of the file."""
    return written if isinstance(written, ClassPath) else build(ClassPath, written, where)


def _check_apart(seeds: Sequence[int], choosing: Sequence[int]) -> None:
    """Refuse a seed that both chooses and counts."""
    for seed in choosing:
        if seed in seeds:
            raise refusal("select.seeds", seed, f"none of the sweep's seeds, {list(seeds)}", "select.seeds: [100]")


def _check_tracker(tracker: object) -> None:
    """Refuse what would have the tracker write to another run than the sweep's, or would not be read."""
    if not isinstance(tracker, Mapping | None):
        raise refusal("tracker", tracker, "arguments of MLflowTracker", "tracker: {log_checkpoints: false}")
    for key, (why, instead) in _NOT_THE_TRACKERS.items():
        if tracker is not None and key in tracker:
            given = tracker[key]
            value = masked(given) if isinstance(given, str) else given
            raise refusal(f"tracker.{key}", value, f"left out: {why}", instead)


def _check_trainer(trainer: object) -> None:
    """Refuse a Trainer without a budget, or with what the sweep itself gives."""
    example = "trainer: {max_epochs: 70}"
    if not isinstance(trainer, Mapping):
        raise refusal("trainer", trainer, "arguments of the Trainer", example)
    for key in _NOT_OURS:
        if key in trainer:
            meant = "the key 'callbacks' beside it" if key == "callbacks" else "given by the sweep"
            raise refusal(f"trainer.{key}", trainer[key], f"left out: it is {meant}", example)
    budgets = [trainer.get(key) for key in ("max_epochs", "max_steps")]
    if not any(isinstance(each, int) and each > 0 for each in budgets):
        raise refusal("trainer", dict(trainer), "with a budget, max_epochs or max_steps, that all runs get", example)
    if trainer.get("devices") not in _ONE or trainer.get("num_nodes") not in _ONE:
        allowed = "1: a sweep trains in one process (start several sweeps for several devices)"
        raise refusal("trainer.devices", trainer.get("devices"), allowed, "devices: 1")
