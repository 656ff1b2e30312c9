"""An image, what a library has most like it by each measure, and the motifs they share.

Above, the image and beside it the entries that come first by mean squared error, by
structural similarity and by the distance of columns. Below, the columns of the image by
their kind, and the columns of the best entries: by colour those whose neighbourhood the
image has too. Last, one such neighbourhood close by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.library.answers import Answer, Match
from autoloop.library.motifs import (
    Kinds,
    Occurrences,
    Shared,
    kinds,
    occurrences,
    shared_motifs,
)
from autoloop.library.rendering import to_pixels
from autoloop.library.scores import matched, view_in_pose
from autoloop.library.spectra import PIXEL
from autoloop.library.store import Library
from autoloop.report.figures import scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

RANKED: Final = 10
"""Matches that a figure wants: the measures put them in different orders."""
_SHOWN: Final = 4
"""Entries of each row."""
_STYLE: Final[Any] = {  # the keys are literal types in some versions of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.titlepad": 3.0,
    "axes.linewidth": 0.5,
}
_DPI: Final = 250
_PANEL: Final = 1.62  # [inch]
_TITLE: Final = 0.30  # above a row of panels, two lines [inch]
_LABEL: Final = 0.62  # left of them [inch]
_HEAD: Final = 0.52  # above all, for what the rows are [inch]
_FOOT: Final = 0.5  # below all, for the legend [inch]
_NEAR: Final = 6.0
"""Half the width of a neighbourhood shown close by [Å]."""
_COLOURS: Final = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
"""Of kinds: Okabe and Ito's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """An entry as it is drawn: its image in its pose, and what of the query it has."""

    match: Match
    image: Array
    found: Occurrences
    shared: Shared


def match_figure(path: Path, library: Library, answer: Answer, name: str) -> None:
    """Draw the compared part of an image beside its best matches, as a PNG.

    Parameters
    ----------
    path : Path
        File to write.
    library : Library
        That was searched.
    answer : Answer
        What it said, with at least `RANKED` matches if there are so many.
    name : str
        Of the image.
    """
    from matplotlib import rc_context

    query = answer.matches[0].query
    sought = kinds(query)
    best = [_shown(library, match, sought) for match in answer.matches[:_SHOWN]]
    with rc_context(_STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width = _LABEL + (1 + _SHOWN) * _PANEL
        height = 5 * (_PANEL + _TITLE) + _HEAD + _FOOT
        figure = Figure(figsize=(width, height), dpi=_DPI)
        FigureCanvasAgg(figure)
        _head(figure, name, answer)
        _query(figure, query.patch)
        _scores(figure, answer)
        for row, (label, measure) in enumerate(_MEASURES):
            _ranking(figure, row, label, _ordered(answer.matches, measure), library)
        _extended(figure, query.patch, sought, best)
        _local(figure, query.patch, sought, best)
        _legend(figure, sought)
        figure.savefig(path, format="png", metadata={"Software": "autoloop"})


_MEASURES: Final = (
    ("MSE", "mse"),
    ("SSIM", "ssim"),
    ("EMD", "emd_angstrom_per_column"),
)


def _ordered(matches: Sequence[Match], measure: str) -> list[tuple[Match, str]]:
    """Return the best matches by a measure, and what it says of each."""
    sign, unit = (-1, "") if measure == "ssim" else (1, "")
    unit = " Å per column" if measure.startswith("emd") else unit
    found = sorted(matches, key=lambda m: sign * getattr(m.figures, measure))
    return [(m, f"{getattr(m.figures, measure):.3f}{unit}") for m in found[:_SHOWN]]


def _shown(library: Library, match: Match, sought: Kinds) -> _Shown:
    seen = library.view(match.index)
    return _Shown(
        match=match,
        image=_drawn(library, match),
        found=occurrences(match.query, sought, seen, match.pose),
        shared=shared_motifs(match.query, seen, match.pose),
    )


def _drawn(library: Library, match: Match) -> Array:
    """Return an entry as it lies in the image, in the image's units."""
    n, pose = len(match.query.patch), match.pose
    image = view_in_pose(library.view(match.index), pose, n, pose.blur)
    return matched(match.query, image)


def _panel(figure: Figure, row: int, column: int) -> Axes:
    """Add the panel of a row and column, from the upper left."""
    width, height = figure.get_size_inches()
    gap = 0.03
    top = _HEAD + row * (_PANEL + _TITLE) + _TITLE
    axis: Axes = figure.add_axes(
        (
            (_LABEL + column * _PANEL + gap) / width,
            1.0 - (top + _PANEL - gap) / height,
            (_PANEL - 2 * gap) / width,
            (_PANEL - 2 * gap) / height,
        )
    )
    axis.set_xticks([])
    axis.set_yticks([])
    return axis


def _limits(values: Array) -> Array:
    return np.asarray(np.quantile(values, (0.005, 0.995)))


def _image(axis: Axes, values: Array, limits: Array) -> None:
    axis.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1])


def _row_label(figure: Figure, row: int, text: str) -> None:
    height = figure.get_size_inches()[1]
    middle = _HEAD + row * (_PANEL + _TITLE) + _TITLE + _PANEL / 2
    figure.text(
        0.24 / figure.get_size_inches()[0],
        1.0 - middle / height,
        text,
        rotation=90,
        ha="center",
        va="center",
        multialignment="center",
    )


def _head(figure: Figure, name: str, answer: Answer) -> None:
    best = answer.matches[0]
    verdict = (
        f"{_entry(best)} fits, confidence {answer.confidence:.2f}"
        if answer.fits
        else f"nothing in the library fits; {_entry(best)} is the nearest"
    )
    figure.text(
        (_LABEL + 0.03) / figure.get_size_inches()[0],
        1.0 - 0.14 / figure.get_size_inches()[1],
        f"{name}: {verdict}",
        fontsize=9.5,
        va="top",
    )


def _query(figure: Figure, patch: Array) -> None:
    axis = _panel(figure, 0, 0)
    _image(axis, patch, _limits(patch))
    axis.set_title("the image", loc="left")
    scale_bar(axis, patch.shape, PIXEL)


def _scores(figure: Figure, answer: Answer) -> None:
    """Write down the order by all measures together, below the image."""
    axis = _panel(figure, 1, 0)
    axis.axis("off")
    axis.set_title("by all three together", loc="left")
    for rank, match in enumerate(answer.matches[:_SHOWN]):
        text = f"{rank + 1}  {_entry(match)}\n    score {match.score:.3f}"
        axis.text(0.0, 0.97 - 0.2 * rank, text, va="top", transform=axis.transAxes)


def _ranking(
    figure: Figure,
    row: int,
    label: str,
    ordered: Sequence[tuple[Match, str]],
    library: Library,
) -> None:
    """Draw a row of the best entries by one measure."""
    _row_label(figure, row, f"best by\n{label}")
    for rank, (match, value) in enumerate(ordered):
        axis = _panel(figure, row, 1 + rank)
        _image(axis, _drawn(library, match), _limits(match.query.patch))
        axis.set_title(f"{_entry(match)}\n{label} {value}", loc="left")


def _extended(
    figure: Figure, patch: Array, sought: Kinds, best: Sequence[_Shown]
) -> None:
    """Draw which columns belong to motifs that image and entries share."""
    _row_label(figure, 3, "extended\nmotifs")
    axis = _panel(figure, 3, 0)
    _image(axis, patch, _limits(patch))
    _mark(axis, len(patch), sought.positions, sought.labels)
    axis.set_title(f"the image has\n{len(sought)} kinds of column", loc="left")
    for rank, shown in enumerate(best):
        axis = _panel(figure, 3, 1 + rank)
        _image(axis, shown.image, _limits(patch))
        _mark(axis, len(patch), shown.found.positions, shown.found.labels)
        shared = shown.shared
        axis.set_title(
            f"{_entry(shown.match)}\nalike {100 * shared.local_share:.0f} %, joined "
            f"{100 * shared.extended_share:.0f} %",
            loc="left",
        )


def _local(figure: Figure, patch: Array, sought: Kinds, best: Sequence[_Shown]) -> None:
    """Draw the commonest neighbourhood of the image, and where entries have it."""
    _row_label(figure, 4, "local\ngeometry")
    if not len(sought):
        return
    own = sought.positions[sought.labels == 0]
    _close(figure, 0, patch, own[_middle(own)], 0, _limits(patch))
    for rank, shown in enumerate(best):
        place, kind, text = _example(shown.found, len(sought))
        axis = _close(figure, 1 + rank, shown.image, place, kind, _limits(patch))
        axis.set_title(text, loc="left")


def _example(found: Occurrences, n_kinds: int) -> tuple[Array, int, str]:
    """Return a column of an entry to be shown close by, its kind, and its turn."""
    for kind in range(n_kinds):
        have = np.flatnonzero(found.labels == kind)
        if len(have):
            k = have[_middle(found.positions[have])]
            turn = found.turn_deg[k]
            text = f"turned by {turn:.0f}°" if turn else "as it lies in the image"
            return found.positions[k], kind, text
    if not len(found.positions):
        return np.zeros(2), -1, "shows no columns"
    return found.positions[_middle(found.positions)], -1, "none like those of the image"


def _close(
    figure: Figure, column: int, values: Array, place: Array, kind: int, limits: Array
) -> Axes:
    """Draw the surroundings of one column."""
    axis = _panel(figure, 4, column)
    _image(axis, values, limits)
    x, y = to_pixels(place, len(values))
    reach = _NEAR / PIXEL
    axis.set_xlim(x - reach, x + reach)
    axis.set_ylim(y + reach, y - reach)
    colour = _COLOURS[kind] if kind >= 0 else "white"
    axis.plot([x], [y], "o", ms=9.0, mfc="none", mec=colour, mew=1.2)
    if column == 0:
        axis.set_title(f"{2 * _NEAR:.0f} Å of the image", loc="left")
    return axis


def _middle(positions: Array) -> int:
    return int(np.argmin(np.max(np.abs(positions), axis=1)))


def _mark(
    axis: Axes, n_pixels: int, positions: Array, labels: NDArray[np.int64]
) -> None:
    """Mark columns by their kind; those of none with a ring."""
    x, y = to_pixels(positions, n_pixels).T
    none = labels < 0
    axis.plot(x[none], y[none], "o", ms=2.6, mfc="none", mec="white", mew=0.5)
    for kind, colour in enumerate(_COLOURS):
        own = labels == kind
        axis.plot(x[own], y[own], "o", ms=2.6, mfc=colour, mec="black", mew=0.2)


def _legend(figure: Figure, sought: Kinds) -> None:
    width, height = figure.get_size_inches()
    entries = [
        (f"kind {kind + 1} of the image's columns", _COLOURS[kind])
        for kind in range(len(sought))
    ]
    x = (_LABEL + 0.05) / width
    for text, colour in [*entries, ("of no kind that the image has", "white")]:
        mark = figure.text(x, 0.29 / height, "●", color=colour, fontsize=8)
        if colour == "white":
            mark.set_text("○")
            mark.set_color("black")
        figure.text(x + 0.14 / width, 0.29 / height, text)
        x += (0.2 + 0.056 * len(text)) / width
    figure.text((_LABEL + 0.05) / width, 0.08 / height, _WORDS, fontsize=6.5)


_WORDS: Final = (
    "Alike: share of the image's columns whose neighbours, within 5 Å, the entry has "
    "too, under any turn. Joined: those that touch and share one turn."
)


def _entry(match: Match) -> str:
    h, k, m = match.name.zone_axis
    name = match.name.prototype
    if name != match.name.formula:
        name = f"{match.name.formula} ({name.split('_')[0]}…)"
    return f"{name} [{h} {k} {m}]"
