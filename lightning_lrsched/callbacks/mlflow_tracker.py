"""MLflowTracker: records the lr curve, the phases, the validation metrics and the kept checkpoints in MLflow."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_lrsched.callbacks.audit import Auditor
from lightning_lrsched.callbacks.recorded_plan import plan_of, scheduled_keys
from lightning_lrsched.callbacks.run_setup import run_setup
from lightning_lrsched.callbacks.tracked_cycles import TrackedCycles
from lightning_lrsched.callbacks.trainer_access import (
    callbacks_of,
    end_logger_as,
    is_smoke_test,
    logger_step,
    scheduler_configs,
)
from lightning_lrsched.callbacks.validations import Validations, loggers_of
from lightning_lrsched.checks import check_flag, check_number, refusal
from lightning_lrsched.configs import tracker_from
from lightning_lrsched.masking import masked, masked_yaml
from lightning_lrsched.real_steps import StepCounter
from lightning_lrsched.scheduler import RealStepScheduler
from lightning_lrsched.tracking import tasks
from lightning_lrsched.tracking.pick import Earlier, check_installed, check_uri, pick_target
from lightning_lrsched.tracking.recorder import MetricRecord, StepRecorder, labels_of, leaders_of
from lightning_lrsched.tracking.session import Left, Options, Session, spool_parent
from lightning_lrsched.tracking.sharing import LEADERS
from lightning_lrsched.tracking.thinning import Thinning
from lightning_lrsched.tracking.writer import Settings, Writer

_SETTLE = 5.0  # seconds at most that the first step waits for what opening the run computes


class MLflowTracker(Callback):
    """Records a fit in MLflow: lr at every real step, phases, cycles, validation metrics, kept checkpoints.

    It writes to the run of the trainer's MLFlowLogger if there is one; else, unless ``tracking_uri`` is given, to the
    run that ``mlflow.start_run`` or autolog has open, or that ``MLFLOW_RUN_ID`` names; else to a run of its own: to
    that alone ``tracking_uri``, ``experiment`` and ``run_name`` apply. All curves have the step axis of Lightning's
    loggers. Each record goes to a journal on the disk first (the spool); threads deliver it in batches. A failure of
    tracking is one warning and never stops the training: what MLflow has not taken stays for ``lrsched replay``.

    What is logged: metrics ``lr/<optimizer>/<group>`` (and ``momentum/...``, ``weight_decay/...`` where they are
    scheduled), ``schedule/phase``, ``schedule/cycle``, ``throughput/steps_per_second``, every validation metric under
    its own name (``step/<metric>`` where autolog writes to the same run), ``epoch``, and ``cycle/<metric>`` for each
    finished cycle; params ``schedule/...`` and ``setup/...`` (optimizer, trainer, seed); artifacts
    ``schedule/plan.json``, ``schedule/setup.json`` (the same with hyper-parameters and versions), ``schedule/lr.png``,
    ``schedule/steps/*.npz`` (every step); kept checkpoints as models.

    A fit that is resumed from a checkpoint continues in the same run. Steps that are trained again are not logged a
    second time: each curve continues at the first step that it does not have.

    Args:
        tracking_uri: store of a run of its own (``"http://host:5000"``); None for ``MLFLOW_TRACKING_URI`` (also that of
            ``mlflow.set_tracking_uri``), or ``sqlite:///mlflow.db``.
        experiment: experiment of a run of its own; None for ``MLFLOW_EXPERIMENT_ID`` (also that of
            ``mlflow.set_experiment``), ``MLFLOW_EXPERIMENT_NAME``, or ``Default``.
        run_name: name of a run of its own; None for one made of date and time.
        log_checkpoints: store the checkpoints of each finished cycle as logged models (of MLflow 3), with their metric.
        registered_model: name of the registered model that gets a version of the best checkpoint of each run; the
            alias ``best`` is on the best of all. None for none.
        audit: warn, once for each optimizer, when something other than the plan has set the lr that a real step used.
        flush_timeout: seconds that the end of the fit waits for the last points.
        every_n_steps: log the steps that are a multiple of this, or ``"on_change"`` for those where a straight line
            between the logged ones would miss the curve by more than ``tolerance``. The first and the last step of
            every phase are always logged, and the artifact always has every step. ``"shared"``, for hundreds of
            groups, does so with the largest group alone; of those whose curves have its shape it logs the few points
            from which ``tracking.sharing.redrawn`` draws them.
        tolerance: share of a group's base lr, 0 to 1; with ``"on_change"`` and ``"shared"`` alone.
        resume_run: continue in the run of the checkpoint from which the fit is resumed; False for a child run of it.
        spool_dir: where the spool goes; None for ``lrsched_spool`` in the trainer's ``default_root_dir``.
        deliver_every: seconds between two deliveries of points that do not make a full batch.
        request_timeout: seconds a request to a tracking server may take; ``MLFLOW_HTTP_REQUEST_TIMEOUT`` wins.

    Attributes:
        left: None if MLflow had taken everything when the latest fit ended; else its ``spool``, for ``lrsched replay``,
            and whether some of it is ``lost``.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        OSError: when constructed on Windows.
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
        registered_model: str | None = None,
        audit: bool = True,
        flush_timeout: float = 60.0,
        every_n_steps: int | Literal["on_change", "shared"] = 1,
        tolerance: float = 0.001,
        resume_run: bool = True,
        spool_dir: str | Path | None = None,
        deliver_every: float = 5.0,
        request_timeout: float = 30.0,
    ) -> None:
        """Check the parameters; nothing is opened before the fit."""
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.run_name = run_name
        self.log_checkpoints = log_checkpoints
        self.registered_model = registered_model
        self.audit = audit
        self.flush_timeout = flush_timeout
        self.every_n_steps: int | Literal["on_change", "shared"] = every_n_steps
        self.tolerance = tolerance
        self.resume_run = resume_run
        self.spool_dir = spool_dir
        self.deliver_every = deliver_every
        self.request_timeout = request_timeout
        self._check()
        self.left: Left | None = None
        self._session: Session | None = None
        self._earlier: Earlier | None = None  # the run of the checkpoint that was loaded for this fit
        self._latest: Earlier | None = None  # the run of this fit, or of the one before
        self._validations = Validations(_tell)
        self._cycles = TrackedCycles(upload=log_checkpoints, registered=registered_model)
        self._texts, self._counters = dict[str, str](), list[StepCounter]()  # of optimizers that we do not schedule
        self._steps: StepRecorder | None = None  # of the first optimizer
        self._fitting = self._opened = False

    def _check(self) -> None:
        """Refuse what cannot be meant, before anything is trained."""
        if sys.platform == "win32":
            raise OSError(
                "MLflowTracker does not work on Windows: its spool needs the file locks of Linux and macOS. Use WSL, "
                "or Trainer(logger=MLFlowLogger(...), callbacks=[..., LearningRateMonitor('step')]); schedules and "
                "CycleCheckpoint work as they are"
            )
        for name in ("tracking_uri", "experiment", "run_name", "registered_model"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise refusal(f"MLflowTracker.{name}", value, "a text or None", "experiment='digits'")
        if self.tracking_uri is not None:
            check_uri("MLflowTracker.tracking_uri", self.tracking_uri)
        if set("/:") & set(self.registered_model or ""):
            allowed = "a name without '/' and ':'"
            raise refusal("MLflowTracker.registered_model", self.registered_model, allowed, "registered_model='digits'")
        folder, every = self.spool_dir, self.every_n_steps
        if folder is not None and (not isinstance(folder, str | Path) or not str(folder)):
            raise refusal("MLflowTracker.spool_dir", folder, "a local folder or None", "spool_dir='/scratch/spool'")
        whole = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        if not whole and every not in ("on_change", "shared"):
            allowed = "a whole number of at least 1, 'on_change' or 'shared'"
            raise refusal("MLflowTracker.every_n_steps", every, allowed, "every_n_steps=10")
        for name in ("log_checkpoints", "audit", "resume_run"):
            check_flag(f"MLflowTracker.{name}", getattr(self, name), f"{name}=False")
        check_number("MLflowTracker.flush_timeout", self.flush_timeout, "flush_timeout=60", at_least=0.0)
        check_number("MLflowTracker.tolerance", self.tolerance, "tolerance=0.001", at_least=0.0, at_most=1.0)
        check_number("MLflowTracker.deliver_every", self.deliver_every, "deliver_every=5", above=0.0)
        check_number("MLflowTracker.request_timeout", self.request_timeout, "request_timeout=30", above=0.0)

    @classmethod
    def from_config(cls, path: str | Path) -> "MLflowTracker":
        """Return the tracker that a YAML file describes, such as ``mlflow_configs/local.yaml``.

        Its keys are the parameters above. A password is refused in it: credentials come from the environment.

        Raises:
            ConfigError: (a ValueError) if the file cannot be read, a key is unknown, or a value is refused.
        """
        return tracker_from(cls, path)  # named in YAML as a class path: jsonargparse needs the class, not Self

    def __repr__(self) -> str:
        """Name the store and the experiment, without a password."""
        uri = None if self.tracking_uri is None else masked(self.tracking_uri)
        return f"{type(self).__name__}(tracking_uri={uri!r}, experiment={self.experiment!r}, run_id={self.run_id!r})"

    @property
    def run_id(self) -> str | None:
        """The MLflow run of this fit, or of the latest one; None until it is open: a server may answer late."""
        if self._session is not None:
            return self._session.run_id
        return None if self._latest is None else self._latest.run_id

    def keep_text(self, name: str, text: str) -> None:
        """Store a text with the run of the next fit, as ``schedule/<name>``.

        Passwords in it are masked: those of URIs, and in YAML the texts under keys such as ``api_key``.

        Args:
            name: name of the file.
            text: its content, such as the configuration that the fit was started with.
        """
        self._texts[name] = masked_yaml(text)

    def state_dict(self) -> dict[str, Any]:
        """Return which run this fit writes to, without a password."""
        session = self._session
        earlier = (self._earlier or self._latest) if session is None else session.earlier
        return {} if earlier is None else asdict(earlier)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the run of the checkpoint, to go on in it or to come from it; a test with the file does neither."""
        if self._fitting:
            self._earlier = Earlier(**state_dict) if state_dict else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note whether it is a fit that begins."""
        self._fitting = stage == "fit"

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Be ready to open a run, once in this fit.

        Raises:
            ModuleNotFoundError: on every rank, if mlflow is not installed, with the command that installs it.
            ValueError: if MLFLOW_TRACKING_URI is to be used, and MLflow has no store for it.
        """
        self._opened = not trainer.is_global_zero or is_smoke_test(trainer)
        self.left = self._latest = None
        if not is_smoke_test(trainer):
            check_installed()
            if self.tracking_uri is None and not any(hasattr(logger, "run_id") for logger in trainer.loggers):
                check_uri("MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI", ""))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look where the schedule is: one that advances with the epochs may have restarted."""
        if self._steps is not None:
            self._steps.look_again()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Open the run before the first step, when no callback can refuse the fit any more; watch from then on."""
        self._open_once(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record what the validation measured, unless Lightning's own logger writes it to the same run."""
        if not self._fitting or trainer.sanity_checking:
            return
        self._open_once(trainer, pl_module)  # a resumed fit may begin with a validation
        if self._session is None:
            return
        if values := self._validations.values(trainer, self.run_id):
            self._session.writer.record(MetricRecord(logger_step(trainer), _now(), values))
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
        for logger in loggers_of(trainer, self.run_id) if killed and self._session is not None else ():
            end_logger_as(logger, "KILLED")
        self._close("KILLED" if killed else "FAILED")

    def _open_once(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the run unless that was done in this fit."""
        if not self._opened:
            self._opened = True
            self._open(trainer, module)

    def _open(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the run, and record the plan and every real step."""
        target = pick_target(
            trainer.loggers,
            self.tracking_uri,
            self.experiment,
            self.run_name,
            self._earlier,
            resume=self.resume_run,
        )
        schedulers = {id(config.scheduler.optimizer): config.scheduler for config in scheduler_configs(trainer)}
        described = schedulers.get(id(trainer.optimizers[0])) if trainer.optimizers else None
        params, document = plan_of(described)
        picture = "lr.png" if self._earlier is None else f"lr-from-step-{logger_step(trainer)}.png"
        self._session = Session(
            target,
            Options(
                spool_parent(trainer.default_root_dir) if self.spool_dir is None else Path(self.spool_dir).absolute(),
                self.request_timeout,
                self.flush_timeout,
                Settings(
                    Thinning(self.every_n_steps, self.tolerance),
                    self.deliver_every,
                    title=params.get("schedule/main", "learning rate"),
                    picture=picture,
                ),
            ),
            _tell,
        )
        self._describe(self._session.writer, params, {"plan.json": document}, trainer, module)
        self._cycles.begin()
        for index, label in enumerate(labels_of(trainer.optimizers)):
            self._watch(trainer, index, label, schedulers.get(id(trainer.optimizers[index])))
        self._session.writer.settle(_SETTLE)

    def _describe(
        self,
        writer: Writer,
        params: Mapping[str, str],
        texts: Mapping[str, str],
        trainer: pl.Trainer,
        module: pl.LightningModule,
    ) -> None:
        """Store what is constant over the run."""
        setup, made_with = dict[str, str](), ""
        try:
            setup, made_with = run_setup(trainer, module)
        except Exception as failure:  # hyper-parameters are whatever the user gave
            _tell(f"What the run was made with is not in MLflow: {type(failure).__name__}: {failure}")
        tags = {"lrsched.version": version("lightning-lrsched")}
        if self.every_n_steps == "shared":
            tags[LEADERS] = leaders_of(trainer.optimizers)
        writer.task(tasks.describe({**params, **setup}, tags))
        for name, text in {**texts, "setup.json": made_with, **self._texts}.items():
            if text:
                writer.task(tasks.text(name, text))

    def _watch(self, trainer: pl.Trainer, index: int, label: str, scheduler: object) -> None:
        """Record each real step of one optimizer from now on: one append a step."""
        assert self._session is not None
        optimizer = trainer.optimizers[index]
        recorder = StepRecorder(
            self._session.writer.journal,
            index,
            label,
            lambda: optimizer.param_groups,
            others=scheduled_keys(scheduler),
            axis=partial(logger_step, trainer),
        )
        if isinstance(scheduler, RealStepScheduler):
            if index == 0:
                recorder.place = scheduler.place
                self._steps = recorder
            scheduler.observers.append(recorder)
            if self.audit:
                scheduler.observers.append(Auditor(scheduler, _tell))
            return
        try:
            counter = StepCounter(optimizer)
        except ValueError as refused:
            _tell(f"The lr of {label} is not tracked: {refused}")
            return
        counter.observers.append(recorder)
        self._counters.append(counter)

    def _take_cycles(self, trainer: pl.Trainer) -> None:
        """Record the finished cycles of every checkpoint callback that has them, each once."""
        if self._session is not None:
            self._cycles.take(callbacks_of(trainer), self._session.writer, _now())

    def _close(self, status: str) -> None:
        """Deliver what is left, draw the curve, set the status; at most `flush_timeout` seconds."""
        session, self._session, self._earlier, self._steps = self._session, None, None, None
        for counter in self._counters:
            counter.disarm()
        self._counters.clear()
        if session is not None:
            try:
                session.close(status)
            finally:
                self.left, self._latest = session.left, session.earlier


def _now() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _tell(message: str) -> None:
    """Warn on rank zero, without the password that a tracking URI may hold."""
    rank_zero_warn(masked(message))
