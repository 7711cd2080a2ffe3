"""What a run was made with besides its schedule: what two runs must share to be compared, or one to be repeated."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import lightning.pytorch as pl
import torch

from lightning_lrsched.masking import masked, masked_values
from lightning_lrsched.tracking.sink import key_of

_INITIAL = "initial_"  # before a key in a parameter group: its value before any schedule wrote
_NOT_SETTINGS = ("params", "lr", "name", "param_names")
_PACKAGES = ("lightning-lrsched", "lightning", "pytorch-lightning", "mlflow", "numpy")
_TRAINER = ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "precision", "world_size")


def run_setup(trainer: pl.Trainer, module: pl.LightningModule) -> tuple[dict[str, str], str]:
    """Return the setup of a fit as params, and as a JSON document with the hyper-parameters of module and data.

    Values that are no plain ones stand in it as their text; a password in a URI, or under a key such as ``password`` or
    ``api_key``, is masked.
    """
    settings: dict[str, Any] = {"seed": os.environ.get("PL_GLOBAL_SEED"), "strategy": type(trainer.strategy).__name__}
    settings |= {name: getattr(trainer, name, None) for name in _TRAINER}
    for index, optimizer in enumerate(trainer.optimizers):
        label = f"optimizer{index or ''}"
        settings[label] = type(optimizer).__name__
        settings |= {f"{label}.{key}": value for key, value in _settings(optimizer.param_groups[0]).items()}
    data = getattr(trainer, "datamodule", None)
    document = {
        "settings": settings,
        "hparams": {"module": _hparams(module), "data": _hparams(data)},
        "classes": {"module": _name(module), "data": _name(data)},
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {name: version(name) for name in _PACKAGES if _installed(name)},
        "devices": str(trainer.strategy.root_device),
    }
    params = {key_of("setup", key): masked(str(value)) for key, value in settings.items() if value is not None}
    return params, masked(json.dumps(masked_values(document), indent=2, default=str, skipkeys=True))


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a parameter group was made with: of what a schedule writes, the value before it."""
    before = {key.removeprefix(_INITIAL): value for key, value in group.items() if key.startswith(_INITIAL)}
    settings = {key: before.get(key, value) for key, value in group.items() if not key.startswith(_INITIAL)}
    if "betas" in settings and "momentum" in before:  # Adam's first beta is what a schedule of the momentum writes
        settings["betas"] = (before["momentum"], *settings["betas"][1:])
    return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS}


def _hparams(owner: Any) -> dict[str, Any]:
    """Return what `save_hyperparameters` has kept."""
    return dict(getattr(owner, "hparams_initial", None) or {})


def _name(owner: Any) -> str | None:
    """Return where a class is imported from."""
    return None if owner is None else f"{type(owner).__module__}.{type(owner).__qualname__}"


def _installed(name: str) -> bool:
    """Return whether a distribution is there."""
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True
