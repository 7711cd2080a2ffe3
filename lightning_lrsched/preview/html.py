"""A timeline in a notebook: its curve as inline SVG and its phases as a table, without any library."""

from collections.abc import Sequence
from html import escape

from lightning_lrsched.describe import HEADER, phase_rows
from lightning_lrsched.preview.curve import shown_steps, steps_to_draw
from lightning_lrsched.timeline import Timeline

_POINTS = 600
_WIDTH, _HEIGHT = 640, 170
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 10, 10, 26
_BLUE = "#0072b2"


def timeline_html(timeline: Timeline, base_lr: float = 0.1) -> str:
    """Return the curve of a timeline and the table of its phases as HTML.

    Args:
        timeline: what to show.
        base_lr: peak lr that the lrs are computed with.
    """
    rows, more = phase_rows(timeline, base_lr)
    body = "".join(_row("td", row) for row in rows)
    notes = " ".join(filter(None, (f"Learning rate for a base lr of {base_lr:g}.", escape(more))))
    return (
        f"<div>{_svg(timeline, base_lr)}<table><thead>{_row('th', HEADER)}</thead><tbody>{body}</tbody></table>"
        f"<small>{notes}</small></div>"
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    """Return a row of a table."""
    inner = "".join(f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"


def _svg(timeline: Timeline, base_lr: float) -> str:
    """Return the curve as an SVG element, in the text's colour but for the line itself."""
    stop = shown_steps(timeline)
    steps = steps_to_draw(timeline, _POINTS, stop)
    lrs = timeline.lr(steps, base_lr)
    peak = float(lrs.max())
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    x = _LEFT + (right - _LEFT) * steps / max(1, stop - 1)
    y = bottom - (bottom - _TOP) * lrs / (peak or 1.0)
    points = " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x.tolist(), y.tolist(), strict=True))
    texts = (
        (_LEFT - 6, _TOP + 8, "end", f"{peak:.4g}"),
        (_LEFT - 6, bottom, "end", "0"),
        (_LEFT, _HEIGHT - 8, "start", "step 0"),
        (right, _HEIGHT - 8, "end", str(stop - 1)),
    )
    labels = "".join(f'<text x="{x}" y="{y}" text-anchor="{side}">{text}</text>' for x, y, side, text in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'role="img" aria-label="learning rate" font-family="sans-serif" font-size="11" fill="currentColor">'
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="1.6"/>{labels}</svg>'
    )
