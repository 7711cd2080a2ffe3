"""A LightningCLI and its parser: a mistake in a schedule ends in one sentence that says what is wrong."""

from typing import Any, NoReturn

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import lightning_lrsched.callbacks
import lightning_lrsched.torch_schedules  # noqa: F401 - a short name is known once its class is imported
from lightning_lrsched.lightning_cli.mistakes import explain, refused
from lightning_lrsched.lightning_cli.save_config import SaveConfigArtifact


class ScheduleParser(LightningArgumentParser):
    """LightningCLI's parser, with a sentence in place of a dump where a schedule or callback of ours is written wrong.

    For a LightningCLI of one's own: ``MyCLI(..., parser_class=ScheduleParser)``.
    """

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the program with the message, the last line of what it prints."""
        if self.exit_on_error:  # not so in the parsers of single classes, whose messages end up in this one
            message = explain(message) or message
        super().error(message, ex)


class ScheduleCLI(LightningCLI):
    """LightningCLI that knows the callbacks and schedules of this package by their short names.

    It takes what LightningCLI takes. Three things differ: ``class_path: LearningRateScheduler`` needs no package name,
    a mistake in a schedule ends in a sentence that says what is wrong and what exists, and the configuration is stored
    in the MLflow run too (`SaveConfigArtifact`).

    Raises:
        ModuleNotFoundError: if jsonargparse is not installed: ``pip install 'lightning-lrsched[yaml]'``.

    Example::

        ScheduleCLI(MyModule, MyDataModule)  # python main.py fit --config config.yaml
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        """Parse the arguments and run the subcommand, as LightningCLI does.

        What this package refuses in a fit, such as a plan that is longer than it, ends the program in one sentence too.
        """
        try:
            super().__init__(
                *given, **{"parser_class": ScheduleParser, "save_config_callback": SaveConfigArtifact, **named}
            )
        except MisconfigurationException as error:
            self._end(error)

    def instantiate_classes(self) -> None:
        """Make the objects; a value that this package refuses ends the program as a misspelt name does."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            self._end(error)

    def _end(self, error: Exception) -> NoReturn:
        """End the program with what this package has said, as with a wrong argument; raise any other error again."""
        said = refused(error)
        if said is None:
            raise error
        self.parser.error(said, error)
