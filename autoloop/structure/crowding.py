"""The atoms of a boundary's core, in the order of how crowded they are.

An order that does not depend on how atoms are numbered: what takes a rank in it, from
the most crowded to the loosest, gives the same boundary for equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs, wrapped

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CORE: Final = 5.0
"""Half-height of the core, in which single atoms are edited [Å]."""
REACH: Final = 4.0
"""Distance within which a nearest neighbour is looked for where the bond length is not
known [Å]."""
BONDS: Final = 1.5
"""The same in bond lengths, where it is."""
_GOLDEN: Final = 0.6180339887498949  # its multiples spread evenly over [0, 1)


def in_core(bicrystal: Bicrystal) -> NDArray[np.bool_]:
    """Whether atoms are free and lie within `CORE` of the boundary."""
    height = bicrystal.positions[:, 1] - bicrystal.boundary_height
    return np.asarray((np.abs(height) < CORE) & (bicrystal.regions == FREE))


def nearest_distances(bicrystal: Bicrystal, reach: float = REACH) -> Array:
    """Return the distance of each atom to its nearest neighbour, to 1e-3 Å.

    Infinite where there is none within `reach` [Å].
    """
    pairs, distances = periodic_pairs(bicrystal.positions, bicrystal.cell, reach)
    nearest = np.full(len(bicrystal.numbers), np.inf)
    for column in (0, 1):
        np.minimum.at(nearest, pairs[:, column], np.round(distances, 3))
    return nearest


def core_by_crowding(bicrystal: Bicrystal, reach: float = REACH) -> Indices:
    """Return the core atoms, those with the closest neighbour first."""
    nearest = nearest_distances(bicrystal, reach)
    core = np.flatnonzero(in_core(bicrystal))
    x, y, z = np.round(wrapped(bicrystal.positions, bicrystal.cell)[core], 3).T
    return np.asarray(core[np.lexsort((z, y, x, nearest[core]))])


def ranked(items: Any, rank: float) -> Any:
    """Return the item at a rank in [0, 1) of an ordered sequence.

    Raises
    ------
    SimulationError
        If there is none.
    """
    if not len(items):
        raise SimulationError("empty: there is nothing here that could be edited")
    return items[min(int(float(rank) * len(items)), len(items) - 1)]


def spread_ranks(rank: float, count: int) -> Iterator[float]:
    """Yield `count` ranks, the first as given, the others spread over [0, 1)."""
    for k in range(count):
        yield (rank + k * _GOLDEN) % 1.0
