"""Texts without the credentials of the URIs in them."""

import re

_USER = re.compile(r"(?<=://)\S+@")
_OPTION = re.compile(r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s'\"]+")


def masked(text: str) -> str:
    """Return a text without the credentials of the URIs in it.

    >>> masked("cannot reach postgresql://ann:s3@cret@db/mlflow?sslpassword=x")
    'cannot reach postgresql://***@db/mlflow?sslpassword=***'
    """
    return _OPTION.sub(r"\1***", _USER.sub("***@", text))
