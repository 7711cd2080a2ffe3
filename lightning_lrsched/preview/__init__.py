"""A timeline as something to look at: thinned to a few points, then a picture, a chart in the terminal, or HTML."""

from lightning_lrsched.preview.curve import Curve, shown_steps, steps_to_draw
from lightning_lrsched.preview.html import timeline_html
from lightning_lrsched.preview.picture import draw, preview_figure
from lightning_lrsched.preview.terminal import phase_table, sign_of, terminal_chart

__all__ = [
    "Curve",
    "draw",
    "phase_table",
    "preview_figure",
    "shown_steps",
    "sign_of",
    "steps_to_draw",
    "terminal_chart",
    "timeline_html",
]
