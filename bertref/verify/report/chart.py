"""Error by depth, as a picture in SVG: how large the error of every tensor is, in the order of the computation, beside
the error of a correct implementation. Where the mistake is, the first line leaves the second."""

import math
from collections.abc import Callable, Sequence
from html import escape

from ..records import WRONG, Finding
from .layout import spot

WIDTH, HEIGHT = 940, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 40
Scale = Callable[[float], float]
BELOW = 2.0
"""So many powers of ten below the smallest rounding an error of 0 is drawn, and all between."""


def error_by_depth(findings: Sequence[Finding]) -> str:
    """An `<svg>` element whose colours come from the page's classes; "" where there are less than two errors."""
    drawn = [f for f in findings if f.error is not None and f.noise is not None]
    if len(drawn) < 2:
        return ""
    noises = [_log(f.noise, 1e-300) for f in drawn]
    least = 10 ** (min(noises) - BELOW)
    errors = [_log(f.error, least) for f in drawn]
    low, high = math.floor(min(errors + noises)), math.ceil(max(errors + noises))
    high += high == low

    def x(i: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * i / (len(drawn) - 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="relative error of {len(drawn)} tensors in the order of the computation">',
        *_grid(low, high, y),
        *_regions(drawn, x),
        _line("noise", noises, x, y),
        _line("error", errors, x, y),
    ]
    for i, finding in enumerate(drawn):
        kind = "bad" if finding.status in WRONG else "good"
        about = f"{finding.name}: error {finding.error:.1e}, rounding {finding.noise:.1e} ({finding.status})"
        parts.append(f'<circle class="{kind}" cx="{x(i):.1f}" cy="{y(errors[i]):.1f}" r="3">'
                     f"<title>{escape(about)}</title></circle>")  # fmt: skip
    return "\n".join([*parts, "</svg>"])


def _log(value: float | None, least: float) -> float:
    return math.log10(min(max(value or 0.0, least), 1e18))


def _line(kind: str, values: Sequence[float], x: Scale, y: Scale) -> str:
    points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(values))
    return f'<polyline class="{kind}" points="{points}"/>'


def _grid(low: int, high: int, y: Scale) -> list[str]:
    """A line and a power of ten every so often."""
    step = max((high - low) // 6, 1)
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(e):.1f}" y2="{y(e):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(e) + 4:.1f}" text-anchor="end">1e{e}</text>'
        for e in range(low, high + 1, step)
    ]


def _regions(drawn: Sequence[Finding], x: Scale) -> list[str]:
    """Where layers begin."""
    parts, before = [], ""
    for i, finding in enumerate(drawn):
        name = spot(finding.name).part
        if name != before:
            at = f"{x(i):.1f}"
            parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}">{escape(name)}</text>')
            before = name
    return parts
