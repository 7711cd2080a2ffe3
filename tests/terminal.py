"""A terminal for what draws on one: a real pseudo-terminal, and what stands on its screen."""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.DOTALL)


class Terminal:
    """A pseudo-terminal of some width; what was written to it can be read when it has closed."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.raw = ""
        self._reader, writer = pty.openpty()
        tty.setraw(writer)  # or "\n" would be read as "\r\n", which the screen does by itself
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self.file: TextIO = os.fdopen(writer, "w", encoding="utf-8")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        """Take what is written, so that the writer need not wait."""
        parts = []
        try:
            while part := os.read(self._reader, 65536):
                parts.append(part)
        except OSError:  # how a pseudo-terminal ends
            pass
        self.raw = b"".join(parts).decode()

    def close(self) -> None:
        """End it, and wait until all is read."""
        self.file.close()
        self._thread.join(10)
        os.close(self._reader)

    def screens(self) -> Iterator[list[str]]:
        """Yield the rows whenever all is drawn: before the cursor goes up or a row is emptied, and at the end."""
        rows, row, column = [""], 0, 0
        for numbers, command, char in _TOKENS.findall(self.raw):
            if command in ("A", "K"):
                yield [each.rstrip() for each in rows]
            if command == "A":
                row -= int(numbers or 1)
            elif command == "K":
                rows[row] = ""
            elif char == "\r":
                column = 0
            elif char == "\n" or (char and column == self.width):
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            if char and char not in "\r\n":
                rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
                column += 1
        yield [each.rstrip() for each in rows]


@contextmanager
def terminal(width: int) -> Iterator[Terminal]:
    """Open a terminal, and close it."""
    opened = Terminal(width)
    try:
        yield opened
    finally:
        opened.close()
