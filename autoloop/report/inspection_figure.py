"""What was read from a micrograph, drawn over it: lattices, boundary line, motifs.

Colours are told apart by colour-blind readers and markers differ too, so that the
figure survives a grey print.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.geometry import Frame
from autoloop.preparation.inspection import Inspection, predicted_columns
from autoloop.report.figures import scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.linewidth": 0.5,
    "axes.titlesize": 7.0,
    "axes.titlepad": 3.0,
}
_DPI: Final = 300
_WIDTH: Final = 7.2  # two columns of a journal [inch]
_GAP: Final = 0.08  # between panels and around them [inch]
_HEAD: Final = 0.2  # above each panel [inch]
_ROW: Final = 0.15  # of the legend [inch]
_FOOT: Final = 0.2  # below the legend [inch]
_MAX_HEIGHT: Final = 9.0  # a page, less its caption [inch]
_LEGEND_COLUMNS: Final = 4

# Okabe and Ito's colours: blues for the upper grain, oranges for the lower one, the
# others for the core. All stand out from grey.
_UPPER: Final = ("#56B4E9", "#0072B2", "#9AD8FF", "#004A75")
_LOWER: Final = ("#E69F00", "#D55E00", "#FFD08A", "#8A3B00")
_CORE: Final = ("#F0E442", "#CC79A7", "#009E73", "#FFFFFF")
_MARKERS: Final = {0: "D^vsP*", 1: "o", 2: "s"}
_NO_MOTIF: Final = ("X", "#FFFFFF")  # columns of the core that belong to no motif
_LINE: Final = "#F0E442"
_OUTLINE: Final = "#FFFFFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How the columns of one motif are drawn."""

    marker: str
    face: str
    edge: str


def inspection_figure(path: Path, found: Inspection) -> None:
    """Draw the micrograph with what was read from it, as a PNG.

    Parameters
    ----------
    path : Path
        File to write.
    found : Inspection
        Without a boundary the panel of the lattices shows the columns instead.
    """
    from matplotlib import rc_context

    with rc_context(_STYLE):
        n_entries = 0 if found.motifs is None else len(found.motifs.motifs)
        figure, axes, foot = _panels(found.micrograph.image.values.shape, n_entries)
        for axis in axes:
            _show(axis, found)
            _draw_line(axis, found)
        size = _marker_size(axes[0], found)
        _draw_lattices(axes[0], found, size)
        _draw_motifs(axes[1], found, size)
        scale_bar(axes[0], found.micrograph.image.values.shape, found.pixel_size)
        if n_entries:
            _legend(figure, axes[1], foot)
        figure.text(
            _GAP / figure.get_size_inches()[0],
            0.06 / figure.get_size_inches()[1],
            _caption(found),
            fontsize=6.5,
            color="0.25",
        )
        figure.savefig(path, format="png", dpi="figure")


def _panels(shape: tuple[int, ...], n_entries: int) -> tuple[Figure, list[Axes], float]:
    """Return a figure, two panels of this shape, and the legend's top [inch].

    Beside each other, or, of a wide image, one above the other.
    """
    from matplotlib.figure import Figure

    n_y, n_x = shape
    across = 1 if n_x > 1.5 * n_y else 2
    down = 2 // across
    foot = _FOOT + _ROW * -(-n_entries // _LEGEND_COLUMNS)
    width = (_WIDTH - (across + 1) * _GAP) / across
    free = (_MAX_HEIGHT - foot) / down - _HEAD
    width = min(width, free * n_x / n_y)
    height = width * n_y / n_x
    size = (
        across * width + (across + 1) * _GAP,
        down * (height + _HEAD) + foot + _GAP,
    )
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    axes = []
    for k in range(2):
        left = _GAP + (k % across) * (width + _GAP)
        bottom = size[1] - (k // across + 1) * (height + _HEAD)
        box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
        axes.append(figure.add_axes(box))
    return figure, axes, foot


def _show(axis: Axes, found: Inspection) -> None:
    values, crop = found.micrograph.image.values, found.crop
    inside = values[crop[0] : crop[1], crop[2] : crop[3]]
    # A few hot or dead pixels must not set the contrast.
    low, high = np.percentile(inside, (0.5, 99.7))
    axis.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlim(-0.5, values.shape[1] - 0.5)
    axis.set_ylim(values.shape[0] - 0.5, -0.5)
    if inside.shape != values.shape:
        x, y = crop[2] - 0.5, crop[0] - 0.5
        axis.plot(
            [x, x + inside.shape[1], x + inside.shape[1], x, x],
            [y, y, y + inside.shape[0], y + inside.shape[0], y],
            color=_OUTLINE,
            linewidth=0.6,
            linestyle=(0, (2, 2)),
        )


def _draw_line(axis: Axes, found: Inspection) -> None:
    """Draw the boundary line across the picture."""
    if found.line is None:
        return
    frame = Frame(
        origin_px=found.line.point_px,
        pixel_size=1.0,
        angle_deg=found.line.angle_deg,
        shear=0.0 if found.boundary is None else found.boundary.reading.shear,
    )
    first, second = frame.to_pixels(np.array([[0.0, 0.0], [1.0, 0.0]]))
    axis.axline(
        tuple(first), tuple(second), color="black", linewidth=1.8, alpha=0.5, zorder=2
    )
    axis.axline(
        tuple(first),
        tuple(second),
        color=_LINE,
        linewidth=0.9,
        linestyle=(0, (5, 3)),
        zorder=2.1,
    )


def _marker_size(axis: Axes, found: Inspection) -> float:
    """Return a marker's diameter that leaves neighbours apart [points]."""
    from scipy.spatial import cKDTree

    positions = found.columns.positions
    if len(positions) < 2:
        return 4.0
    spacing = float(np.median(cKDTree(positions).query(positions, 2)[0][:, 1]))
    points = 72.0 * spacing / _pixels_per_inch(axis, found)
    return float(np.clip(0.5 * points, 1.2, 5.0))


def _pixels_per_inch(axis: Axes, found: Inspection) -> float:
    figure = axis.get_figure(root=True)
    width = _WIDTH if figure is None else figure.get_figwidth()
    n_x = found.micrograph.image.values.shape[1]
    return float(n_x / (axis.get_position().width * width))


def _draw_lattices(axis: Axes, found: Inspection, size: float) -> None:
    """Draw where both perfect lattices put columns; without them the columns found."""
    if found.boundary is None:
        axis.set_title("a   columns found", loc="left")
        x, y = found.columns.positions.T
        axis.plot(
            x, y, "o", color=_LOWER[0], ms=1.2 * size, mfc="none", mew=0.5, zorder=3
        )
        return
    axis.set_title("a   perfect lattices, continued to the boundary line", loc="left")
    for points, colour in zip(
        predicted_columns(found), (_UPPER[0], _LOWER[0]), strict=True
    ):
        axis.plot(
            *points.T,
            linestyle="",
            marker="o",
            markerfacecolor="none",
            markeredgecolor=colour,
            markersize=1.25 * size,
            markeredgewidth=0.5,
            zorder=3,
        )
    _name_grains(axis, found)


def _name_grains(axis: Axes, found: Inspection) -> None:
    """Write crystal and zone axis of each grain into its far corner."""
    if found.boundary is None:
        return
    angle = np.deg2rad(found.boundary.reading.angle_deg)
    upwards = np.array([-np.sin(angle), np.cos(angle)])  # x right, y up
    grains = (found.boundary.upper, found.boundary.lower)
    for grain, side, colour in zip(
        grains, (1, -1), (_UPPER[0], _LOWER[0]), strict=True
    ):
        # An upright boundary has its grains left and right.
        right = side * upwards[0] > 0.7
        top = side * upwards[1] > 0 or abs(upwards[1]) < 0.3
        axis.text(
            0.98 if right or not abs(upwards[0]) > 0.7 else 0.02,
            0.98 if top else 0.02,
            f"{grain.crystal} [{' '.join(map(str, grain.zone_axis))}]",
            transform=axis.transAxes,
            ha="right" if right or not abs(upwards[0]) > 0.7 else "left",
            va="top" if top else "bottom",
            color=colour,
            zorder=5,
            bbox={"facecolor": "black", "alpha": 0.7, "pad": 1.5, "linewidth": 0},
        )


def _draw_motifs(axis: Axes, found: Inspection, size: float) -> None:
    axis.set_title("b   motifs of the columns", loc="left")
    motifs = found.motifs
    if motifs is None:
        axis.set_title("b   no motifs", loc="left")
        return
    for index, motif in enumerate(motifs.motifs):
        members = motifs.labels == index
        x, y = found.columns.positions[members].T
        look = _look(motif.region, motif.site, motif.name)
        axis.plot(
            x,
            y,
            linestyle="",
            marker=look.marker,
            markerfacecolor=look.face,
            markeredgecolor=look.edge,
            markersize=size if look.marker in "os" else 1.2 * size,
            markeredgewidth=0.25,
            zorder=3,
            label=f"{motif.name} ({int(members.sum())})",
        )


def _look(region: int, site: int, name: str) -> _Look:
    colours = (_CORE, _UPPER, _LOWER)[region]
    markers = _MARKERS[region]
    if region == 0 and site == 0:
        return _Look(marker=_NO_MOTIF[0], face=_NO_MOTIF[1], edge="black")
    number = max(site - 1, 0)
    marker = markers[number % len(markers)]
    if name.endswith("irregular"):
        return _Look(marker=marker, face="none", edge=colours[0])
    return _Look(marker=marker, face=colours[number % len(colours)], edge="black")


def _legend(figure: Figure, axis: Axes, foot: float) -> None:
    width, height = figure.get_size_inches()
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(_GAP / width, foot / height),
        ncols=_LEGEND_COLUMNS,
        frameon=False,
        fontsize=6.5,
        borderaxespad=0.0,
        borderpad=0.0,
        handletextpad=0.2,
        columnspacing=1.2,
        labelspacing=0.3,
        markerscale=1.0,
    )


def _caption(found: Inspection) -> str:
    line = found.line
    parts = [f"{Path(found.micrograph.path).name}: {len(found.columns)} columns"]
    nominal = found.micrograph.image.pixel_size
    if found.boundary is None:
        parts.append(f"pixel size {nominal:.4f} Å")
    else:
        size = found.pixel_size
        parts.append(
            f"pixel size {size:.4f} Å ({100 * (size / nominal - 1):+.1f} % of nominal)"
        )
    if line is not None:
        parts.append(f"boundary at {line.angle_deg:+.2f}°")
    # without a coincidence an expansion depends on a choice of lattice points
    if found.boundary is not None and found.boundary.displacement_modulo is not None:
        expansion = found.boundary.expansion_angstrom
        parts.append(f"expansion {expansion:+.2f} Å")
    return ", ".join(parts)
