"""Every step of every curve in a compact file: what was kept of a fit at full resolution.

The file is NumPy's own ``.npz``. A smooth curve is stored as the second differences of its bits, and a curve that is a
multiple of another (or the same, shifted) as the difference from that in units of the last place: small whole numbers
that pack well, and no bit is lost.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lrsched.tracking.journal import Steps, decode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_AT_ONCE = 1 << 16


def pack_segment(data: bytes, path: Path) -> bool:
    """Write the steps of one journal segment into a file; return False where it holds none."""
    import numpy as np

    layouts: dict[int, list[str]] = {}
    found: dict[int, list[Steps]] = {}
    for part, _ in decode(data, 0, _AT_ONCE):
        if isinstance(part, Steps):
            found.setdefault(part.layout, []).append(part)
        elif part["is"] == "layout":
            layouts[part["number"]] = part["keys"]
    if not found:
        return False
    arrays: dict[str, Any] = {}
    for number, parts in found.items():
        values = np.concatenate([part.values for part in parts]).T
        arrays[f"keys{number}"] = np.frombuffer(json.dumps(layouts[number]).encode(), np.uint8)
        arrays[f"steps{number}"] = _by_byte(_differences(np.concatenate([part.axis for part in parts])))
        arrays[f"lines{number}"], bits = _encoded(np.ascontiguousarray(values))
        arrays[f"bits{number}"] = _by_byte(bits)
    part_path = path.with_suffix(".part")
    with open(os.open(part_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        np.savez_compressed(file, **arrays)
    part_path.rename(path)
    return True


def read_columns(paths: Sequence[Path]) -> "dict[str, tuple[Ints, Floats]]":
    """Return every curve of some files: its steps and its values. Of a step that two files have, the later one holds.

    Args:
        paths: the files ``schedule/steps/*.npz`` of a run.
    """
    import numpy as np

    curves: dict[str, list[tuple[Ints, Floats]]] = {}
    for path in sorted(paths, key=lambda path: path.name):
        for key, steps, values in _columns_of(path):
            curves.setdefault(key, []).append((steps, values))
    merged = {}
    for key, parts in curves.items():
        kept: list[tuple[Ints, Floats]] = []
        for steps, values in parts:  # a fit that was resumed begins anew at an earlier step, and may end at one
            others = [(old < steps[0]) | (old > steps[-1]) for old, _ in kept]
            kept = [(old[other], was[other]) for (old, was), other in zip(kept, others, strict=True)]
            kept.append((steps, values))
        axis = np.concatenate([part[0] for part in kept])
        order = np.argsort(axis, kind="stable")
        merged[key] = axis[order], np.concatenate([part[1] for part in kept])[order]
    return merged


def _columns_of(path: Path) -> "Iterator[tuple[str, Ints, Floats]]":
    """Yield the curves of one file, in the order in which they were recorded."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        arrays: Mapping[str, Any] = {name: stored[name] for name in stored.files}
    for name in sorted((name for name in arrays if name.startswith("keys")), key=lambda name: int(name[4:])):
        number = name[4:]
        steps = _summed(_from_bytes(arrays[f"steps{number}"]))
        values = _decoded(arrays[f"lines{number}"], _from_bytes(arrays[f"bits{number}"]))
        for key, column in zip(json.loads(arrays[name].tobytes()), values, strict=True):
            yield key, steps, column


def _encoded(values: "Floats") -> "tuple[Floats, Ints]":
    """Return for each curve the line that leads to it from the first one (NaN for none), and what is left."""
    import numpy as np

    bits = values.view(np.int64)
    left = np.array([_differences(row) for row in bits])
    lines = np.full((len(values), 2), np.nan)
    low, high = int(np.argmin(values[0])), int(np.argmax(values[0]))
    for column in range(1, len(values)):
        with np.errstate(all="ignore"):
            slope = (values[column, high] - values[column, low]) / (values[0, high] - values[0, low])
            line = np.array([slope, values[column, low] - slope * values[0, low]])
            misses = bits[column] - (line[0] * values[0] + line[1]).view(np.int64)
        if np.isfinite(line).all() and _size(misses) < _size(left[column]):
            lines[column], left[column] = line, misses
    return lines, left


def _decoded(lines: "Floats", left: "Ints") -> "Floats":
    """Undo `_encoded`."""
    import numpy as np

    bits = np.empty_like(left)
    for column, (slope, offset) in enumerate(lines.tolist()):
        if np.isnan(slope):
            bits[column] = _summed(left[column])
        else:
            with np.errstate(all="ignore"):
                bits[column] = left[column] + (slope * bits[0].view(np.float64) + offset).view(np.int64)
    return bits.view(np.float64)


def _size(numbers: "Ints") -> float:
    """Return about how many bits some whole numbers need."""
    import numpy as np

    return float(np.log2(1.0 + np.abs(numbers.astype(np.float64))).sum())


def _differences(numbers: "Ints") -> "Ints":
    """Return second differences, with which `_summed` gives the numbers back; both wrap around."""
    import numpy as np

    return np.diff(np.diff(numbers, prepend=0), prepend=0)


def _summed(differences: "Ints") -> "Ints":
    import numpy as np

    return np.cumsum(np.cumsum(differences))


def _by_byte(numbers: "Ints") -> "npt.NDArray[np.uint8]":
    """Return all lowest bytes, then all second ones, and so on, with the sign in the lowest bit: zeros side by side."""
    import numpy as np

    signed = (numbers << 1) ^ (numbers >> 63)
    return np.ascontiguousarray(np.moveaxis(signed[..., None].view(np.uint8), -1, 0))


def _from_bytes(stored: "npt.NDArray[np.uint8]") -> "Ints":
    """Undo `_by_byte`."""
    import numpy as np

    signed = np.ascontiguousarray(np.moveaxis(stored, 0, -1)).view(np.uint64)[..., 0]
    return (signed >> np.uint64(1)).view(np.int64) ^ -(signed & np.uint64(1)).view(np.int64)
