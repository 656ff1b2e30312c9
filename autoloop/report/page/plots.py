"""Axes and marks as SVG text, small enough to write by hand and legible on a phone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoloop.report.page.markup import text

WIDTH: Final = 460
HEIGHT: Final = 300
LEFT: Final = 56
RIGHT: Final = 12
TOP: Final = 14
BOTTOM: Final = 46


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """A rectangle of paper and what its edges mean.

    Attributes
    ----------
    x, y : (float, float)
        Values at the left and right, and at the bottom and top edge.
    x_label, y_label : str
        With units.
    height : int
        Of the picture [units of SVG].
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    height: int = HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies on the paper, held inside the frame."""
        u = (x - self.x[0]) / (self.x[1] - self.x[0])
        v = (y - self.y[0]) / (self.y[1] - self.y[0])
        u, v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
        bottom = self.height - BOTTOM
        return LEFT + u * (WIDTH - LEFT - RIGHT), bottom - v * (bottom - TOP)

    def draw(self, marks: Iterable[str], label: str) -> str:
        """Return the picture: grid and numbers below, marks above.

        Parameters
        ----------
        marks : iterable of str
            SVG of what is shown.
        label : str
            What the picture says, for those who cannot see it.
        """
        return (
            f'<svg class="plot" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{text(label)}">{self._grid()}{"".join(marks)}</svg>'
        )

    def _grid(self) -> str:
        bottom = self.height - BOTTOM
        parts = []
        for value in ticks(*self.x, most=6):
            x, _ = self.at(value, self.y[0])
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" '
                f'y2="{bottom}"/><text x="{x:.1f}" y="{bottom + 16}" '
                f'text-anchor="middle">{_label(value)}</text>'
            )
        for value in ticks(*self.y, most=6):
            _, y = self.at(self.x[0], value)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/><text x="{LEFT - 6}" '
                f'y="{y + 4:.1f}" text-anchor="end">{_label(value)}</text>'
            )
        middle = (TOP + bottom) / 2
        parts.append(
            f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" '
            f'y="{self.height - 8}" text-anchor="middle">{text(self.x_label)}</text>'
            f'<text class="name" text-anchor="middle" '
            f'transform="translate(14 {middle}) rotate(-90)">'
            f"{text(self.y_label)}</text>"
        )
        return "".join(parts)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values between two bounds, at most `most` of them.

    Examples
    --------
    >>> ticks(0.0, 1.0, most=6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / max(most - 1, 1)
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(m * decade for m in (1, 2, 2.5, 5, 10) if m * decade >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _label(value: float) -> str:
    return f"{value + 0.0:.6g}".replace("-", "−")


def span(
    values: Sequence[float], *, keep: Sequence[float] = (), margin: float = 0.06
) -> tuple[float, float]:
    """Return bounds that show what matters of many values.

    A few values far above the rest would press all others together: the upper bound is
    at most the 90th percentile, or four times as far from the least as the 75th.

    Parameters
    ----------
    values : sequence of float
        At least one.
    keep : sequence of float
        Must be inside.
    margin : float
        Added on both sides, as a share of the range.
    """
    low = min(*values, *keep) if keep else min(values)
    near, far = np.percentile(values, (75, 90))
    usual = max(low + 4.0 * (float(near) - low), float(far))
    high = max([min(max(values), usual), *keep])
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(abs(low), 0.1), high + 0.5 * max(abs(high), 0.1)
    room = margin * (high - low)
    return low - room, high + room


def dot(
    at: tuple[float, float], radius: float, colour: str, *, tip: str = "", go: str = ""
) -> str:
    """Return a dot; `tip` is shown on it, `go` is the structure it leads to."""
    data = f' data-tip="{text(tip)}"' if tip else ""
    if go:
        data += f' data-go="{text(go)}" tabindex="0" role="button"'
    return (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" '
        f'fill="{text(colour)}"{data}/>'
    )


def line(points: Sequence[tuple[float, float]], kind: str, style: str = "") -> str:
    """Return a polyline of a CSS class."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    styled = f' style="{text(style)}"' if style else ""
    return f'<polyline class="{text(kind)}"{styled} points="{path}"/>'


def words(at: tuple[float, float], value: str, *, anchor: str = "start") -> str:
    """Return text on the paper."""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}">{text(value)}'
        "</text>"
    )


def legend(entries: Iterable[tuple[str, str, bool]]) -> str:
    """Return what colours mean, as HTML below a picture.

    Parameters
    ----------
    entries : iterable of (str, str, bool)
        Colour, name, and whether the line is dashed.
    """
    parts = (
        f'<span><i{" class=dashed" if dashed else ""} style="--c:{text(colour)};'
        f'background:var(--c)"></i>{text(name)}</span>'
        for colour, name, dashed in entries
    )
    return f'<p class="legend">{"".join(parts)}</p>'
