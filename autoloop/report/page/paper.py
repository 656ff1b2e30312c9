"""Figures as files, in the style of a journal: one column wide, legible in print."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import Archive
from autoloop.report.figures import View, scale_bar
from autoloop.report.mu_figure import MuDiagram
from autoloop.report.page.charts import energy_and_image
from autoloop.report.page.contents import Contents
from autoloop.report.page.markup import COLOURS
from autoloop.report.page.pictures import (
    RESIDUAL_COLOURS,
    Scale,
    boundary_ends,
    common_scale,
    spacing,
)
from autoloop.report.page.plots import span
from autoloop.report.page.structures import element_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = 8.5 / 2.54
"""One column of a journal [inch]."""
_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "axes.titlesize": 7.5,
    "axes.titlepad": 3.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "legend.frameon": False,
    "legend.fontsize": 7.0,
    "svg.fonttype": "none",  # text stays text: it can be edited
    "svg.hashsalt": "autoloop",  # else the names inside differ from run to run
    "savefig.facecolor": "white",
}
_GREY: Final = "0.55"
_DPI: Final = 600


def write_figures(folder: Path, contents: Contents) -> list[Path]:
    """Write the figures of a run as PNG and SVG.

    Parameters
    ----------
    folder : Path
        Where to; made if there is something to draw.
    contents : Contents
        Of the run.

    Returns
    -------
    list of Path
        The files written.
    """
    drawn: dict[str, Callable[[], Figure]] = {}
    leader = contents.leader
    view = None if leader is None else leader.finalist.view
    if view is not None:
        drawn["comparison"] = lambda: _comparison(view)
    if contents.archive.scored:
        drawn["convergence"] = lambda: _convergence(contents.archive)
    if any(energy_and_image(e) is not None for e in contents.archive.scored):
        drawn["trade_off"] = lambda: _trade_off(contents)
    if contents.diagram is not None:
        diagram = contents.diagram
        drawn["chemical_potential"] = lambda: _mu(diagram)
    return [path for name, draw in drawn.items() for path in _saved(folder, name, draw)]


def _saved(folder: Path, name: str, draw: Callable[[], Figure]) -> list[Path]:
    import logging

    from matplotlib import rc_context

    folder.mkdir(exist_ok=True)
    # A font that is not there is not worth a warning: the next in the list is taken.
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with rc_context(_STYLE):
            figure = draw()
            paths = [folder / f"{name}.png", folder / f"{name}.svg"]
            figure.savefig(paths[0], dpi=_DPI)
            # A date would make equal pictures differ.
            figure.savefig(paths[1], dpi=_DPI, metadata={"Date": None})
    finally:
        log.setLevel(level)
    return paths


def _sheet(height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _comparison(view: View) -> Figure:
    """Draw measured, simulated, their difference, and the columns."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = common_scale([view])
    figure, panels = _four_panels(scale)
    measured = view.measured.values
    difference = np.where(view.mask, measured - view.simulated.values, np.nan)
    simulated = np.where(view.mask, view.simulated.values, np.nan)
    ramp = LinearSegmentedColormap.from_list("residual", RESIDUAL_COLOURS)
    most = scale.residual
    for axes, letter, label, values, cmap, limits in zip(
        panels,
        "abcd",
        ("measured", "simulated", "residual", "columns"),
        (measured, simulated, difference, measured),
        ("gray", "gray", ramp, "gray"),
        (scale.grey, scale.grey, (-most, most), scale.grey),
        strict=True,
    ):
        shown = values[scale.rows, scale.columns]
        axes.imshow(shown, cmap=cmap, vmin=limits[0], vmax=limits[1])
        axes.set_facecolor("0.91")  # outside the region compared
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(label, loc="left", x=0.06)
        corner = {"transform": axes.transAxes, "va": "bottom"}
        axes.text(0.0, 1.0, letter, weight="bold", fontsize=8, **corner)
        _tick_boundary(axes, view, scale)
    scale_bar(panels[0], scale.shape, view.measured.pixel_size)
    _circles(panels[3], view, scale)
    return figure


def _four_panels(scale: Scale) -> tuple[Figure, list[Axes]]:
    """Return four axes of the pictures' shape, two in a row unless very tall."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_y, n_x = scale.shape
    gap, head = 0.05, 0.15  # between panels, and above each [inch]
    n_across = 4 if n_y > 1.6 * n_x else 2
    width = (_WIDTH - (n_across - 1) * gap) / n_across
    height, n_down = width * n_y / n_x, 4 // n_across
    total = n_down * (height + head + gap)
    figure = Figure(figsize=(_WIDTH, total))
    FigureCanvasAgg(figure)
    panels = []
    for k in range(4):
        row, column = divmod(k, n_across)
        left = column * (width + gap)
        bottom = total - (row + 1) * (height + head + gap) + gap
        box = (left / _WIDTH, bottom / total, width / _WIDTH, height / total)
        panels.append(figure.add_axes(box))
    return figure, panels


def _tick_boundary(axes: Axes, view: View, scale: Scale) -> None:
    ends = boundary_ends(view, scale)
    if ends is None:
        return
    start, stop = ends
    step = 0.05 * max(scale.shape) * (stop - start) / np.linalg.norm(stop - start)
    for point, tip in ((start, start + step), (stop, stop - step)):
        axes.plot([point[0], tip[0]], [point[1], tip[1]], color="#FFD92F", lw=1.2)
    axes.set_xlim(-0.5, scale.shape[1] - 0.5)
    axes.set_ylim(scale.shape[0] - 0.5, -0.5)


def _circles(axes: Axes, view: View, scale: Scale) -> None:
    positions = scale.shown_at(view, view.columns.positions_px)
    elements = np.array(view.columns.elements)
    points = axes.get_position().width * _WIDTH * 72 / scale.shape[1]  # a pixel's width
    size = float(np.clip(0.45 * spacing(positions) * points, 1.5, 5.0) ** 2)
    for name, colour in element_colours(view.columns.elements).items():
        x, y = positions[elements == name].T
        axes.scatter(
            x,
            y,
            s=size,
            facecolors="none",
            edgecolors=colour,
            linewidths=0.5,
            label=name,
        )
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.02, 0.98),
        ncols=4,
        borderpad=0.0,
        handletextpad=0.0,
        columnspacing=0.6,
    )


def _convergence(archive: Archive) -> Figure:
    figure, axes = _sheet(2.2)
    order = {e.id: k for k, e in enumerate(archive, start=1)}
    places = np.array([order[e.id] for e in archive.scored])
    costs = np.array([e.cost for e in archive.scored], float)
    lowest = np.minimum.accumulate(costs)
    limits = span(list(costs), keep=[float(lowest[0])])
    # What lies beyond is drawn on the edge, lest it be forgotten.
    axes.plot(
        places,
        np.minimum(costs, limits[1]),
        ".",
        clip_on=False,
        ms=3,
        mec="none",
        color=COLOURS[0],
        alpha=0.6,
    )
    axes.step([*places, len(order)], [*lowest, lowest[-1]], "k-", lw=1.0, where="post")
    axes.set_ylim(*limits)
    axes.set_xlim(0, len(order) + 1)
    axes.set_xlabel("evaluation")
    axes.set_ylabel("cost")
    return figure


def _trade_off(contents: Contents) -> Figure:
    figure, axes = _sheet(2.3)
    placed = _array([energy_and_image(e) for e in contents.archive.scored])
    shown = _array([energy_and_image(s.evaluation) for s in contents.structures])
    limits = np.array(
        [span(list(placed[:, k]), keep=list(shown[:, k])) for k in (0, 1)]
    )
    drawn = np.minimum(placed, limits[:, 1])
    axes.plot(*drawn.T, ".", ms=3.5, mec="none", color=_GREY, alpha=0.6, clip_on=False)
    order = placed[np.lexsort((placed[:, 1], placed[:, 0]))]
    best = np.minimum.accumulate(np.r_[math.inf, order[:-1, 1]])
    front = order[order[:, 1] < best]
    axes.plot(*front.T, "-", color=COLOURS[1], lw=1.0)
    axes.plot(*shown.T, "ko", ms=3.5)
    for structure in contents.structures:
        at = energy_and_image(structure.evaluation)
        if at is not None:
            label = structure.name.removeprefix("best/").removeprefix("front ")
            axes.annotate(label, at, (3, 3), textcoords="offset points", fontsize=6.5)
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set_xlabel("boundary energy (J/m²)")
    axes.set_ylabel("image disagreement")
    return figure


def _array(pairs: list[tuple[float, float] | None]) -> NDArray[np.float64]:
    return np.array([p for p in pairs if p is not None], float).reshape(-1, 2)


def _mu(diagram: MuDiagram) -> Figure:
    figure, axes = _sheet(2.3 + 0.13 * len(diagram.lines))
    first, second = diagram.species
    mu = np.array([-diagram.width_ev, 0.0])
    limits = np.array([one.limits_j_per_m2 for one in diagram.lines])
    for k, one in enumerate(diagram.lines):
        dashes = "-" if k < len(COLOURS) else "--"
        axes.plot(
            mu,
            limits[k],
            dashes,
            color=COLOURS[k % len(COLOURS)],
            lw=1.2,
            label=one.label,
        )
    fractions = np.linspace(0.0, 1.0, 201)
    lowest = np.min(
        np.outer(limits[:, 0], 1 - fractions) + np.outer(limits[:, 1], fractions),
        axis=0,
    )
    axes.plot(
        (fractions - 1) * diagram.width_ev,
        lowest,
        color="0.0",
        lw=3.2,
        alpha=0.16,
        solid_capstyle="butt",
        zorder=0,
    )
    axes.set_xlim(*mu)
    axes.margins(y=0.12)
    symbol = rf"\mu_\mathrm{{{second}}}"
    axes.set_xlabel(rf"${symbol} - {symbol}^\mathrm{{{second}\text{{-}}rich}}$ (eV)")
    axes.set_ylabel("boundary energy (J/m²)")
    axes.set_title(f"{first}-rich", loc="left")
    axes.set_title(f"{second}-rich", loc="right")
    figure.legend(loc="outside lower center", ncols=1)
    return figure
