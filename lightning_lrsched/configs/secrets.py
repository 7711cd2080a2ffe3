"""No secret in a file: what looks like one is refused, and never repeated in the message."""

import re
from collections.abc import Iterator, Mapping

from lightning_lrsched.masking import SECRET_KEY

_USERINFO = re.compile(r"[a-z][a-z0-9+.\-]*://[^/\s@]*:[^/\s]*@", re.IGNORECASE)
_QUERY = re.compile(r"[?&](?:\w*password|passwd|pwd|token|secret)=[^&\s]", re.IGNORECASE)
_HINT = (
    "Give it in the environment instead: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a tracking server, "
    "PGPASSWORD for PostgreSQL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for an artifact store"
)


def refuse_secrets(document: object) -> None:
    """Refuse a document that holds a password in a URI, or a text under a key such as ``password`` or ``api_key``.

    Args:
        document: plain values, as YAML gives them.

    Raises:
        ValueError: if it does; the message names the place, not the secret.

    >>> refuse_secrets({"tracking_uri": "postgresql://mlflow@127.0.0.1/mlflow"})
    >>> refuse_secrets({"tracking_uri": "postgresql://mlflow:s3cret@127.0.0.1/mlflow"})
    Traceback (most recent call last):
    ...
    ValueError: tracking_uri holds a password, and a file is no place for one. Give it in the environment instead: ...
    """
    for place, key, text in _texts(document, "", ""):
        if _USERINFO.search(text) or _QUERY.search(text) or (text and SECRET_KEY.fullmatch(key)):
            raise ValueError(f"{place or 'the file'} holds a password, and a file is no place for one. {_HINT}")


def _texts(value: object, place: str, key: str) -> Iterator[tuple[str, str, str]]:
    """Yield every text with its place and the key that it stands under."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            # A key can be a URI as well; its name then stays out of the message.
            yield place, "", str(name)
            yield from _texts(each, f"{place}.{name}".lstrip("."), str(name))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _texts(each, f"{place}[{index}]", key)
    elif isinstance(value, str):
        yield place, key, value
