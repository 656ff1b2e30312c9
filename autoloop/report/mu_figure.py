"""Boundary energies of a compound against the chemical potential, as in papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "svg.hashsalt": "autoloop",  # else the names inside differ from run to run
}
_SIZE: Final = (5.8, 2.9)  # [inch]
# Okabe and Ito: told apart by colour-blind readers.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_DASHES: Final = ("-", "--", "-.", ":")
_FRACTIONS: Final = np.linspace(0.0, 1.0, 401)


@dataclass(frozen=True, slots=True, kw_only=True)
class MuLine:
    """One boundary: its energy is linear in the chemical potential.

    Attributes
    ----------
    label : str
        For the legend.
    limits_j_per_m2 : (float, float)
        Energy at the two ends of the range: rich in the first species, in the second.
    """

    label: str
    limits_j_per_m2: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MuDiagram:
    """Boundaries over the allowed range of chemical potential.

    Attributes
    ----------
    lines : tuple of MuLine
        At least one.
    species : (str, str)
        Chemical symbols of the first and the second species.
    width_ev : float
        Width of the range: how far the chemical potential of the second species at the
        end rich in the first lies below that at the other end [eV].
    mu_fraction : float, optional
        Where in the range the boundaries were ranked, 0 to 1.
    title : str
        Above the axes.
    """

    lines: tuple[MuLine, ...]
    species: tuple[str, str]
    width_ev: float
    mu_fraction: float | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if not self.lines or not self.width_ev > 0.0:
            raise ValueError(
                "needs a boundary and a range of mu, "
                f"got {len(self.lines)} and {self.width_ev} eV"
            )


def lowest_lines(limits_j_per_m2: Sequence[tuple[float, float]]) -> list[int]:
    """Return which of many lines is the lowest somewhere in the range.

    Parameters
    ----------
    limits_j_per_m2 : sequence of (float, float)
        Energies at the two ends, for each line; at least one.

    Returns
    -------
    list of int
        Indices from the first end to the second, each once; of equals the first.
    """
    lowest = _lowest(np.asarray(limits_j_per_m2, np.float64))
    return list(dict.fromkeys(int(i) for i in lowest))


def mu_figure(path: Path, diagram: MuDiagram) -> None:
    """Draw boundary energies over the allowed range of chemical potential.

    The lowest at each place is drawn heavier; at the two ends it has its value beside
    it.

    Parameters
    ----------
    path : Path
        PNG, PDF or SVG by its ending.
    diagram : MuDiagram
        What to draw.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained", dpi=200)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_lines(axes, diagram)
        _draw_limits(axes, diagram)
        _write_ends(axes, diagram)
        axes.set_title(diagram.title, fontsize=7.0, loc="left")
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            handlelength=2.6,
            title="thick: the lowest",
            alignment="left",
        )
        # A date would make equal pictures differ.
        dated = path.suffix.lower() in (".svg", ".pdf")
        date = {"Date" if path.suffix.lower() == ".svg" else "CreationDate": None}
        figure.savefig(path, metadata=date if dated else None)


def _lowest(limits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the (n_fractions,) index of the lowest of (n, 2) limits."""
    return np.asarray(np.argmin(_values(limits), axis=0), np.int64)


def _values(limits: NDArray[np.float64]) -> NDArray[np.float64]:
    poor, rich = limits[:, :1], limits[:, 1:]
    return np.asarray((1.0 - _FRACTIONS) * poor + _FRACTIONS * rich)


def _draw_lines(axes: Axes, diagram: MuDiagram) -> None:
    mu = (_FRACTIONS - 1.0) * diagram.width_ev
    limits = np.array([line.limits_j_per_m2 for line in diagram.lines])
    lowest = _lowest(limits)
    for index, energies in enumerate(_values(limits)):
        colour = _COLOURS[index % len(_COLOURS)]
        dashes = _DASHES[index // len(_COLOURS) % len(_DASHES)]
        label = diagram.lines[index].label
        axes.plot(mu, energies, dashes, color=colour, lw=0.9, label=label)
        heavy = np.where(lowest == index, energies, np.nan)
        axes.plot(mu, heavy, "-", color=colour, lw=2.6, solid_capstyle="butt")


def _draw_limits(axes: Axes, diagram: MuDiagram) -> None:
    width = diagram.width_ev
    first, second = diagram.species
    margin = 0.06 * width
    low, high = axes.get_ylim()
    room = 0.12 * (high - low)  # for what stands above and below the lines
    axes.set_ylim(0.0 if low < 0.15 * high else low - room, high + room)
    axes.set_xlim(-width - margin, margin)
    for limit, outer in ((-width, -width - margin), (0.0, margin)):
        axes.axvspan(limit, outer, color="0.92", lw=0, zorder=0)
        axes.axvline(limit, color="0.35", lw=0.6)
    _write_above(axes, -width, f"{first}-rich", "left")
    _write_above(axes, 0.0, f"{second}-rich", "right")
    if diagram.mu_fraction is not None:
        ranked = (diagram.mu_fraction - 1.0) * width
        axes.axvline(ranked, color="0.35", lw=0.6, ls=":", zorder=0)
        if 0.2 <= diagram.mu_fraction <= 0.8:  # else it would cover one of the ends
            _write_above(axes, ranked, "ranked here", "center")
    symbol = rf"\mu_\mathrm{{{second}}}"
    axes.set_xlabel(rf"${symbol} - {symbol}^\mathrm{{{second}\text{{-}}rich}}$ (eV)")
    axes.set_ylabel("boundary energy (J/m²)")


def _write_ends(axes: Axes, diagram: MuDiagram) -> None:
    for end, mu in enumerate((-diagram.width_ev, 0.0)):
        lowest = min(line.limits_j_per_m2[end] for line in diagram.lines)
        axes.annotate(
            f"{lowest:.3f}",
            (mu, lowest),
            xytext=(-4 if end else 4, -5),
            textcoords="offset points",
            ha="right" if end else "left",
            va="top",
        )


def _write_above(axes: Axes, mu: float, text: str, align: str) -> None:
    axes.annotate(
        text,
        (mu, 0.98),
        xycoords=("data", "axes fraction"),
        xytext=({"left": 3, "center": 0, "right": -3}[align], 0),
        textcoords="offset points",
        ha=align,
        va="top",
        color="0.35",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
    )
