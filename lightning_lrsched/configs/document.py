"""A configuration file as plain values, and a section of it as an instance of the class that it describes."""

import re
from collections.abc import Callable, Hashable, Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeVar

from lightning_lrsched.configs.secrets import refuse_secrets

T = TypeVar("T")

# YAML 1.1 reads 1e-5 as text; LightningCLI and every reader take it for a number.
_FLOAT = re.compile(r"^[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+$")


class ConfigError(ValueError):
    """A configuration file that is refused; the message names the file, the key and what is allowed."""


def load_yaml(path: str | Path) -> object:
    """Return what a YAML file holds, as plain values: no tag of it is executed, and no key may stand twice.

    Args:
        path: the file.

    Raises:
        ConfigError: if it cannot be read, or is no YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain values only."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            """Refuse a key that stands twice: YAML would take the last in silence."""
            seen = set()
            for key, _ in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and str(key.value) in seen:
                    problem = f"the key {key.value!r} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {_problem(error)}") from None


def _problem(error: Exception) -> str:
    """Return what is wrong and where, without the line itself, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    return f"{getattr(error, 'problem', None) or 'it is nested without end'}{place}"


def load_document(path: str | Path) -> dict[str, Any]:
    """Return the keys of a configuration file, which holds no secret.

    Args:
        path: a YAML file.

    Raises:
        ConfigError: if it cannot be read, is no mapping, or holds a password.
    """
    document = load_yaml(path)
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ConfigError(f"{path} holds no keys with values. For example: experiment: digits")
    try:
        refuse_secrets(document)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return document


def build(kind: Callable[..., T], values: object, where: str) -> T:
    """Return an instance of a class from a section whose keys are the class's parameters.

    Args:
        kind: the class; its signature says which keys are valid, and its constructor checks their values.
        values: the section.
        where: the file and the key that the section stands under, for messages.

    Raises:
        ConfigError: if a key is unknown or missing, or a value is refused.
    """
    takes = signature(kind).parameters
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {values!r} is not a section. Its keys are {', '.join(takes)}")
    check_keys(values, takes, where)
    missing = [name for name, each in takes.items() if each.default is Parameter.empty and name not in values]
    if missing:
        raise ConfigError(f"{where}: {' and '.join(missing)} must be given. The keys are {', '.join(takes)}")
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def check_keys(values: Mapping[str, Any], valid: Mapping[str, Any], where: str) -> None:
    """Refuse keys that nothing would read, with the valid ones.

    Raises:
        ConfigError: if there is one.
    """
    for key in values:
        if key not in valid:
            near = get_close_matches(str(key), valid, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}: unknown key {key!r}.{meant} Valid keys: {', '.join(valid)}")
