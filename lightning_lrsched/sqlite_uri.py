"""The tracking URI of a sqlite file."""

import re
from pathlib import Path
from urllib.parse import quote

_READ_AS_URL = re.compile(r"%(?=[0-9A-Fa-f]{2})|\?")  # what SQLAlchemy does not take for a letter of a file's name


def is_sqlite(uri: str) -> bool:
    """Return whether a URI names a sqlite file, with SQLAlchemy's driver or without."""
    return uri.partition(":")[0].partition("+")[0] == "sqlite"


def absolute_sqlite(uri: str, folder: Path | None = None) -> str:
    """Return the URI of a sqlite file with its full path; one in memory, and any other URI, as it is.

    Args:
        uri: the URI.
        folder: where a relative path begins; default the working directory. Its name may have any letters.
    """
    scheme, found, path = uri.partition(":///")
    if not found or not is_sqlite(uri) or not path or path.startswith((":memory:", "file:")):
        return uri
    if not path.startswith("/"):  # else the working directory may be gone
        here = _READ_AS_URL.sub(lambda sign: quote(sign[0]), str(folder or Path.cwd()))
        path = f"{here}/{path}"
    return f"{scheme}:///{Path(path)}"
