"""Which lattice lies on which side of a line, or why that cannot be told."""

from __future__ import annotations

from typing import Final

from autoloop.errors import DataError
from autoloop.microscopy.candidates import Judged, judged, rival
from autoloop.microscopy.known import Known, KnownGrain
from autoloop.microscopy.lattice_search import Placement, View
from autoloop.microscopy.orientations import same_orientation
from autoloop.microscopy.spectrum import Hypothesis
from autoloop.microscopy.trial_lines import Searched, Trial

LEAST_TURN: Final = 1.0
"""Lattices less turned against each other than this make no boundary [degrees]."""

TIE: Final = 0.9
"""Another lattice that explains this share of what the best one does is as good."""


def two_lattices(
    view: View, found: Searched, known: Known, finest: float
) -> tuple[Placement, tuple[list[Judged], list[Judged]]]:
    """Return a line and what lies on its sides: two different lattices."""
    trial = found.best()
    sides = _both_indexed(view, trial, known, finest)
    if not _alike(sides):
        return trial.line, sides
    second = found.best_of_two()
    if second is not None:
        try:
            others = _both_indexed(view, second, known, finest)
        except DataError:
            others = sides
        if not _alike(others):
            return second.line, others
    grain = sides[0][0].grain
    raise DataError(
        f"no boundary found: {grain.crystal.name} along {list(grain.zone_axis)} in one "
        f"orientation is all that can be indexed, as in one grain; a second lattice, "
        f"turned by more than {LEAST_TURN:g} degree, is not seen; give a crop with the "
        f"boundary in its middle, or both grains' zone_axis, up and rotation_deg"
    )


def _alike(sides: tuple[list[Judged], list[Judged]]) -> bool:
    return same_orientation(sides[0][0].grain, sides[1][0].grain, LEAST_TURN)


def _both_indexed(
    view: View, trial: Trial, known: Known, finest: float
) -> tuple[list[Judged], list[Judged]]:
    upper = _indexed(view, trial.line, 1, trial.upper, finest, known.upper)
    lower = _indexed(view, trial.line, -1, trial.lower, finest, known.lower)
    return upper, lower


def _indexed(
    view: View,
    line: Placement,
    side: int,
    hypotheses: tuple[Hypothesis, ...],
    finest: float,
    known: KnownGrain,
) -> list[Judged]:
    """Fit the hypotheses of a side; refuse if none is certain."""
    name = "upper" if side > 0 else "lower"
    found = judged(view, line, side, hypotheses, finest)
    crystals = " or ".join(sorted({h.grain.crystal.name for h in hypotheses}))
    remedy = (
        f"give the {name} grain's zone_axis, up and rotation_deg, a crop with the "
        f"boundary in its middle, or the right pixel_size"
    )
    if not found or found[0].quality <= 0:
        raise DataError(
            f"cannot index the {name} grain: no zone of {crystals} fits its side of "
            f"the image within 6 % of the pixel size; {remedy}"
        )
    best = found[0]
    zone = list(best.grain.zone_axis)
    if best.rings < (2 if known.zone_axis is None else 1):
        raise DataError(
            f"cannot index the {name} grain: {'only one' if best.rings else 'no'} ring "
            f"of reflections stands out of the noise, which does not tell {crystals} "
            f"along {zone} from other zones; {remedy}"
        )
    other = rival(found)
    if other is not None and other.quality > TIE * best.quality:
        raise DataError(
            f"cannot index the {name} grain: {best.grain.crystal.name} along {zone} "
            f"and {other.grain.crystal.name} along {list(other.grain.zone_axis)} "
            f"explain it alike; {remedy}"
        )
    return found
