"""The one room that touches what Lightning does not promise to keep. Each of these has a test that pins it."""

import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor

from lightning_lrsched.callbacks.cycles.cadence import Cadence
from lightning_lrsched.callbacks.stepping import RunFacts


def scheduler_configs(trainer: pl.Trainer) -> list[LRSchedulerConfig]:
    """Return the list that `configure_optimizers` filled and that the loops step from; it may be edited."""
    return trainer.strategy.lr_scheduler_configs


def replace_config(trainer: pl.Trainer, old: LRSchedulerConfig | None, scheduler: Any, interval: str = "step") -> None:
    """Put a scheduler in the place of an old one, with the same interval, or at the end when there was none.

    One that is added by step counts by itself. Its frequency keeps Lightning from calling it, which would cost more
    than the schedule does.
    """
    configs = scheduler_configs(trainer)
    if old is None:
        frequency = sys.maxsize if interval == "step" else 1
        configs.append(LRSchedulerConfig(scheduler=scheduler, interval=interval, frequency=frequency))
    else:
        new = replace(old, scheduler=scheduler)
        if fed_by_callback(old):
            new = replace(new, reduce_on_plateau=False, interval="step")
        configs[configs.index(old)] = new


def fed_by_callback(config: LRSchedulerConfig) -> bool:
    """Return whether a plateau is fed by the callback: Lightning feeds it after the epoch's checkpoint is saved."""
    return config.reduce_on_plateau and config.interval == "epoch" and config.frequency == 1


def logger_step(trainer: pl.Trainer) -> int:
    """Return the step that Lightning's loggers use now: the one of the latest batch that stepped."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def is_last_batch(trainer: pl.Trainer) -> bool:
    """Return whether the latest training batch was the last one of its epoch."""
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def batches_of_epoch(trainer: pl.Trainer) -> tuple[int, int]:
    """Return the training batches of the present epoch so far, and how many of them make an optimizer step."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready, trainer.accumulate_grad_batches


def latest_batch(trainer: pl.Trainer) -> int:
    """Return the number of the latest training batch of the run, from 0."""
    return trainer.fit_loop.epoch_loop.total_batch_idx


def trains_nothing(trainer: pl.Trainer) -> bool:
    """Return whether a limit of the Trainer leaves nothing to train."""
    return 0 in (trainer.max_epochs, trainer.max_steps, trainer.limit_train_batches)


def averaging_goes_on(trainer: pl.Trainer) -> bool:
    """Return whether StochasticWeightAveraging was restored in its phase: then it clears the list of schedulers."""
    return any(getattr(callback, "_scheduler_state", None) is not None for callback in callbacks_of(trainer))


def averages_follow(trainer: pl.Trainer, epoch: int) -> bool:
    """Return whether the module makes no step after an epoch, and holds averages.

    StochasticWeightAveraging puts them there after its last epoch: for one more pass over the data, which measures
    batch norm anew, or in its ``on_train_end``, which comes before that of any checkpoint callback. With
    ``max_epochs=-1`` its last epoch is the one in which the training ends.
    """
    return any(
        callback.swa_end == epoch or (callback._max_epochs == -1 and _is_over(trainer))
        for callback in callbacks_of(trainer)
        if isinstance(callback, StochasticWeightAveraging)
    )


def _is_over(trainer: pl.Trainer) -> bool:
    """Return whether the training ends with the present epoch: by its steps, or because somebody asked for it."""
    stops = trainer.should_stop and trainer.fit_loop._can_stop_early
    return stops or 0 <= trainer.max_steps <= trainer.global_step


def run_facts(trainer: pl.Trainer) -> RunFacts:
    """Return what the Trainer says of the length of its run. Loads the training data if that has not happened."""
    if trainer.train_dataloader is None:
        trainer.fit_loop.setup_data()
    else:
        _restore_loaders(trainer)
    batches, max_epochs = trainer.num_training_batches, trainer.max_epochs
    accumulation = {0: trainer.accumulate_grad_batches}
    for callback in callbacks_of(trainer):
        if isinstance(callback, StochasticWeightAveraging) and callback._model_contains_batch_norm:
            own = max_epochs == callback._max_epochs + 1  # an epoch that measures batch norms and makes no step
            max_epochs = callback._max_epochs if own else max_epochs
        if isinstance(scheduling := getattr(callback, "scheduling", None), dict):
            accumulation = dict(scheduling)
    return RunFacts(
        batches=None if batches == float("inf") else int(batches),
        accumulation={0: 1} | accumulation,
        max_epochs=None if max_epochs in (None, -1) else max_epochs,
        max_steps=None if trainer.max_steps == -1 else trainer.max_steps,
        manual=not trainer.lightning_module.automatic_optimization,
        optimizers=len(trainer.optimizers),
    )


def _restore_loaders(trainer: pl.Trainer) -> None:
    """Give loaders that keep a state the one of a checkpoint, which Lightning gives to none that is loaded already."""
    loop = trainer.fit_loop
    if loop.restarting and loop._combined_loader_states_to_load and loop._data_fetcher is not None:
        loop._data_fetcher.teardown()
        loop._load_combined_loader_states()
        iter(loop._data_fetcher)


def callbacks_of(trainer: pl.Trainer) -> list[Callback]:
    """Return the Trainer's callbacks (an attribute that its connectors set)."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def is_smoke_test(trainer: pl.Trainer) -> bool:
    """Return whether this is a ``fast_dev_run`` (an attribute that the Trainer's helpers set)."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def validation_metrics(trainer: pl.Trainer) -> tuple[dict[str, float], set[str]]:
    """Return the metrics of the validation that just ended, and which of them Lightning hands to its loggers.

    Those of each of several loaders are among them, which Lightning shows one loader at a time. When a training epoch
    ends: what it has logged so far.
    """
    results = trainer._results
    if results is None:
        return {}, set()
    values: dict[str, float] = {}
    logged: set[str] = set()
    present = results.dataloader_idx
    for index in dict.fromkeys(each.meta.dataloader_idx for each in results.values()):
        results.dataloader_idx = index
        metrics = results.metrics(on_step=False)
        values |= {key: float(value) for key, value in metrics["callback"].items()}
        logged |= set(metrics["log"])
    results.dataloader_idx = present
    return values, logged


def after_module_hook(trainer: pl.Trainer, name: str, then: Callable[[], None]) -> Callable[[], None]:
    """Do something right after the next call of a hook of the module.

    At the end of an epoch the callbacks that save checkpoints or stop early come after the module, all others before
    it. This stands in for that one call, and takes itself away with it.

    Returns:
        What takes it away if the call does not come; nothing happens if it came.
    """
    own = vars(trainer.lightning_module)
    before = own.get(name)

    def put_back() -> None:
        if own.get(name) is stands_in:
            del own[name]
            own.update({} if before is None else {name: before})

    def stands_in(*args: Any, **kwargs: Any) -> Any:
        put_back()
        result = getattr(trainer.lightning_module, name)(*args, **kwargs)
        then()
        return result

    own[name] = stands_in
    return put_back


def end_logger_as(logger: Logger, status: str) -> None:
    """Have a logger end its run with a status that Lightning has no word for, the next time it is finalized.

    After an interruption Lightning finalizes its loggers with ``"failed"``, whatever the reason, when all callbacks
    have had their turn. This stands in for that one call, on this logger alone, and takes itself away with it.
    """

    def finalize(_: str) -> None:
        del vars(logger)["finalize"]
        logger.finalize(status)

    vars(logger)["finalize"] = finalize


def restores_late(trainer: pl.Trainer) -> bool:
    """Return whether callbacks get their state only after ``on_fit_start``, as under FSDP and FSDP2."""
    return trainer.strategy.restore_checkpoint_after_setup


def writes_later(trainer: pl.Trainer) -> bool:
    """Return whether a checkpoint is written by another thread after `save_checkpoint` has returned."""
    return isinstance(trainer.strategy.checkpoint_io, AsyncCheckpointIO)


def save_then(trainer: pl.Trainer, path: str, then: Callable[[], None], *, weights_only: bool) -> Future[None] | None:
    """Save a checkpoint, on all ranks, and do something on rank zero as soon as it is written.

    With AsyncCheckpointIO another thread writes it, after those that it was given before, and keeps an error for the
    next save, of whatever file, which it breaks. Here it is the result's error.

    Returns:
        The result that is to come; None where all is done.
    """
    io = trainer.strategy.checkpoint_io
    if not (trainer.is_global_zero and isinstance(io, AsyncCheckpointIO)):
        trainer.save_checkpoint(path, weights_only)
        if trainer.is_global_zero:
            then()
        return None
    io._ensure_setup()
    writer = io._executor
    assert writer is not None
    before: Future[BaseException | None] = writer.submit(lambda: io._error)
    trainer.save_checkpoint(path, weights_only)

    def follow() -> None:
        error = io._error
        if error is not None and error is not before.result():
            io._error = None
            raise error
        then()

    return writer.submit(follow)


def validation_is_due(trainer: pl.Trainer) -> bool:
    """Return whether Lightning validates after the present batch; asked in ``on_train_batch_end``."""
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    empty = loop.val_loop._combined_loader is not None and loop.val_loop.skip  # it is loaded by the first validation
    return fetcher is not None and not empty and loop._should_check_val_fx(fetcher)


def validation_is_to_come(trainer: pl.Trainer) -> bool:
    """Return whether a checkpoint is saved in ``on_train_batch_end``, and Lightning validates after it."""
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return batches.processed == batches.completed + 1 and trainer.enable_validation and validation_is_due(trainer)


def force_validation(trainer: pl.Trainer) -> Callable[[], None]:
    """Have Lightning validate after the present batch; asked in ``on_train_batch_end``.

    Returns:
        What puts the Trainer's cadence back; to be called when the validation starts, or does not come.
    """
    by_time = "_val_check_time_interval"
    before = {name: getattr(trainer, name) for name in ("val_check_batch", "check_val_every_n_epoch", by_time)}
    across = trainer.check_val_every_n_epoch is None
    loop = trainer.fit_loop.epoch_loop
    trainer.val_check_batch = (loop.total_batch_idx if across else loop.batch_idx) + 1
    trainer.check_val_every_n_epoch = None if across else 1
    setattr(trainer, by_time, None)

    def put_back() -> None:
        for name, value in before.items():
            setattr(trainer, name, value)

    return put_back


def repeat_validation(trainer: pl.Trainer) -> None:
    """Validate in ``on_train_start``, as Lightning does after a batch.

    It does not repeat a validation that was due when a checkpoint was saved in ``on_train_batch_end``.
    """
    loop, connector = trainer.fit_loop.epoch_loop.val_loop, trainer._logger_connector
    first = connector._first_loop_iter
    trainer.validating = True
    loop.restarting = False
    loop.run()
    loop._has_run = False  # the epoch loop takes it for its own, and an epoch without a length for over
    trainer.training = True
    connector._first_loop_iter = first


def validation_cadence(trainer: pl.Trainer) -> Cadence:
    """Return how often Lightning validates."""
    batches = trainer.val_check_batch
    by_time = getattr(trainer, "_val_check_time_interval", None) is not None
    if batches == float("inf"):
        batches = trainer.num_training_batches
    every = None if by_time or batches is None or batches == float("inf") else int(batches)
    return Cadence(every, trainer.check_val_every_n_epoch)


def never_validates(trainer: pl.Trainer) -> bool:
    """Return whether no validation comes before the end of the run, as far as that is known before it."""
    if not trainer.enable_validation:
        return True
    cadence, facts = validation_cadence(trainer), run_facts(trainer)
    if cadence.every_batches is None or facts.batches is None:
        return False
    before = 0 if cadence.every_epochs is None else (cadence.every_epochs - 1) * facts.batches
    by_epochs = math.inf if facts.max_epochs is None else facts.max_epochs * facts.batches
    unknown = facts.max_steps is None or facts.manual
    by_steps = math.inf if unknown else facts.max_steps * max(facts.accumulation.values())  # type: ignore[operator]
    return before + cadence.every_batches > min(by_epochs, by_steps)


@contextmanager
def weights_to_save(trainer: pl.Trainer, weights: dict[str, Tensor] | None, *, weights_only: bool) -> Iterator[None]:
    """Have the module hold what is to be saved: given weights, or the averaged ones that were validated.

    A WeightAveraging callback puts its averaged weights into a checkpoint by itself, but not into one of weights alone.
    """
    module = trainer.lightning_module
    averaging = [one for one in callbacks_of(trainer) if isinstance(one, WeightAveraging) and one._average_model]
    present = None if weights is None else {name: value.detach().clone() for name, value in module.state_dict().items()}
    swapped = weights is None and bool(averaging) and weights_only
    if weights is not None:
        module.load_state_dict(weights)
    if swapped:
        averaging[0]._swap_models(module)
    try:
        yield
    finally:
        if present is not None:
            module.load_state_dict(present)
        if swapped:
            averaging[0]._swap_models(module)
