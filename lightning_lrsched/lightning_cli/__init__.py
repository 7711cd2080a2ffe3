"""LightningCLI with this package's names at hand, plain errors, and the configuration kept with the run."""

from lightning_lrsched.lightning_cli.parser import ScheduleCLI, ScheduleParser
from lightning_lrsched.lightning_cli.save_config import SaveConfigArtifact

__all__ = ["SaveConfigArtifact", "ScheduleCLI", "ScheduleParser"]
