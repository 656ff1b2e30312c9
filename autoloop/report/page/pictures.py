"""Measured and simulated image of a structure, their difference, and the columns."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.report.figures import View, _round_length
from autoloop.report.page.contents import Structure
from autoloop.report.page.markup import data_uri, text
from autoloop.report.page.structures import element_colours

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Array = NDArray[np.float64]

RESIDUAL_COLOURS: Final = ("#0B4F8A", "#F7F7F7", "#B6410A")
"""Simulated brighter, equal, measured brighter: told apart by colour-blind readers."""
_N_SHADES: Final = 101
_SAID: Final = {
    "compare": "measured and simulated image",
    "residual": "measured minus simulated image",
    "overlay": "columns over the measured image",
}
_CORNERS: Final = {
    "compare": '<span class="corner left">measured</span>'
    '<span class="corner right">simulated</span>',
    "residual": '<span class="corner left">residual</span>',
    "overlay": '<span class="corner left">measured + columns</span>',
}
_LARGE: Final = 250_000
"""Pixels above which a picture is written with losses that the eye does not see."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """What all pictures of a page share, so that they can be compared.

    Attributes
    ----------
    rows, columns : slice
        What is shown of the crop: the region compared, and a little around it.
    grey : (float, float)
        Intensities drawn black and white.
    residual : float
        Difference drawn in full colour [measured intensity].
    """

    rows: slice
    columns: slice
    grey: tuple[float, float]
    residual: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are shown."""
        return (
            self.rows.stop - self.rows.start,
            self.columns.stop - self.columns.start,
        )

    @property
    def corner(self) -> Array:
        """X and y (2,) of the first pixel shown [pixels of the crop]."""
        return np.array([self.columns.start, self.rows.start], float)

    def shown_at(self, view: View, points: Array) -> Array:
        """Return where points of the whole image (n, 2) lie in what is shown."""
        return np.asarray(points - np.asarray(view.corner_px) - self.corner)


def common_scale(views: Sequence[View]) -> Scale:
    """Return the scale for views of one micrograph; at least one."""
    mask, measured = views[0].mask, views[0].measured.values
    used = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    slices = [
        slice(max(int(k[0]) - 3, 0), min(int(k[-1]) + 4, n))
        for k, n in zip(used, mask.shape, strict=True)
    ]
    low, high = np.percentile(measured[mask], (0.5, 99.7))
    differences = [
        np.abs((v.measured.values - v.simulated.values)[mask]) for v in views
    ]
    largest = float(np.percentile(np.concatenate(differences), 99.0))
    return Scale(
        rows=slices[0],
        columns=slices[1],
        grey=(float(low), float(max(high, low + 1e-12))),
        residual=max(largest, 1e-12),
    )


def measured_source(view: View, scale: Scale) -> str:
    """Return the measured image, once for all pictures of the page."""
    n_y, n_x = scale.shape
    address = _grey_picture(view.measured.values, None, scale)
    return (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
        f'<image id="measured" width="{n_x}" height="{n_y}" href="{address}"/></defs>'
        "</svg>"
    )


def picture_panels(structure: Structure, scale: Scale) -> str:
    """Return slider, residual and columns of a structure; nothing without an image."""
    view = structure.finalist.view
    if view is None:
        return ""
    key, (n_y, n_x) = structure.key, scale.shape
    simulated = _grey_picture(view.simulated.values, view.mask, scale)
    measured = '<use href="#measured"/>'
    columns = _columns(view, scale)
    clip = (
        f'<clipPath id="{key}clip"><rect class="curtain" x="{n_x / 2}" y="0" '
        f'width="{n_x / 2}" height="{n_y}"/></clipPath>'
    )
    slider = (
        f'{clip}{measured}<g clip-path="url(#{key}clip)">'
        f'<rect width="{n_x}" height="{n_y}" fill="#e9e9e9"/>'
        f'<image width="{n_x}" height="{n_y}" href="{simulated}"/></g>'
        f'<g class="columns" hidden>{columns}</g>'
        f'<line class="handle" x1="{n_x / 2}" x2="{n_x / 2}" y1="0" y2="{n_y}"/>'
    )
    shape = "flat" if n_x > 1.25 * n_y else "tall"
    return (
        f'<div class="pictures {shape}">'
        + _figure(
            _svg(slider, view, scale, "compare"),
            "<b>Measured</b> left of the line, <b>simulated</b> right of it: move it.",
            extra='<div class="under"><label class="slide">measured'
            '<input type="range" min="0" max="1000" '
            'value="500" aria-label="where measured ends and simulated begins">'
            "simulated</label>"
            '<label class="tick"><input type="checkbox" class="showcolumns"> '
            "columns</label></div>",
        )
        + _figure(
            _svg(_residual(view, scale), view, scale, "residual"),
            _residual_caption(view, scale),
        )
        + _figure(
            _svg(f"{measured}{columns}", view, scale, "overlay"),
            f"Columns of the structure over the measured image. {_element_key(view)}",
        )
        + "</div>"
    )


def _figure(picture: str, caption: str, *, extra: str = "") -> str:
    return f"<figure>{picture}{extra}<figcaption>{caption}</figcaption></figure>"


def _svg(content: str, view: View, scale: Scale, kind: str) -> str:
    """Return a picture in pixels, with the boundary ticked and a scale bar."""
    n_y, n_x = scale.shape
    return (
        f'<div class="frame" style="--ratio:{n_x / n_y:.4f}">'
        f'<svg class="picture {kind}" viewBox="0 0 {n_x} {n_y}" '
        f'data-width="{n_x}" role="img" '
        f'aria-label="{_SAID[kind]}">{content}{_boundary(view, scale)}</svg>'
        f"{_bar(view, scale)}{_CORNERS.get(kind, '')}</div>"
    )


def boundary_ends(view: View, scale: Scale) -> Array | None:
    """Return where the boundary line enters and leaves what is shown.

    Returns
    -------
    (2, 2) float array, optional
        x and y of both points [pixels of what is shown, counted from the centre of the
        first]; None if the line passes by.
    """
    point = scale.shown_at(view, np.asarray(view.frame.origin_px))
    along = view.frame.matrix @ np.array([1.0, 0.0])
    n_y, n_x = scale.shape
    low, high = -np.inf, np.inf
    for k, size in enumerate((n_x, n_y)):
        edges = np.array([-0.5, size - 0.5]) - point[k]
        if abs(along[k]) < 1e-12:
            if edges[0] > 0 or edges[1] < 0:
                return None
            continue
        reached = np.sort(edges / along[k])
        low, high = max(low, reached[0]), min(high, reached[1])
    if low >= high:
        return None
    return np.array([point + low * along, point + high * along])


def _boundary(view: View, scale: Scale) -> str:
    """Tick the boundary line where it enters and leaves the picture."""
    ends = boundary_ends(view, scale)
    if ends is None:
        return ""
    start, stop = ends + 0.5  # SVG counts from a pixel's edge
    inward = 0.04 * max(scale.shape) * (stop - start) / np.linalg.norm(stop - start)
    parts = []
    for point, step in ((start, inward), (stop, -inward)):
        tip = point + step
        parts.append(
            f'<line class="boundary" x1="{point[0]:.1f}" y1="{point[1]:.1f}" '
            f'x2="{tip[0]:.1f}" y2="{tip[1]:.1f}"/>'
        )
    return "".join(parts)


def _bar(view: View, scale: Scale) -> str:
    """Return the scale bar as HTML: its text keeps its size on a phone."""
    width = scale.shape[1] * view.measured.pixel_size
    length = _round_length(0.2 * width)
    label = f"{length / 10:g} nm" if length >= 10 else f"{length:g} Å"
    return (
        f'<div class="bars" style="width:{100 * length / width:.3f}%">'
        f'<div class="scalebar">{label}<i></i></div></div>'
    )


def _columns(view: View, scale: Scale) -> str:
    """Return a circle around every column, in the colour of its element."""
    positions = scale.shown_at(view, view.columns.positions_px) + 0.5
    radius = 0.25 * spacing(positions)
    n_y, n_x = scale.shape
    colours = element_colours(view.columns.elements)
    parts = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" '
        f'stroke="{colours[element]}"/>'
        for (x, y), element in zip(positions, view.columns.elements, strict=True)
        if 0 <= x <= n_x and 0 <= y <= n_y
    ]
    return f'<g class="marks" stroke-width="{0.28 * radius:.2f}">{"".join(parts)}</g>'


def spacing(positions: Array) -> float:
    """Return the usual distance between neighbouring columns [pixels]."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 10.0
    distances, _ = cKDTree(positions).query(positions, k=2)
    return float(np.median(distances[:, 1]))


def _element_key(view: View) -> str:
    return " ".join(
        f'<span class="element" style="--c:{colour}">{text(name)}</span>'
        for name, colour in element_colours(view.columns.elements).items()
    )


def _residual(view: View, scale: Scale) -> str:
    n_y, n_x = scale.shape
    difference = view.measured.values - view.simulated.values
    return (
        f'<rect width="{n_x}" height="{n_y}" fill="#e9e9e9"/>'
        f'<image width="{n_x}" height="{n_y}" '
        f'href="{_residual_picture(difference, view.mask, scale)}"/>'
    )


def _residual_caption(view: View, scale: Scale) -> str:
    contrast = 100 * scale.residual / (scale.grey[1] - scale.grey[0])
    left, middle, right = RESIDUAL_COLOURS
    return (
        "<b>Residual</b>, measured − simulated: simulated brighter "
        f'<i class="ramp" style="background:linear-gradient(90deg,{left},{middle},'
        f'{right})"></i> measured brighter; full colour is {contrast:.0f} % of the '
        "measured contrast."
    )


def _grey_picture(values: Array, mask: NDArray[np.bool_] | None, scale: Scale) -> str:
    """Return a picture in shades of grey; light where nothing was compared."""
    low, high = scale.grey
    shades = np.clip((values - low) / (high - low), 0.0, 1.0) * 255
    if mask is not None:
        shades = np.where(mask, shades, 233)
    return _encoded(np.rint(shades[scale.rows, scale.columns]).astype(np.uint8))


def _residual_picture(difference: Array, mask: NDArray[np.bool_], scale: Scale) -> str:
    shown = (scale.rows, scale.columns)
    level = np.clip(difference[shown] / scale.residual, -1.0, 1.0)
    index = np.rint((level + 1) / 2 * (_N_SHADES - 1)).astype(np.uint8)
    return _encoded(np.where(mask[shown], index, _N_SHADES).astype(np.uint8), _ramp())


def _ramp() -> list[int]:
    """Return the palette of residuals: shades, then the grey of what is outside."""
    ends = [
        np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in RESIDUAL_COLOURS
    ]
    palette: list[int] = []
    for k in range(_N_SHADES):
        place = 2 * k / (_N_SHADES - 1)
        low = min(math.floor(place), 1)
        colour = ends[low] + (place - low) * (ends[low + 1] - ends[low])
        palette += [int(c) for c in np.rint(colour)]
    return [*palette, 233, 233, 233]


def _encoded(values: NDArray[np.uint8], palette: list[int] | None = None) -> str:
    """Return 8-bit values as the address of a picture."""
    from PIL import Image

    picture: Picture = Image.fromarray(values)
    if palette is not None:
        picture.putpalette(palette)
    file = io.BytesIO()
    if palette is None and values.size > _LARGE:
        picture.save(file, "JPEG", quality=92)
        return data_uri("image/jpeg", file.getvalue())
    picture.save(file, "PNG", optimize=True)
    return data_uri("image/png", file.getvalue())
