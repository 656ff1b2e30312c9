"""Figures for people: drawn without a display, in a plain journal style."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.geometry import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.linewidth": 0.5,
    "axes.titlesize": 7.0,
    "axes.titlepad": 3.0,
}
_WIDTH = 7.2  # two columns of a journal [inch]
_GAP, _HEAD, _FOOT = 0.06, 0.2, 0.22  # between panels, above each, below all [inch]
_MAX_HEIGHT = 8.6  # a page [inch]
# Okabe and Ito: told apart by colour-blind readers, and visible on grey.
_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00")
_MARK = "#FFD92F"  # outlines and ticks on grey


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnTable:
    """Atomic columns of a candidate as its image shows them.

    Attributes
    ----------
    positions_px : (n, 2) float array
        x and y [pixels of the whole image as read].
    elements : (n,) tuple of str
        Element of each column; of a mixed column all of them, as in ``CdTe``.
    masses : (n,) float array
        Scattering strength, the sum of Z**exponent over the atoms.
    """

    positions_px: NDArray[np.float64]
    elements: tuple[str, ...]
    masses: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.elements)
        if self.positions_px.shape != (n, 2) or self.masses.shape != (n,):
            raise ValueError(
                f"{n} elements need positions_px ({n}, 2) and masses ({n},), "
                f"got {self.positions_px.shape} and {self.masses.shape}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A simulated image beside the measured one, pixel by pixel.

    Attributes
    ----------
    measured, simulated : Image
        The same pixels, intensities in the unit of the measured image.
    mask : (n_y, n_x) bool array
        Region compared.
    corner_px : (float, float)
        x and y of the first pixel [pixels of the whole image as read].
    frame : Frame
        How the boundary lies in the whole image; its origin is on the boundary line.
    columns : ColumnTable
        Every column that the region compared shows.
    """

    measured: Image
    simulated: Image
    mask: NDArray[np.bool_]
    corner_px: tuple[float, float]
    frame: Frame
    columns: ColumnTable

    def __post_init__(self) -> None:
        shapes = {
            "measured": self.measured.values.shape,
            "simulated": self.simulated.values.shape,
            "mask": self.mask.shape,
        }
        if len(set(shapes.values())) != 1:
            raise ValueError(f"images and mask must have one shape, got {shapes}")
        if not self.mask.any():
            raise ValueError("the mask is empty: no pixel was compared")


def overlay_figure(path: Path, view: View, *, title: str = "") -> None:
    """Draw measured, simulated, one inset in the other, and the columns, as a PNG.

    Parameters
    ----------
    path : Path
        File to write.
    view : View
        What to draw.
    title : str
        One line above the panels.
    """
    from matplotlib import rc_context

    with rc_context(_STYLE):
        figure, axes = _panels(view.mask.shape, title)
        window = _window(view)
        measured, simulated = view.measured.values, view.simulated.values
        pictures = (
            ("a", "measured", measured),
            ("b", "simulated", np.where(view.mask, simulated, np.nan)),
            (
                "c",
                "simulated, set into a",
                np.where(window, simulated, measured),
            ),
            ("d", "columns on a", measured),
        )
        limits = _grey_limits(measured[view.mask])
        for axis, (letter, label, values) in zip(axes, pictures, strict=True):
            _show(axis, values, limits, f"{letter}   {label}")
            _mark_boundary(axis, view)
        axes[2].contour(window, levels=[0.5], colors=[_MARK], linewidths=0.6)
        scale_bar(axes[0], view.mask.shape, view.measured.pixel_size)
        _draw_columns(axes[3], view)
        figure.savefig(path, format="png", dpi="figure")


def _panels(shape: tuple[int, ...], title: str) -> tuple[Figure, list[Axes]]:
    """Return a figure of four panels of this shape, two in a row unless very tall."""
    from matplotlib.figure import Figure

    n_y, n_x = shape
    n_columns = 4 if n_y > 1.6 * n_x else 2
    n_rows = 4 // n_columns
    top = _HEAD if title else 0.0
    free = (_MAX_HEIGHT - top - _FOOT) / n_rows - _HEAD
    width = min((_WIDTH - (n_columns + 1) * _GAP) / n_columns, free * n_x / n_y)
    height = width * n_y / n_x
    size = (
        n_columns * width + (n_columns + 1) * _GAP,
        n_rows * (height + _HEAD) + top + _FOOT,
    )
    figure = Figure(figsize=size, dpi=200, facecolor="white")
    axes = []
    for k in range(4):
        row, column = divmod(k, n_columns)
        left = _GAP + column * (width + _GAP)
        bottom = size[1] - top - (row + 1) * (height + _HEAD)
        box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
        axes.append(figure.add_axes(box))
    figure.text(
        _GAP / size[0], 1 - 0.05 / size[1], title, va="top", fontsize=8, wrap=False
    )
    return figure, axes


def _window(view: View) -> NDArray[np.bool_]:
    """Return where the simulation covers the measurement in the inset.

    The region compared; where that is nearly all there is, its middle half along the
    boundary, so that the seams cross the boundary and both grains.
    """
    if view.mask.mean() < 0.75:
        return view.mask
    window = view.mask.copy()
    x, y = np.abs(view.frame.matrix @ np.array([1.0, 0.0]))
    lines = window if x >= y else window.T  # views: what is cleared is cleared in both
    used = np.flatnonzero(lines.any(axis=0))
    quarter = (used[-1] - used[0] + 1) // 4
    lines[:, : used[0] + quarter] = False
    lines[:, used[-1] + 1 - quarter :] = False
    return window


def _grey_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    # A few hot or dead pixels must not set the contrast of all panels.
    low, high = np.nanpercentile(values, (0.5, 99.7))
    return float(low), float(high if high > low else low + 1.0)


def _show(
    axis: Axes, values: NDArray[np.float64], limits: tuple[float, float], label: str
) -> None:
    axis.set_facecolor("0.93")  # outside the region compared
    axis.imshow(
        values, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    axis.set_title(label, loc="left")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlim(-0.5, values.shape[1] - 0.5)
    axis.set_ylim(values.shape[0] - 0.5, -0.5)


def _mark_boundary(axis: Axes, view: View) -> None:
    """Tick the boundary line where it enters and leaves the picture."""
    ends = _boundary_ends(view)
    if ends is None:
        return
    length = 0.04 * max(view.mask.shape)
    inward = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0]) * length
    for start, step in ((ends[0], inward), (ends[1], -inward)):
        tip = start + step
        axis.plot(
            [start[0], tip[0]], [start[1], tip[1]], color=_MARK, linewidth=1.2, zorder=5
        )


def _boundary_ends(view: View) -> NDArray[np.float64] | None:
    """Return the two points (x, y) where the boundary line cuts the picture's edge."""
    point = np.asarray(view.frame.origin_px) - np.asarray(view.corner_px)
    direction = view.frame.matrix @ np.array([1.0, 0.0])
    n_y, n_x = view.mask.shape
    low, high = -np.inf, np.inf
    for k, size in enumerate((n_x, n_y)):
        edges = np.array([-0.5, size - 0.5]) - point[k]
        if abs(direction[k]) < 1e-12:
            if edges[0] > 0 or edges[1] < 0:
                return None
            continue
        reached = np.sort(edges / direction[k])
        low, high = max(low, reached[0]), min(high, reached[1])
    if low >= high:
        return None
    return np.array([point + low * direction, point + high * direction])


def scale_bar(axis: Axes, shape: tuple[int, ...], pixel_size: float) -> None:
    """Draw a bar of a round length, about a fifth of the picture's width.

    Parameters
    ----------
    axis : Axes
        Shows an image, one unit a pixel; already in its place on the page.
    shape : (int, int)
        Rows and columns of the image.
    pixel_size : float
        [Å].
    """
    from matplotlib.patches import Rectangle

    length = _round_length(0.2 * shape[1] * pixel_size)
    label = f"{length / 10:g} nm" if length >= 10 else f"{length:g} Å"
    point = shape[1] / _width_in_points(axis)  # pixels
    bar = length / pixel_size
    left, bottom = 9 * point, shape[0] - 0.5 - 9 * point
    ground = Rectangle(
        (left - 4 * point, bottom - 15 * point), bar + 8 * point, 19 * point
    )
    ground.set(facecolor="black", alpha=0.55, linewidth=0, zorder=4)
    axis.add_patch(ground)
    white = Rectangle((left, bottom - 2 * point), bar, 2 * point)
    white.set(facecolor="white", linewidth=0, zorder=5)
    axis.add_patch(white)
    middle = (left + bar / 2, bottom - 4 * point)
    axis.text(*middle, label, color="white", ha="center", va="bottom", zorder=5)


def _width_in_points(axis: Axes) -> float:
    figure = axis.get_figure(root=True)
    width = 1.0 if figure is None else figure.get_figwidth()
    return float(axis.get_position().width * width * 72)


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most `length`."""
    decade = 10.0 ** np.floor(np.log10(length))
    return float(
        max(m * decade for m in (1.0, 2.0, 5.0) if m * decade <= length * 1.001)
    )


def _draw_columns(axis: Axes, view: View) -> None:
    positions = view.columns.positions_px - np.asarray(view.corner_px)
    kinds = list(dict.fromkeys(view.columns.elements))
    size = _marker_size(axis, positions, view.mask.shape[1])
    for k, kind in enumerate(kinds):
        chosen = np.array([element == kind for element in view.columns.elements])
        axis.scatter(
            positions[chosen, 0],
            positions[chosen, 1],
            s=size,
            facecolors="none",
            edgecolors=_COLOURS[k % len(_COLOURS)],
            linewidths=0.8,
            label=kind,
        )
    if kinds:
        axis.legend(
            loc="upper right",
            bbox_to_anchor=(1.0, 0.0),
            ncols=len(kinds),
            frameon=False,
            borderaxespad=0.2,
            handletextpad=0.1,
            columnspacing=1.0,
        )


def _marker_size(axis: Axes, positions: NDArray[np.float64], n_x: int) -> float:
    """Return a marker area [points²] of half the distance between neighbours across."""
    from scipy.spatial import cKDTree

    spacing = 0.05 * n_x
    if len(positions) > 1:
        distances, _ = cKDTree(positions).query(positions, k=2)
        spacing = float(np.median(distances[:, 1]))
    return float(np.clip(0.5 * spacing * _width_in_points(axis) / n_x, 2.0, 14.0) ** 2)
