"""Texts and documents without the credentials in them, and without what would steer a terminal."""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, MutableSequence, Set
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

_NAMES = r"(?:password|passwd|pwd|passphrase|secret|token|credentials?|(?:api|access|secret|private)[_-]?key)"
SECRET_KEY = re.compile(rf"(?:.*[_\-.])?{_NAMES}", re.IGNORECASE)
"""A key whose text is a secret: its last word says so."""

_HIDDEN = "***"
_USER = re.compile(r"(?<=://)\S+@")
_OPTION = re.compile(
    r"(?i)([?&;](?:[^=&;\s]*(?:password|passwd|pwd|token|secret|key|signature|credential)[^=&\s]*|sig|odbc_connect)=)"
    r"[^&\s'\"]+"
)
_LINE = re.compile(
    rf"(?i)(?P<before>\s*(?:- +)*[\"']?(?:[\w.\-]*[_\-.])?{_NAMES}[\"']?\s*:[ \t]+)"
    r"(?!(?:null|~|\*[\w.\-]+)\s*$|[\[{]|(?:&\S+ +)?([\"'])\*{3}\2)\S"
)
_NAMED = re.compile(_NAMES, re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ANCHOR = re.compile(r"(?:!\S*\s+)?(&\S+\s+)")
_SHOWN = re.compile(
    rf"(?i)((?<!\w)[\"']?(?:[\w.\-]*[_\-.])?{_NAMES}[\"']?\s*[=:]\s*)(?!None\b|''|\"\")"
    r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,)\]}]+)"
)


def masked(text: str) -> str:
    """Return a text without the credentials of the URIs in it.

    >>> masked("cannot reach postgresql://ann:s3@cret@db/mlflow?sslpassword=x")
    'cannot reach postgresql://***@db/mlflow?sslpassword=***'
    """
    return _OPTION.sub(rf"\1{_HIDDEN}", _USER.sub(f"{_HIDDEN}@", text))


def reason_of(failure: BaseException) -> str:
    r"""Return in one line why something failed, without the credentials of its URIs.

    SQLAlchemy may put a line of its own before that, which says nothing of it.

    >>> reason_of(OSError("(raised as a result of autoflush; ...)\nattempt to write a readonly database\n[SQL"))
    'attempt to write a readonly database'
    """
    lines = [line.strip() for line in masked(str(failure)).splitlines()]
    said = (line for line in lines if line and not line.startswith("(raised as a result of "))
    return next(said, type(failure).__name__)


def masked_yaml(text: str) -> str:
    r"""Return a YAML text without the credentials of its URIs, and without the texts under keys such as ``api_key``.

    Every style of YAML is known, JSON too. In a text that is no YAML, and in texts inside it, lines decide: one that
    begins with such a key, and those below it that are indented deeper.

    >>> masked_yaml("model:\n  hf_token: |\n    abc\n  width: 8\n")
    "model:\n  hf_token: '***'\n  width: 8\n"
    """
    return masked(_masked_lines(_masked_scalars(text)))


def _masked_scalars(text: str) -> str:
    """Return a YAML text with its secrets masked, whatever their style; what is no YAML as it is."""
    if _NAMED.search(text) is None:  # parsing takes 0.2 s for 50 kB
        return text
    try:
        import yaml
    except ModuleNotFoundError:  # Lightning and MLflow bring it
        return text
    places: dict[int, Any] = {}
    try:
        for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
            places |= {node.start_mark.index: node for node in _secret_nodes(document, set())}
    except (yaml.YAMLError, RecursionError):
        pass  # the documents before it are known
    for start, node in sorted(places.items(), reverse=True):
        old = text[start : node.end_mark.index]
        anchor = _ANCHOR.match(old)
        quote = '"' if node.style == '"' else "'"
        end = old[len(old.rstrip("\r\n")) :]
        new = f"{anchor[1].rstrip() + ' ' if anchor else ''}{quote}{_HIDDEN}{quote}{end}"
        text = text[:start] + new + text[node.end_mark.index :]
    return text


def _secret_nodes(node: Any, seen: set[tuple[int, bool]], *, secret: bool = False) -> Iterator[Any]:
    """Yield the scalars that stand under the key of a secret, in lists too; an alias leads to where its anchor is."""
    if secret and node.id == "scalar":
        if node.value and not node.tag.endswith(":null"):
            yield node
    elif node is not None and (id(node), secret) not in seen:
        seen.add((id(node), secret))
        if node.id == "mapping":
            for key, value in node.value:
                named = key.id == "scalar" and SECRET_KEY.fullmatch(key.value) is not None
                yield from _secret_nodes(value, seen, secret=named)
        elif node.id == "sequence":
            for value in node.value:
                yield from _secret_nodes(value, seen, secret=secret)


def _masked_lines(text: str) -> str:
    """Return a text with its secrets masked line by line, and without the deeper lines that go on with them."""
    lines: list[str] = []
    depth: int | None = None
    for line in text.splitlines(keepends=True):
        words = line.strip()
        if words and depth is not None:
            if len(line) - len(line.lstrip()) > depth:
                continue
            depth = None
        found = _LINE.match(line)
        if found is None:
            lines.append(line)
            continue
        depth = len(re.match(r"[\s-]*", line)[0])  # type: ignore[index]  # it matches nothing, too
        lines.append(f"{found['before']}'{_HIDDEN}'{line[len(line.rstrip()) :]}")
    return "".join(lines)


def masked_values(value: Any, key: str = "") -> Any:
    """Return plain values without the texts under keys such as ``api_key``, or in attributes of such names.

    A namespace, a dataclass or a named tuple that holds one is returned as a dictionary, another object as its text.

    >>> masked_values({"width": 8, "store": {"password": "s3cret"}})
    {'width': 8, 'store': {'password': '***'}}
    """
    return _Masking().of(value, key)


class _Masking:
    """One walk through values: counts what it hides, and does not enter a value that it is inside of."""

    def __init__(self) -> None:
        """Begin with nothing hidden."""
        self._hidden = 0
        self._inside: list[int] = []

    def of(self, value: Any, key: str) -> Any:
        """Return a value without secrets; it stands under a key."""
        if value is None or isinstance(value, int | float | type):
            return value
        if isinstance(value, str | bytes | bytearray):
            return self._instead(_HIDDEN) if value and SECRET_KEY.fullmatch(key) else value
        if id(value) in self._inside:
            return self._instead("...")
        self._inside.append(id(value))
        try:
            return self._of_parts(value, key)
        finally:
            self._inside.pop()

    def _of_parts(self, value: Any, key: str) -> Any:
        """Return a value that may have others inside it."""
        before = self._hidden
        if isinstance(value, Mapping):
            return {name: self.of(each, str(name)) for name, each in value.items()}
        attributes = _attributes(value)
        if attributes is not None:
            shown = {name: self.of(each, name) for name, each in attributes.items()}
            if self._hidden > before:
                return shown
        if isinstance(value, MutableSequence | tuple):
            return [self.of(each, key) for each in value]
        if isinstance(value, Set):
            listed = [self.of(each, key) for each in value]
            return listed if self._hidden > before else value
        if attributes is None and SECRET_KEY.fullmatch(key):
            return self._instead(_HIDDEN)
        text = str(value)
        masked_text = _SHOWN.sub(rf"\1'{_HIDDEN}'", text)
        return value if masked_text == text else self._instead(masked_text)

    def _instead(self, text: str) -> str:
        """Return what stands for a value that is not shown."""
        self._hidden += 1
        return text


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return what a namespace, a dataclass or a named tuple shows of itself; None for any other object."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in fields(value) if each.repr}
    if isinstance(value, Namespace | SimpleNamespace):
        return dict(vars(value))
    return dict(value._asdict()) if isinstance(value, tuple) and hasattr(value, "_asdict") else None


def printable(text: str) -> str:
    r"""Return a text without the signs by which it could steer a terminal; a server's names are anybody's.

    >>> ascii(printable("a\x1b[31m run"))
    "'a\\ufffd[31m run'"
    """
    return _CONTROLS.sub("\ufffd", text)
