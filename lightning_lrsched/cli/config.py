"""What a LightningCLI file says of the schedule and of the run."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_lrsched.checks import check_number
from lightning_lrsched.cli.arguments import CommandError
from lightning_lrsched.configs import ConfigError, load_yaml
from lightning_lrsched.expression import from_config, main_from_config

_CALLBACK = "LearningRateScheduler"
_PARTS = ("warmup", "cooldown")
_ENTRY = "trainer: {callbacks: [{class_path: lightning_lrsched.LearningRateScheduler, init_args: {main: Cosine}}]}"


@dataclass(frozen=True)
class Config:
    """The parts of a LightningCLI file that speak of the lr; None for what it does not say.

    Args:
        callback: arguments of its LearningRateScheduler, with schedules in place of their class paths.
        max_epochs: the trainer's.
        max_steps: the trainer's.
        lr: the lr of its optimizer section, as it stands there.
    """

    callback: Mapping[str, Any]
    max_epochs: int | None
    max_steps: int | None
    lr: object


def read_config(path: Path) -> Config:
    """Return what a file says.

    Raises:
        CommandError: if it cannot be read, or has no LearningRateScheduler.
        ValueError: if a schedule in it is refused.
    """
    document = _load(path)
    trainer = _section(document, "trainer")
    listed = trainer.get("callbacks")
    callbacks = listed if isinstance(listed, list) else [listed]
    found = [entry for entry in callbacks if _class_name(entry) == _CALLBACK]
    if len(found) != 1:
        count = len(found) or "no"
        raise CommandError(f"{path} has {count} {_CALLBACK} under trainer.callbacks, not one. For example: {_ENTRY}")
    return Config(
        _arguments(_section(found[0], "init_args")),
        _known(trainer.get("max_epochs")),
        _known(trainer.get("max_steps")),
        _section(_section(document, "optimizer"), "init_args").get("lr"),
    )


def peak_lr(config: Config, path: Path | None, default: float) -> float:
    """Return the peak lr of a file, or a default, with a note where a file has none.

    Args:
        config: what the file says.
        path: the file; None where there is none, and so nothing to note.
        default: the lr to draw with then.

    Raises:
        ValueError: if the lr of the file is refused.
    """
    if config.lr is not None:
        return check_number("optimizer's lr", config.lr, "--lr 0.1", above=0.0)
    if path is not None:
        told = f"{path} has no optimizer.init_args.lr: drawn with a peak lr of {default:g}. Pass another with --lr\n"
        sys.stderr.write(told)
    return default


def _load(path: Path) -> Mapping[str, Any]:
    """Return the file's content, or that of its ``fit`` section where it has one."""
    try:
        document = load_yaml(path)
    except ConfigError as error:
        raise CommandError(f"--config: {error}") from error
    if not isinstance(document, Mapping):
        raise CommandError(f"--config {path} is no LightningCLI file. For example: {_ENTRY}")
    return _section(document, "fit") or document


def _section(document: Any, name: str) -> Mapping[str, Any]:
    """Return a part of the file; empty where it is not there."""
    part = document.get(name) if isinstance(document, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _class_name(entry: object) -> str:
    """Return the name of the class that an entry of a list means."""
    path = entry.get("class_path", "") if isinstance(entry, Mapping) else entry
    return str(path).rpartition(".")[2]


def _arguments(init: Mapping[str, Any]) -> dict[str, Any]:
    """Return the callback's arguments with schedules in place of their class paths, those of a Plan among them."""
    main = init.get("main")
    if _class_name(main) == "Plan":
        init = {**init, "main": None, **_section(main, "init_args")}
    try:
        read = {key: from_config(value) if key in _PARTS else value for key, value in init.items()}
        return read if read.get("main") is None else {**read, "main": main_from_config(read["main"])}
    except RecursionError as error:
        raise CommandError(f"the {_CALLBACK} of the file is nested without end") from error


def _known(length: object) -> int | None:
    """Return a length of the trainer's section; None for -1, which is Lightning's word for no limit."""
    return length if isinstance(length, int) and not isinstance(length, bool) and length > 0 else None
