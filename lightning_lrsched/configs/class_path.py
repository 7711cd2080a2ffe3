"""A class named in a file: its import path and the arguments that it is made with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import Any

from lightning_lrsched.checks import refusal

_EXAMPLE = "{class_path: examples.digits.Digits, init_args: {lr: 0.3}}"


@dataclass(frozen=True)
class ClassPath:
    """What LightningCLI writes as ``class_path`` and ``init_args``.

    Args:
        class_path: where the class is imported from, with dots: ``package.module.Class``.
        init_args: its arguments by name, as plain values.

    Raises:
        ValueError: if it names no class with a module, or the arguments have no names.
    """

    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what names no class."""
        if not isinstance(self.class_path, str) or not self.class_path.replace(".", "x").isidentifier():
            raise refusal("class_path", self.class_path, "an import path such as package.module.Class", _EXAMPLE)
        if "." not in self.class_path:
            raise refusal("class_path", self.class_path, "an import path with its module", _EXAMPLE)
        if not isinstance(self.init_args, Mapping):
            raise refusal("init_args", self.init_args, "arguments by name", _EXAMPLE)

    def load(self) -> type:
        """Import the class.

        Raises:
            ValueError: if there is no such class.
        """
        module, _, name = self.class_path.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and lacks something of its own
            raise refusal("class_path", self.class_path, f"importable, and {error}", _EXAMPLE) from None
        except AttributeError:
            raise refusal("class_path", self.class_path, f"in {module}, which has no {name}", _EXAMPLE) from None
        if not isinstance(found, type):
            raise refusal("class_path", self.class_path, f"a class, not a {type(found).__name__}", _EXAMPLE)
        return found

    def check(self) -> None:
        """Import the class and hold the arguments against its signature, without making one.

        Raises:
            ValueError: if there is no such class, or it does not take the arguments.
        """
        kind = self.load()
        try:
            signature(kind).bind(**self.init_args)
        except TypeError as error:
            takes = ", ".join(signature(kind).parameters) or "nothing"
            raise ValueError(f"{self.class_path}: {error}. It takes {takes}") from None

    def build(self) -> Any:
        """Return an instance."""
        return self.load()(**self.init_args)

    def with_args(self, **init_args: Any) -> "ClassPath":
        """Return the same with further arguments."""
        return ClassPath(self.class_path, {**self.init_args, **init_args})
