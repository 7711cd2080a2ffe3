"""The runs of a sweep: every combination of its settings, each with a name and a fingerprint."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import Parameter, signature
from itertools import product
from typing import Any

from lightning_lrsched.configs import ClassPath, ConfigError
from lightning_lrsched.room import Main
from lightning_lrsched.sweep.config import SweepConfig
from lightning_lrsched.warmup import Warmup


@dataclass(frozen=True)
class Combination:
    """One run to train.

    Args:
        name: what tells it apart in the sweep, such as ``"sgdr, warmup 5ep, lr 0.3, seed 0"``.
        schedule: name of its schedule.
        main: the schedule.
        warmup: the warmup, or None.
        lr: the peak lr given to the module; None for the module's own.
        seed: what everything random is seeded with.
        module: the module, with its lr.
        callbacks: further callbacks.
        fingerprint: hash of all that decides its result, as far as the file says it.
    """

    name: str
    schedule: str
    main: Main
    warmup: Warmup | None
    lr: float | None
    seed: int
    module: ClassPath
    callbacks: tuple[ClassPath, ...]
    fingerprint: str

    def setting(self, axis: str) -> Warmup | float | None:
        """Return what stands under a key of the file, ``"warmups"`` or ``"lrs"``, for this run."""
        return self.warmup if axis == "warmups" else self.lr

    def told(self, axis: str) -> str:
        """Return that in words."""
        return _told_warmup(self.warmup) if axis == "warmups" else _told_lr(self.lr)

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        plain = re.sub(r"[^A-Za-z0-9.=-]+", "-", self.name).strip("-.")
        return f"{plain}-{self.fingerprint[:6]}"

    def params(self) -> dict[str, str]:
        """Return the settings as MLflow's params, which tell the runs of a sweep apart in a table."""
        values = {"schedule": self.schedule, "warmup": self.warmup, "lr": self.lr, "seed": self.seed}
        return {f"sweep/{key}": str("none" if value is None else value) for key, value in values.items()}


def shared_fingerprint(config: SweepConfig) -> str:
    """Return the hash of what all runs of a sweep share: another budget, module or data begin another sweep."""
    return _hash([config.name, _plain(config.module), _plain(config.data), config.trainer])


def combinations(config: SweepConfig) -> list[Combination]:
    """Return all runs of a sweep, the seeds in the outer loop: after each seed, every schedule stands equally far.

    Raises:
        ConfigError: if two of them are the same, or the module takes no ``lr``.
    """
    _check_lr(config)
    found = list(_combinations(config))
    names: dict[str, str] = {}
    for each in found:
        if names.setdefault(each.fingerprint, each.name) != each.name:
            raise ConfigError(f"{names[each.fingerprint]!r} and {each.name!r} are the same run. Leave out one of them")
    if len(names) < len(found):
        raise ConfigError("seeds, warmups or lrs name one value twice. Leave out one of them")
    return found


def _combinations(config: SweepConfig) -> Iterator[Combination]:
    """Yield the runs."""
    for seed in config.seeds:
        for schedule, main in config.schedules.items():
            warmups, lrs = config.warmups[schedule], config.lrs[schedule]
            callbacks = config.callbacks[schedule]
            for warmup, lr in product(warmups, lrs):
                words = [schedule]
                if len(warmups) > 1 or warmup is not None:
                    words.append(_told_warmup(warmup))
                if lr is not None:
                    words.append(_told_lr(lr))
                module = config.module if lr is None else config.module.with_args(lr=lr)
                decides = [shared_fingerprint(config), repr(main), repr(warmup), _plain(module)]
                decides += [seed, *map(_plain, callbacks)]
                yield Combination(
                    ", ".join([*words, f"seed {seed}"]),
                    schedule,
                    main,
                    warmup,
                    lr,
                    seed,
                    module,
                    callbacks,
                    _hash(decides),
                )


def _told_warmup(warmup: Warmup | None) -> str:
    """Return a warmup as the names of runs have it: its length, and what else is not as usual."""
    if warmup is None:
        return "no warmup"
    usual = repr(Warmup(warmup.duration)).removesuffix(")")
    return f"warmup {warmup.duration}{repr(warmup).removeprefix(usual).removesuffix(')')}"


def _told_lr(lr: float | None) -> str:
    """Return a peak lr as the names of runs have it."""
    return "the module's lr" if lr is None else f"lr {lr:g}"


def _check_lr(config: SweepConfig) -> None:
    """Refuse lrs for a module that has no parameter for them."""
    if any(lr is not None for lrs in config.lrs.values() for lr in lrs):
        try:
            takes = signature(config.module.load()).parameters
        except ValueError as refused:
            raise ConfigError(f"module: {refused}") from refused
        if "lr" not in takes and not any(each.kind is Parameter.VAR_KEYWORD for each in takes.values()):
            raise ConfigError(
                f"lrs are given to the module as its argument 'lr', and {config.module.class_path} takes "
                f"{', '.join(takes) or 'nothing'}. Give it that parameter, or leave out lrs"
            )


def _plain(path: ClassPath | None) -> Any:
    """Return a class path as what a file holds."""
    return None if path is None else [path.class_path, path.init_args]


def _hash(value: Any) -> str:
    """Return the hash of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()[:32]
