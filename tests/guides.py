"""The code of the guides in CONTRIBUTING.md, as it stands there."""

import re
import textwrap
from pathlib import Path

HALVING, SINK, CALLBACK = (
    textwrap.dedent(block)
    for block in re.findall(
        r"^   ```python\n(.*?)^   ```",
        (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
