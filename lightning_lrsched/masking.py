"""Texts and documents without the credentials in them."""

import re
from collections.abc import Mapping
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
_LINE = re.compile(rf"(?im)^(\s*(?:- +)*[\"']?(?:[\w.\-]*[_\-.])?{_NAMES}[\"']?\s*:[ \t]+)(?!null\b|~|[|>&*\[{{])\S.*$")


def masked(text: str) -> str:
    """Return a text without the credentials of the URIs in it.

    >>> masked("cannot reach postgresql://ann:s3@cret@db/mlflow?sslpassword=x")
    'cannot reach postgresql://***@db/mlflow?sslpassword=***'
    """
    return _OPTION.sub(rf"\1{_HIDDEN}", _USER.sub(f"{_HIDDEN}@", text))


def masked_yaml(text: str) -> str:
    r"""Return a YAML text without the credentials of its URIs, and without the texts under keys such as ``api_key``.

    >>> masked_yaml("model:\n  hf_token: abc\n  width: 8\n")
    "model:\n  hf_token: '***'\n  width: 8\n"
    """
    return masked(_LINE.sub(rf"\1'{_HIDDEN}'", text))


def masked_values(value: Any, key: str = "") -> Any:
    """Return plain values without the texts under keys such as ``api_key``.

    >>> masked_values({"width": 8, "store": {"password": "s3cret"}})
    {'width': 8, 'store': {'password': '***'}}
    """
    if isinstance(value, Mapping):
        return {name: masked_values(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(each, key) for each in value]
    return _HIDDEN if isinstance(value, str) and value and SECRET_KEY.fullmatch(key) else value
