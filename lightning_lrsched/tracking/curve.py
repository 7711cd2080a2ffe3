"""A curve of bounded size, and its picture."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST = 8192  # points of a curve
_MOST_CURVES = 20
_TITLE_WIDTH = 80  # letters in a line


class Curve:
    """Steps and values, thinned to every second one whenever there are too many."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.steps: list[int] = []
        self.values: list[float] = []
        self._stride = 1
        self._seen = 0

    def extend(self, steps: "npt.NDArray[np.int64]", values: "npt.NDArray[np.float64]") -> None:
        """Take points, as far as they are among those that are kept."""
        taken = slice(-self._seen % self._stride, None, self._stride)
        self._seen += len(steps)
        self.steps += steps[taken].tolist()
        self.values += values[taken].tolist()
        while len(self.steps) > _MOST:
            del self.steps[1::2], self.values[1::2]
            self._stride *= 2


def shown(keys: Sequence[str]) -> list[int]:
    """Return which curves the picture shows: those of the lr; of very many, some from the first to the last."""
    lrs = [index for index, key in enumerate(keys) if key.startswith("lr/")]
    if len(lrs) <= _MOST_CURVES:
        return lrs
    return [lrs[place * (len(lrs) - 1) // (_MOST_CURVES - 1)] for place in range(_MOST_CURVES)]


def draw(curves: Mapping[str, Curve], title: str, path: Path) -> bool:
    """Draw curves into a PNG file. Return False where matplotlib is not installed.

    Args:
        curves: curves of the lr, by name.
        title: heading of the picture.
        path: the file.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(curve.steps, curve.values, label=name, linewidth=1.5)
    figure.suptitle(textwrap.fill(title, _TITLE_WIDTH), fontsize=11)
    axes.set(xlabel="optimizer step", ylabel="learning rate")
    axes.grid(alpha=0.3)
    if 1 < len(curves) <= 12:
        figure.legend(loc="outside right center")  # to look for the best place takes as long as all the rest
    figure.savefig(path, dpi=120)
    return True
