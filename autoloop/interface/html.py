"""Small pieces of HTML for notebooks: self-contained, escaped, without scripts."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.report.page.markup import data_uri, text

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Array = NDArray[np.float64]

LARGEST: Final = 420
"""Longest side of a picture [pixels]; larger images are binned."""
_OUTSIDE: Final = 233
"""Grey of what was not compared."""
_ON_LINE: Final = (255, 217, 47)
_ON_COLUMN: Final = (230, 159, 0)


def card(title: str, rows: Iterable[tuple[str, object]], pictures: str = "") -> str:
    """Return a titled table of two columns, with pictures above it.

    Parameters
    ----------
    title : str
        Plain text.
    rows : iterable of (str, object)
        Plain text; a value that is None or empty leaves its row out.
    pictures : str
        HTML of `figure`.
    """
    cells = "".join(
        f'<tr><td style="text-align:left;vertical-align:top;color:#777">{text(name)}'
        f'</td><td style="text-align:left">{text(value)}</td></tr>'
        for name, value in rows
        if value is not None and value != ""
    )
    return (
        f'<div style="max-width:60em"><p style="margin:0.3em 0"><b>{text(title)}</b>'
        f"</p>{_row(pictures)}<table>{cells}</table></div>"
    )


def _row(pictures: str) -> str:
    if not pictures:
        return ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:0.6em">{pictures}</div>'


def figure(address: str, caption: str) -> str:
    """Return a picture with a line below it."""
    return (
        f'<figure style="margin:0"><img alt="{text(caption)}" src="{address}" '
        'style="max-width:100%;image-rendering:auto"/>'
        f'<figcaption style="color:#777;font-size:90%">{text(caption)}</figcaption>'
        "</figure>"
    )


def limits(values: Array) -> tuple[float, float]:
    """Return the intensities to be drawn black and white."""
    # a few hot or dead pixels must not set the contrast
    low, high = np.percentile(values, (0.5, 99.7))
    return float(low), float(high if high > low else low + 1.0)


def grey_png(
    values: Array,
    shown: tuple[float, float] | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    line: Array | None = None,
    columns: Array | None = None,
) -> str:
    """Return an image in shades of grey, as an address that holds it.

    Parameters
    ----------
    values : (n_y, n_x) float array
        Intensities.
    shown : (float, float), optional
        Those drawn black and white.
    mask : (n_y, n_x) bool array, optional
        What was compared; the rest is light.
    line : (2, 2) float array, optional
        Ends (x, y) of a line to be drawn [pixels].
    columns : (n, 2) float array, optional
        Points (x, y) to be marked [pixels].
    """
    from PIL import Image

    low, high = limits(values) if shown is None else shown
    shades = np.clip((values - low) / (high - low), 0.0, 1.0) * 255
    if mask is not None:
        shades = np.where(mask, shades, _OUTSIDE)
    scale = max(1, -(-max(values.shape) // LARGEST))
    enlarged = max(1, LARGEST // 2 // max(values.shape))
    small = np.rint(_binned(shades, scale)).astype(np.uint8)
    picture = Image.fromarray(np.kron(small, np.ones((enlarged,) * 2, np.uint8)))
    if line is not None or columns is not None:
        picture = _marked(picture, enlarged / scale, line, columns)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return data_uri("image/png", file.getvalue())


def _binned(values: Array, n: int) -> Array:
    n_y, n_x = (size // n * n for size in values.shape)
    blocks = values[:n_y, :n_x].reshape(n_y // n, n, n_x // n, n)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _marked(
    picture: Picture, factor: float, line: Array | None, columns: Array | None
) -> Picture:
    from PIL import ImageDraw

    coloured = picture.convert("RGB")
    draw = ImageDraw.Draw(coloured)
    # an integer is a pixel's centre
    for x, y in () if columns is None else (columns + 0.5) * factor:
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=_ON_COLUMN)
    if line is not None:
        ends = [(float(x), float(y)) for x, y in (line + 0.5) * factor]
        draw.line(ends, fill=_ON_LINE, width=1)
    return coloured
