"""Write the page that lists every schedule's arguments, from the signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import lightning_lrsched
from lightning_lrsched import schedules

DOCS = Path(__file__).parent
PLANNED = sorted(schedules.__all__, key=str.lower)
DRIVEN = ("TorchScheduler", "Plateau")
AROUND = ("Warmup", "Cooldown")
_ENTRY = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", flags=re.MULTILINE)


def meanings(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of each argument."""
    arguments = inspect.getdoc(kind).partition("\nArgs:\n")[2].partition("\n\n")[0]  # type: ignore[union-attr]
    return {name: re.sub(r"\s+", " ", text).replace("``", "`") for name, text in _ENTRY.findall(arguments)}


def table(kind: type) -> Iterator[str]:
    """Yield one row for each argument of a class."""
    yield from ("| argument | default | meaning |", "| --- | --- | --- |")
    told = meanings(kind)
    for name, parameter in inspect.signature(kind).parameters.items():
        default = "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        yield f"| `{name}` | {default} | {told[name]} |"


def section(name: str) -> Iterator[str]:
    """Yield the heading, the first sentence and the table of a class."""
    kind: type = getattr(lightning_lrsched, name)
    sentence = str(inspect.getdoc(kind)).partition("\n")[0].replace("``", "`")
    yield from ("", f"## {name}", "", sentence, "", *table(kind))


def page() -> str:
    """Return the page."""
    names = (*PLANNED, *DRIVEN, *AROUND)
    lines = [
        "# Schedules and their arguments",
        "",
        "What can be given to each schedule, in Python, in YAML (`init_args`) and to `lrsched preview`. A length is",
        "any [duration](durations.md): `500` or `'500 steps'`, `'10ep'`, `'5%'`. The lr that the optimizer is given is",
        "the base lr, the peak. The [gallery](gallery.md) has the curve of each.",
        "",
        " · ".join(f"[{name}](#{name.lower()})" for name in names),
        *(line for name in names for line in section(name)),
    ]
    return "\n".join(lines) + "\n"


def main(docs: Path = DOCS) -> None:
    """Write the page to ``schedules.md``."""
    (docs / "schedules.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
