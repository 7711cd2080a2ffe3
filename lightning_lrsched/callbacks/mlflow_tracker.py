"""MLflowTracker: records the lr curve, the phases, the validation metrics and the kept checkpoints in MLflow."""

import json
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightning_lrsched.callbacks.tracked_cycles import TrackedCycles
from lightning_lrsched.callbacks.trainer_access import (
    callbacks_of,
    end_logger_as,
    is_smoke_test,
    logger_step,
    scheduler_configs,
    validation_metrics,
)
from lightning_lrsched.checks import check_flag, check_number, refusal
from lightning_lrsched.configs import tracker_from
from lightning_lrsched.describe import flat_params, plan_document
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler
from lightning_lrsched.tracking.artifacts import upload_curve, upload_text
from lightning_lrsched.tracking.late_sink import LateSink
from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.pick import pick_sink
from lightning_lrsched.tracking.recorder import MetricRecord, Recorder, StepRecord
from lightning_lrsched.tracking.sink import Sink, key_part
from lightning_lrsched.tracking.writer import Writer

_PASSWORD = re.compile(r"(?<=//)\S+@")


class MLflowTracker(Callback):
    """Records a fit in MLflow without slowing it: lr at every real step, phase, cycle, metrics, kept checkpoints.

    It writes to the run of the trainer's MLFlowLogger if there is one, else to the run that ``mlflow.start_run`` has
    open, else to a run of its own. All curves have the step axis of Lightning's loggers. Points are handed over in
    batches by a thread; what fails in tracking is told once and never stops the training.

    What is logged: metrics ``lr/<optimizer>/<group>``, ``schedule/phase``, ``schedule/cycle``, every validation
    metric under its own name, ``epoch``, and ``cycle/<metric>`` for each finished cycle; params ``schedule/...``;
    artifacts ``schedule/plan.json``, ``schedule/lr.png`` and ``checkpoints/...``.

    Args:
        tracking_uri: where a run of its own goes; None for ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db``.
        experiment: experiment of a run of its own; None for ``MLFLOW_EXPERIMENT_NAME``, or ``Default``.
        run_name: name of a run of its own; None for one made of date and time.
        log_checkpoints: upload the checkpoint of each finished cycle.
        flush_timeout: seconds that the end of the fit waits for the last points.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        ModuleNotFoundError: at the start of the fit, if mlflow is not installed.

    Example::

        schedule = LearningRateScheduler(Cosine(), warmup="5%")
        trainer = L.Trainer(callbacks=[schedule, MLflowTracker(experiment="digits")])
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        *,
        run_name: str | None = None,
        log_checkpoints: bool = True,
        flush_timeout: float = 60.0,
    ) -> None:
        """Check the parameters; nothing is opened before the fit."""
        names = {"tracking_uri": tracking_uri, "experiment": experiment, "run_name": run_name}
        for name, value in names.items():
            if value is not None and (not isinstance(value, str) or not value):
                raise refusal(f"MLflowTracker.{name}", value, "a text or None", "experiment='digits'")
        check_flag("MLflowTracker.log_checkpoints", log_checkpoints, "log_checkpoints=False")
        check_number("MLflowTracker.flush_timeout", flush_timeout, "flush_timeout=60", at_least=0.0)
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.run_name = run_name
        self.log_checkpoints = log_checkpoints
        self.flush_timeout = flush_timeout
        self._sink: MlflowSink | LateSink | None = None
        self._writer: Writer | None = None
        self._recorder = Recorder()
        self._cycles = TrackedCycles(upload=log_checkpoints)
        self._hooks: list[RemovableHandle] = []
        self._title = "learning rate"
        self._opened = False

    @classmethod
    def from_config(cls, path: str | Path) -> "MLflowTracker":
        """Return the tracker that a YAML file describes, such as ``mlflow_configs/local.yaml``.

        Its keys are the parameters above. A password is refused in it: credentials come from the environment.

        Raises:
            ConfigError: (a ValueError) if the file cannot be read, a key is unknown, or a value is refused.
        """
        return tracker_from(cls, path)  # named in YAML as a class path: jsonargparse needs the class, not Self

    @property
    def run_id(self) -> str | None:
        """The MLflow run of this fit, or of the latest one; None before it is open."""
        return None if self._sink is None else self._sink.run_id

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Be ready to open a run, once in this fit."""
        self._opened = not trainer.is_global_zero or is_smoke_test(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Open the run before the first step, when no callback can refuse the fit any more; watch from then on."""
        if not self._opened:
            self._opened = True
            self._open(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record what the validation measured, unless Lightning's own logger writes it to the same run."""
        if self._writer is None or trainer.sanity_checking:
            return
        values, logged = validation_metrics(trainer)
        if self._shares_run(trainer):
            values = {key: value for key, value in values.items() if key not in logged}
        if values:
            values = {"/".join(map(key_part, key.split("/"))): value for key, value in values.items()}
            values["epoch"] = float(trainer.current_epoch)
            self._record(MetricRecord(logger_step(trainer), _now(), values))
        self._take_cycles(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the checkpoints of cycles that have finished."""
        self._take_cycles(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Deliver the rest and end the run."""
        if stage == "fit":
            self._take_cycles(trainer)
            self._close("FINISHED")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Deliver the rest and end the run as failed, or as killed when it was a signal."""
        killed = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        for logger in trainer.loggers if killed and self._writer is not None else ():
            if getattr(logger, "run_id", "") == self.run_id:
                end_logger_as(logger, "KILLED")
        self._close("KILLED" if killed else "FAILED")

    def _open(self, trainer: pl.Trainer) -> None:
        """Open the run, and record the plan and every real step."""
        self._sink = pick_sink(trainer.loggers, self.tracking_uri, self.experiment, self.run_name)
        self._recorder = Recorder()
        self._writer = Writer(self._sink, self._recorder.points, _tell)
        schedulers = {id(config.scheduler.optimizer): config.scheduler for config in scheduler_configs(trainer)}
        names = [type(optimizer).__name__ for optimizer in trainer.optimizers]
        for index, optimizer in enumerate(trainer.optimizers):
            before = names[:index].count(names[index])
            label = key_part(f"{names[index]}-{before}" if before else names[index])
            groups = [key_part(group.get("name", i)) for i, group in enumerate(optimizer.param_groups)]
            self._recorder.keys[index] = [f"lr/{label}/{group}" for group in groups]
            self._watch(trainer, index, schedulers.get(id(optimizer)))

    def _watch(self, trainer: pl.Trainer, index: int, scheduler: object) -> None:
        """Record each real step of one optimizer from now on: one append a step."""
        record, recorder = self._record, self._recorder
        if isinstance(scheduler, RealStepScheduler):
            scheduler.observers.append(
                lambda step, lrs: record(StepRecord(index, step, logger_step(trainer), _now(), lrs))
            )
            if index == 0:
                recorder.place = scheduler.place
                self._describe(scheduler)
            return

        def before_step(optimizer: Optimizer, args: object, kwargs: object) -> None:
            lrs = [float(group["lr"]) for group in optimizer.param_groups]
            record(StepRecord(index, 0, logger_step(trainer), _now(), lrs))

        self._hooks.append(trainer.optimizers[index].register_step_pre_hook(before_step))

    def _record(self, record: StepRecord | MetricRecord) -> None:
        """Hand a record to the writer, if the run is open."""
        if self._writer is not None:
            self._writer.record(record)

    def _shares_run(self, trainer: pl.Trainer) -> bool:
        """Return whether one of the trainer's loggers writes to this very run."""
        return any(getattr(logger, "run_id", "") == self.run_id for logger in trainer.loggers)

    def _describe(self, scheduler: RealStepScheduler) -> None:
        """Store the plan as params and as a JSON artifact."""
        if self._writer is None:
            return
        base_lrs, description = scheduler.base_lrs, scheduler.description
        params = {f"schedule/{key}": value for key, value in flat_params(description, base_lrs).items()}
        tags = {"lrsched.version": version("lightning-lrsched")}
        timeline = scheduler.timeline if isinstance(scheduler, PlannedScheduler) else None
        content = json.dumps(plan_document(description, timeline, base_lrs), indent=2)
        self._writer.run(lambda sink: sink.describe(params, tags))
        self._writer.run(lambda sink: upload_text(sink, "plan.json", content))
        self._title = params["schedule/main"]

    def _take_cycles(self, trainer: pl.Trainer) -> None:
        """Record the finished cycles of every checkpoint callback that has them, each once."""
        if self._writer is not None:
            self._cycles.take(callbacks_of(trainer), self._writer, _now())

    def _close(self, status: str) -> None:
        """Deliver what is left, draw the curve, set the status; at most `flush_timeout` seconds."""
        writer, recorder, self._writer = self._writer, self._recorder, None
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if writer is None:
            return

        last: list[Callable[[Sink], None]] = [
            lambda sink: sink.write(list(recorder.last_place())),
            lambda sink: upload_curve(sink, recorder.curves, self._title),
            lambda sink: sink.finish(status),
        ]
        if not writer.close(self.flush_timeout, last):
            if not writer.failing:  # else it has been told already, with the reason
                _tell(
                    f"MLflow has not taken everything in {self.flush_timeout:g} s (flush_timeout): {writer.dropped} "
                    "points were dropped, and the end of the curves may be missing in the run"
                )
        elif recorder.infinite:
            _tell(
                f"MLflow takes no infinite values: {len(recorder.infinite)} of {recorder.infinite[0]!r} were left out"
            )


def _now() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _tell(message: str) -> None:
    """Warn on rank zero, without the password that a tracking URI may hold."""
    rank_zero_warn(_PASSWORD.sub("***@", message))
