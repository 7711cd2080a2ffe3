"""Warnings of Lightning, torch and MLflow that say nothing of this package; all others are errors."""

import pytest

NOISE = (
    r"ignore:The '(train|val|test)_dataloader' does not have many workers",
    r"ignore:.*isinstance\(treespec, LeafSpec\).* is deprecated",
    r"ignore:You're resuming from a checkpoint that ended before the epoch ended",
    r"ignore:The number of training batches \(.*\) is smaller than the logging interval",
    r"ignore:Your `IterableDataset` has `__len__` defined",
    r"ignore:`training_step` returned `None`",
    r"ignore:GPU available but not used",
)


def silence(config: pytest.Config) -> None:
    """Ignore them in every test."""
    for line in NOISE:
        if line not in config.getini("filterwarnings"):
            config.addinivalue_line("filterwarnings", line)
