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
}
_SIZE: Final = (4.6, 2.9)  # [inch]
# Okabe and Ito: told apart by colour-blind readers.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_DASHES: Final = ("-", "--", "-.", ":")


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


def stable_line(lines: Sequence[MuLine], fractions: NDArray[np.float64]) -> list[int]:
    """Return which line is the lowest at each place in the range.

    Parameters
    ----------
    lines : sequence of MuLine
        At least one.
    fractions : (n,) float array
        Places, 0 to 1.

    Returns
    -------
    list of int
        Index of the lowest line; of equals the first.
    """
    energies = np.array([_values(line, fractions) for line in lines])
    return [int(i) for i in np.argmin(energies, axis=0)]


def mu_figure(
    path: Path,
    lines: Sequence[MuLine],
    *,
    species: tuple[str, str],
    width_ev: float,
    title: str = "",
) -> None:
    """Draw boundary energies over the allowed range of chemical potential.

    Parameters
    ----------
    path : Path
        PNG, PDF or SVG by its ending.
    lines : sequence of MuLine
        Boundaries; the lowest at each place is drawn heavier.
    species : (str, str)
        Chemical symbols of the first and the second species.
    width_ev : float
        Width of the range: how far the chemical potential of the second species lies
        below that of the element at the end rich in the first [eV].
    title : str
        Above the axes.

    Raises
    ------
    ValueError
        If there is no line, or the range has no width.
    """
    if not lines or not width_ev > 0.0:
        raise ValueError(
            f"needs a boundary and a range of mu, got {len(lines)} and {width_ev} eV"
        )
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained", dpi=200)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_lines(axes, lines, width_ev)
        _draw_limits(axes, species, width_ev)
        axes.set_title(title, fontsize=7.0)
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            handlelength=2.6,
        )
        figure.savefig(path)


def _values(line: MuLine, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    poor, rich = line.limits_j_per_m2
    return np.asarray((1.0 - fractions) * poor + fractions * rich)


def _draw_lines(axes: Axes, lines: Sequence[MuLine], width_ev: float) -> None:
    fractions = np.linspace(0.0, 1.0, 401)
    mu = (fractions - 1.0) * width_ev
    lowest = np.array(stable_line(lines, fractions))
    for index, line in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        dashes = _DASHES[index // len(_COLOURS) % len(_DASHES)]
        energies = _values(line, fractions)
        axes.plot(mu, energies, dashes, color=colour, lw=0.9, label=line.label)
        heavy = np.where(lowest == index, energies, np.nan)
        axes.plot(mu, heavy, "-", color=colour, lw=2.6, solid_capstyle="butt")


def _draw_limits(axes: Axes, species: tuple[str, str], width_ev: float) -> None:
    first, second = species
    margin = 0.06 * width_ev
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0) if low < 0.15 * high else low, high)
    axes.set_xlim(-width_ev - margin, margin)
    for limit, outer in ((-width_ev, -width_ev - margin), (0.0, margin)):
        axes.axvspan(limit, outer, color="0.92", lw=0, zorder=0)
        axes.axvline(limit, color="0.35", lw=0.6)
    for limit, name in ((-width_ev, first), (0.0, second)):
        axes.annotate(
            f"{name}-rich",
            (limit, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(3 if limit < 0 else -3, 0),
            textcoords="offset points",
            ha="left" if limit < 0 else "right",
            va="top",
            color="0.35",
        )
    axes.set_xlabel(rf"$\mu_\mathrm{{{second}}}-\mu_\mathrm{{{second}}}^0$ (eV)")
    axes.set_ylabel("boundary energy (J/m²)")
