"""An image and what a library has most like it, side by side with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.library.motifs import Shared, shared_motifs
from autoloop.library.scores import matched, view_in_pose
from autoloop.library.search import Answer, Match
from autoloop.library.spectra import PIXEL
from autoloop.library.store import Library
from autoloop.report.figures import scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 6.5,
    "axes.titlesize": 6.5,
    "axes.linewidth": 0.5,
}
_DPI: Final = 300
_PANEL: Final = 1.75  # [inch]
_HEAD: Final = 0.62  # above the panels, for what they are [inch]
_LINE: Final = 0.12  # of the text at the foot [inch]
_MOST: Final = 6

# Okabe and Ito's colours
_EXTENDED: Final = "#E69F00"
_LOCAL: Final = "#56B4E9"
_NOT: Final = "#FFFFFF"


def match_figure(path: Path, library: Library, answer: Answer, name: str) -> None:
    """Draw the compared part of an image beside its best matches, as a PNG.

    Above each match as it lies in the image; below the columns of the image, marked
    where the match has them too: within its largest extended motif, by neighbourhood
    alone, or not at all.

    Parameters
    ----------
    path : Path
        File to write.
    library : Library
        That was searched.
    answer : Answer
        What it said.
    name : str
        Of the image.
    """
    from matplotlib import rc_context

    shown = answer.matches[:_MOST]
    with rc_context(_STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width = _PANEL * (1 + len(shown))
        height = 2 * _PANEL + _HEAD + 3 * _LINE
        figure = Figure(figsize=(width, height), dpi=_DPI)
        FigureCanvasAgg(figure)
        axes = [
            [_panel(figure, row, column, (width, height)) for column in range(1 + n)]
            for row, n in ((0, len(shown)), (1, len(shown)))
        ]
        limits = np.quantile(shown[0].query.patch, (0.005, 0.995))
        for axis in (axes[0][0], axes[1][0]):
            _show(axis, shown[0].query.patch, limits)
        axes[0][0].set_title(_head(name, answer), loc="left")
        scale_bar(axes[0][0], shown[0].query.patch.shape, PIXEL)
        _legend(axes[1][0])
        for rank, match in enumerate(shown):
            seen = library.view(match.index)
            image = view_in_pose(
                seen, match.pose, len(match.query.patch), match.pose.blur
            )
            _show(axes[0][1 + rank], matched(match.query, image), limits)
            axes[0][1 + rank].set_title(_title(rank, match), loc="left")
            found = shared_motifs(match.query, seen, match.pose)
            _show(axes[1][1 + rank], match.query.patch, limits)
            _mark(axes[1][1 + rank], found, len(match.query.patch))
        figure.savefig(path, format="png", metadata={"Software": "autoloop"})


def _panel(figure: Any, row: int, column: int, size: tuple[float, float]) -> Axes:
    width, height = size
    gap = 0.04
    bottom = 3 * _LINE + (_PANEL if row == 0 else 0.0)
    axis: Axes = figure.add_axes(
        (
            (column * _PANEL + gap) / width,
            (bottom + gap) / height,
            (_PANEL - 2 * gap) / width,
            (_PANEL - 2 * gap) / height,
        )
    )
    axis.set_xticks([])
    axis.set_yticks([])
    return axis


def _show(axis: Axes, values: Array, limits: Array) -> None:
    axis.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1])


def _head(name: str, answer: Answer) -> str:
    verdict = (
        f"the first fits, confidence {answer.confidence:.2f}"
        if answer.fits
        else "nothing in the library fits"
    )
    return f"{name}\n{verdict}"


def _title(rank: int, match: Match) -> str:
    figures = match.figures
    h, k, m = match.name.zone_axis
    return (
        f"{rank + 1}  {match.name.formula} [{h} {k} {m}]\n{match.name.prototype[:34]}\n"
        f"score {match.score:.3f}  SSIM {figures.ssim:.3f}\n"
        f"EMD {figures.emd_angstrom_per_column:.3f} Å  MSE {figures.mse:.3f}"
    )


def _mark(axis: Axes, found: Shared, n_pixels: int) -> None:
    x, y = found.positions.T / PIXEL
    for chosen, colour in (
        (~found.local, _NOT),
        (found.local & ~found.extended, _LOCAL),
        (found.extended, _EXTENDED),
    ):
        axis.plot(
            x[chosen] + n_pixels // 2,
            n_pixels // 2 - y[chosen],
            "o",
            ms=2.2,
            mfc="none" if colour == _NOT else colour,
            mec=colour,
            mew=0.5,
        )
    axis.set_xlabel(
        f"alike {100 * found.local_share:.0f} %, together "
        f"{100 * found.extended_share:.0f} % at {found.turn_deg:+.0f}°",
        labelpad=2,
    )


def _legend(axis: Axes) -> None:
    axis.set_xlabel("columns that the match has:", labelpad=2)
    for k, (text, colour) in enumerate(
        (
            ("under one turn, together", _EXTENDED),
            ("by their neighbours, any turn", _LOCAL),
            ("not", _NOT),
        )
    ):
        axis.text(
            0.03,
            0.95 - 0.09 * k,
            f"● {text}",
            color=colour,
            transform=axis.transAxes,
            va="top",
            bbox={"facecolor": "black", "alpha": 0.55, "pad": 1.0, "lw": 0},
        )
