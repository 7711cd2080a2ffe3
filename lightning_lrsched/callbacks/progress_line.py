"""A line of its own below a progress bar of Lightning, which itself stays as it is, however narrow the terminal."""

import sys
from collections.abc import Callable
from typing import Any, Protocol

from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar


class Line(Protocol):
    """Text below a bar."""

    def show(self, text: str) -> None:
        """Show a text in place of the last one."""

    def clear(self) -> None:
        """Make way for what others print."""


class TqdmLine:
    """The row below the training bar, which a validation bar takes while it is there."""

    def __init__(self, bar: TQDMProgressBar) -> None:
        self._bar = bar
        self._below: Any = None  # the tqdm under which something stands

    def show(self, text: str) -> None:
        """Show a text, cut to the width of the terminal: a longer one would take two rows."""
        tqdm = self._bar.train_progress_bar
        if not tqdm.disable:
            self._below = tqdm
            self._write(text if tqdm.ncols is None else text[: tqdm.ncols - 1])

    def clear(self) -> None:
        """Empty the row."""
        if self._below is not None:
            self._write("")
            self._below = None

    def _write(self, text: str) -> None:
        closed = self._below.disable  # then the cursor has come down to the row
        with self._below.get_lock():
            self._below.display(text, 0 if closed else abs(self._below.pos) + 1)


class RichLine:
    """The last of what Rich draws anew with its bars; it stays to be read when the fit has ended."""

    def __init__(self, bar: RichProgressBar) -> None:
        self._bar = bar
        self._text = ""

    def show(self, text: str) -> None:
        """Show a text below the bars; Lightning makes new ones after a while."""
        self._text = text
        progress: Any = self._bar.progress
        if progress is not None and "get_renderables" not in vars(progress):
            vars(progress)["get_renderables"] = self._below(progress.get_renderables)

    def clear(self) -> None:
        """Nothing is in anyone's way: Rich prints above what it draws."""

    def _below(self, bars: Callable[[], Any]) -> Callable[[], list[Any]]:
        from rich.text import Text

        def renderables() -> list[Any]:
            return [*bars(), Text(self._text, style=self._bar.theme.metrics, no_wrap=True, overflow="ellipsis")]

        return renderables


def line_below(bar: ProgressBar) -> Line | None:
    """Return the line below a bar; None where there is no place for one: in a file, a notebook, or a foreign bar."""
    if isinstance(bar, RichProgressBar):
        return RichLine(bar)
    if isinstance(bar, TQDMProgressBar) and sys.stdout.isatty():
        return TqdmLine(bar)
    return None
