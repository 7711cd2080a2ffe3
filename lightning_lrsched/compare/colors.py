"""One colour for each run, the same in the table and in the picture."""

import colorsys

# Okabe and Ito's palette (safe for colour-blind readers) without its yellow, then six more of other lightness.
_PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7b3fa0",
    "#8c510a",
    "#b2182b",
    "#1b5e20",
    "#777777",
    "#9aa21a",
)


def run_colors(count: int) -> list[str]:
    """Return ``count`` colours as ``#rrggbb``: chosen ones for up to twelve runs, evenly spaced hues beyond.

    >>> run_colors(2)
    ['#0072b2', '#d55e00']
    """
    if count <= len(_PALETTE):
        return list(_PALETTE[:count])
    hues = [colorsys.hls_to_rgb(index / count, 0.38 + 0.14 * (index % 2), 0.75) for index in range(count)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in color) for color in hues]
