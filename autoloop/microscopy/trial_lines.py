"""Trial lines, and the lattices that the spectra of their sides suggest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal
from autoloop.errors import DataError
from autoloop.microscopy.known import Known, allowed_entries, allowed_turns
from autoloop.microscopy.lattice_search import Placement, View
from autoloop.microscopy.orientations import low_index_zones, same_orientation
from autoloop.microscopy.reflections import Array
from autoloop.microscopy.spectrum import (
    SECTOR,
    TURN,
    Catalogue,
    Hypothesis,
    Pattern,
    best_hypotheses,
    catalogue_of,
    padded_size,
    patterns_of,
    side_spectra,
)

PLACES: Final = (-0.25, -0.125, 0.0, 0.125, 0.25)
"""Where trial lines lie, in extents of the image along their normal."""

LEAST_SIDE: Final = 0.15
"""Share of the image on the smaller side of a trial line: less shows mostly noise."""

FINE_ENOUGH: Final = 260
"""Views of more pixels on an edge are searched at half the resolution."""

COARSE_PIXEL: Final = 0.5
"""If their pixels do not become larger than this [Å]: half the finest spacing."""

N_HYPOTHESES: Final = 3
"""Of each side that are fitted to the pixels."""


def patterns_for(
    crystals: tuple[Crystal, ...], known: Known, finest: float
) -> list[Pattern]:
    """Return the patterns of all zones of low indices, and of those given."""
    patterns: list[Pattern] = []
    for crystal in crystals:
        zones = set(low_index_zones(crystal))
        for grain in (known.upper, known.lower):
            zone = grain.zone_of(crystal)
            if zone is not None:
                zones.add(zone)
        patterns += patterns_of(crystal, tuple(sorted(zones)), finest)
    if not patterns:
        names = ", ".join(c.name for c in crystals)
        raise DataError(
            f"no zone of {names} shows a lattice at a resolution of {finest:.2f} Å; "
            f"give an image with finer pixels, or the right pixel_size"
        )
    return patterns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A line through the view, with what may lie above and below it, best first."""

    line: Placement
    upper: tuple[Hypothesis, ...]
    lower: tuple[Hypothesis, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """Scores of all entries of a catalogue on both sides of all lines.

    Attributes
    ----------
    catalogue, patterns
        What the scores stand for.
    lines : list of Placement
        One for each row of scores; a line comes twice, if two crystals may lie on
        either side of it.
    scores : list of (upper, lower) pairs of (n,) float arrays
        -inf where an entry is ruled out.
    """

    catalogue: Catalogue
    patterns: list[Pattern]
    lines: list[Placement]
    scores: list[tuple[Array, Array]]

    def best(self) -> Trial:
        """Return the line whose sides show lattices best."""
        totals = [float(u.max() + v.max()) for u, v in self.scores]
        k = int(np.argmax(totals))
        if not np.isfinite(totals[k]):
            raise DataError(
                "cannot index the grains: no zone of the crystals agrees with what is "
                "given of the grains; leave out zone_axis, up or rotation_deg"
            )
        return self._trial(k, N_HYPOTHESES)

    def best_of_two(self) -> Trial | None:
        """Return the line whose sides show two different lattices best.

        A strong lattice may show on both sides of most lines more than a weak one does
        on its own side.
        """
        found: tuple[float, Trial] | None = None
        for k in range(len(self.lines)):
            trial = self._trial(k, 2)
            for pair in product(trial.upper, trial.lower):
                total = pair[0].score + pair[1].score
                if found is not None and total <= found[0]:
                    continue
                if not same_orientation(pair[0].grain, pair[1].grain, TURN + 1.5):
                    found = (
                        total,
                        Trial(line=trial.line, upper=pair[:1], lower=pair[1:]),
                    )
        return None if found is None else found[1]

    def _trial(self, k: int, n: int) -> Trial:
        upper, lower = (
            best_hypotheses(self.catalogue, self.patterns, side, n)
            for side in self.scores[k]
        )
        return Trial(line=self.lines[k], upper=upper, lower=lower)


def searched(
    view: View,
    patterns: list[Pattern],
    crystals: tuple[Crystal, ...],
    known: Known,
    point: Array | None,
) -> Searched:
    """Compare the spectra on both sides of trial lines with all patterns.

    Parameters
    ----------
    view : View
        The micrograph.
    patterns : list of Pattern
        What may be seen.
    crystals : tuple of Crystal
        One, or two of which each lies on one side.
    known : Known
        Rules out some of it.
    point : (2,) float array, optional
        A point on the line [working pixels].
    """
    if min(view.shape) > FINE_ENOUGH and 2 * view.pixel_size <= COARSE_PIXEL:
        point = None if point is None else (point - 0.5) / 2
        view = view.coarser()
    size = padded_size(view)
    catalogue = catalogue_of(patterns, view, size)
    lines = _trial_lines(view, known, point)
    spectra = side_spectra(view, lines, size, catalogue.places)
    scores = np.asarray(catalogue.matrix @ spectra, dtype=np.float64)
    allowed = [allowed_turns(patterns, g) for g in (known.upper, known.lower)]
    ways = _first_entries(catalogue, patterns, crystals)
    kept: list[Placement] = []
    pairs: list[tuple[Array, Array]] = []
    for k, line in enumerate(lines):
        upper, lower = (
            np.where(
                allowed_entries(catalogue, turns, line.angle_deg),
                scores[:, 2 * k + i],
                -np.inf,
            )
            for i, turns in enumerate(allowed)
        )
        for first in ways:
            kept.append(line)
            pairs.append(
                (np.where(first, upper, -np.inf), np.where(~first, lower, -np.inf))
                if len(crystals) > 1
                else (upper, lower)
            )
    return Searched(catalogue=catalogue, patterns=patterns, lines=kept, scores=pairs)


def _first_entries(
    catalogue: Catalogue, patterns: list[Pattern], crystals: tuple[Crystal, ...]
) -> list[NDArray[np.bool_]]:
    """Return which entries may lie above, for each way to share out the crystals."""
    if len(crystals) == 1:
        return [np.ones(len(catalogue.pattern), dtype=bool)]
    names = np.array([p.grain.crystal.name for p in patterns])[catalogue.pattern]
    return [names == crystal.name for crystal in crystals]


def _trial_lines(view: View, known: Known, point: Array | None) -> list[Placement]:
    sectors = np.arange(-90.0 + SECTOR, 90.1, SECTOR)
    if known.angle_deg is not None:
        sectors = np.array([known.angle_deg])
    lines = []
    for sector in sectors:
        start = Placement(angle_deg=float(sector))
        if point is not None:
            height = float(start.frame(view).to_boundary(point)[1])
            lines.append(replace(start, offset=height))
            continue
        heights = start.heights(view)
        places = np.array(PLACES) * np.ptp(heights)
        above = np.array([np.mean(heights > place) for place in places])
        fair = (above > LEAST_SIDE) & (above < 1 - LEAST_SIDE)
        lines += [replace(start, offset=float(place)) for place in places[fair]]
    return lines
