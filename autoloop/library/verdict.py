"""Whether the best entry is what an image shows, or the nearest of what there is.

No single figure tells. A clean image of another crystal may be explained better by its
nearest entry than a real image, with drift and aberrations, by its own. So several are
weighed together: the power that is left unexplained; how much more the next entry
leaves; the strain and the change of size that the entry needs; and whether it is one of
the common crystals.

The weights are those of a logistic regression on simulated targets, half of which have
their own structure left out (``experiments/benchmarks/library.py --tune``). How often
they are right was measured with other structures (``docs/library.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEIGHTS: Final = np.array([-1.36, 2.03, -0.98, -1.13])
"""Of `terms`."""
OFFSET: Final = -4.62
COMMON: Final = 2.5
"""Logarithm of the odds, 12, by which a built-in crystal is likelier than others: about
half of what is looked at under a microscope, but 4 % of the entries. They are as rarely
the nearest to what is not there: 3 % of the targets of the regression."""
FITS: Final = 0.55
"""Least chance at which an entry is said to fit: of 300 targets whose structure was
left out 90.7 % are below, of as many whose entry is there none (docs/library.md)."""
LEAST: Final = 0.01
"""Added to shares of power: differences below it are of the method."""
LARGEST_SIZE: Final = 0.06
"""Beyond it all sizes are equally unlikely."""
USUAL_SIZE: Final = 0.02
"""Taken where the pixel size is not known: says neither yes nor no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of the best entry.

    Attributes
    ----------
    unexplained : float
        Share of the power of all peaks that it does not explain.
    rival : float
        The least share that another entry leaves.
    strain : float
        Logarithm of the ratio of both stretches of its pose.
    size : float, optional
        Logarithm of its scale; None where the pixel size is not known.
    common : bool
        Whether it is a built-in crystal.
    """

    unexplained: float
    rival: float
    strain: float
    size: float | None
    common: bool


def terms(evidence: Evidence) -> Array:
    """Return the figures (4,) that are weighed."""
    own = np.log(max(0.0, evidence.unexplained) + LEAST)
    other = np.log(max(0.0, evidence.rival) + LEAST)
    size = USUAL_SIZE if evidence.size is None else abs(evidence.size)
    return np.array(
        [
            own,
            other - own,
            100.0 * evidence.strain**2,
            1000.0 * min(size, LARGEST_SIZE) ** 2,
        ]
    )


def chance(evidence: Evidence) -> float:
    """Return the chance that the entry is what the image shows.

    Of as many images whose structure is in the library as of others.
    """
    odds = WEIGHTS @ terms(evidence) + OFFSET + COMMON * evidence.common
    return float(1.0 / (1.0 + np.exp(-odds)))
