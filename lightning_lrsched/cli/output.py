"""How the commands print tables and bars."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def open_console(*, soft_wrap: bool = False, highlight: bool = True) -> "Console":
    """Return rich's console, which tells that nobody reads it any more like any other output does.

    Args:
        soft_wrap: leave long lines to the terminal.
        highlight: colour numbers and words that rich knows.
    """
    from rich.console import Console

    class Told(Console):
        """Raises what rich would make an exit of, with a code that says nothing."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Told(soft_wrap=soft_wrap, highlight=highlight)
