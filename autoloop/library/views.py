"""What a crystal shows along its low-index directions: columns of one projected cell.

Directions that symmetry makes equal are one, and so are a direction and its opposite:
from behind an image is mirrored, and a search compares both hands.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Crystal
from autoloop.geometry import shortest_basis
from autoloop.imaging.probe import Microscope, scattering_power

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Axis = tuple[int, int, int]

MICROSCOPE: Final = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 150.0)
)
"""With which the library is simulated: a common setting. Contrast hardly depends on it,
and sharpness is fitted to each query."""
MAX_INDEX: Final = 1
"""Largest index of a direction."""
SAME_COLUMN: Final = 0.35
"""Atoms whose projections lie within this are one column [Å]."""
RESOLVED: Final = 0.8
"""Least distance of two visible columns [Å]: below it no microscope of today shows them
apart; the dumbbells of diamond have 0.89 Å."""
VISIBLE: Final = 0.1
"""Share of the brightest column from which a column counts as visible."""
LONGEST: Final = 20.0
"""Longest vector of the projected cell [Å]: the field then holds it twice."""
DEEPEST: Final = 30.0
"""Longest period along the beam [Å]: in deeper ones the columns are as thick as the
specimen before they repeat, and their contrast is an accident."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A crystal along a direction: columns of one cell, repeated in the plane.

    Attributes
    ----------
    prototype : str
        Name of the crystal.
    formula : str
        Reduced.
    zone_axis : (int, int, int)
        Towards the viewer, in the conventional cell.
    cell : (2, 2) float array
        Vectors of the projected cell as rows, x to the right, y up [Å].
    positions : (n, 2) float array
        Columns of one cell [Å].
    weights : (n,) float array
        Scattering power per length along the beam [Å].
    depth : float
        Period along the beam [Å].
    """

    prototype: str
    formula: str
    zone_axis: Axis
    cell: Array
    positions: Array
    weights: Array
    depth: float

    @property
    def name(self) -> str:
        """Prototype and direction, for people."""
        return f"{self.prototype} [{' '.join(map(str, self.zone_axis))}]"


def views_of(crystal: Crystal) -> list[View]:
    """Return the distinct views whose columns can be told apart."""
    seen = (view(crystal, axis) for axis in distinct_axes(crystal))
    return [found for found in seen if is_resolved(found)]


def distinct_axes(crystal: Crystal, max_index: int = MAX_INDEX) -> list[Axis]:
    """Return one of each set of low-index directions that symmetry makes equal.

    Examples
    --------
    >>> from autoloop.structure.crystals import find_crystal
    >>> distinct_axes(find_crystal("CdTe"))
    [(1, 1, 1), (1, 1, 0), (1, 0, 0)]
    """
    turns = _turns(crystal)
    steps = range(-max_index, max_index + 1)
    found = set()
    for axis in itertools.product(steps, repeat=3):
        if math.gcd(*axis) != 1:
            continue
        orbit = turns @ np.array(axis)
        both = np.unique(np.concatenate((orbit, -orbit)), axis=0)
        found.add(max(map(_simple, both)))
    return [axis for _, _, axis in sorted(found, reverse=True)]


def view(crystal: Crystal, axis: Axis) -> View:
    """Return what a crystal shows along a direction."""
    first, second = _plane(crystal, axis)
    across = _across(crystal, axis, first)
    cell = np.array([first, second]) @ crystal.cell @ across.T
    xy = crystal.scaled_positions @ crystal.cell @ across.T
    period = float(np.linalg.norm(np.array(axis) @ crystal.cell))
    power = scattering_power(MICROSCOPE, crystal.numbers) / period
    cell = _counterclockwise(*shortest_basis(*cell))
    positions, weights = _merged(cell, xy, power)
    return View(
        prototype=crystal.name,
        formula=_formula(crystal.numbers),
        zone_axis=axis,
        cell=cell,
        positions=positions,
        weights=weights,
        depth=period,
    )


def is_resolved(seen: View) -> bool:
    """Whether columns can be told apart, and an image holds the cell twice."""
    if np.linalg.norm(seen.cell, axis=1).max() > LONGEST or seen.depth > DEEPEST:
        return False
    bright = seen.positions[seen.weights >= VISIBLE * seen.weights.max()]
    near = _neighbours(seen.cell, bright)
    distances = np.linalg.norm(near[:, None] - bright[None], axis=2)
    return bool(np.min(distances[distances > 1e-6], initial=np.inf) >= RESOLVED)


def columns_within(seen: View, radius: float) -> Columns:
    """Return all columns within a distance of the origin, in both axes [Å]."""
    reach = radius + np.linalg.norm(seen.cell, axis=1).sum()
    counts = np.ceil(reach * np.linalg.norm(np.linalg.inv(seen.cell), axis=0))
    steps = np.array(list(itertools.product(*(np.arange(-n, n + 1) for n in counts))))
    positions = ((steps @ seen.cell)[:, None] + seen.positions).reshape(-1, 2)
    weights = np.tile(seen.weights, len(steps))
    inside = np.max(np.abs(positions), axis=1) <= radius
    return Columns(positions=positions[inside], intensities=weights[inside])


def _simple(axis: Indices) -> tuple[int, int, Axis]:
    """Return what makes the usual name of a direction the largest: low, positive."""
    h, k, m = (int(i) for i in axis)
    return -max(abs(h), abs(k), abs(m)), -sum(i < 0 for i in (h, k, m)), (h, k, m)


def _turns(crystal: Crystal) -> Indices:
    """Return the (k, 3, 3) rotations of the point group in fractional coordinates."""
    import spglib

    cell = (crystal.cell, crystal.scaled_positions, crystal.numbers)
    with warnings.catch_warnings():
        # spglib 2.7 and 2.8 warn of a change in how errors are told
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        found = spglib.get_symmetry(cell, symprec=1e-3)
    return np.asarray(found["rotations"], np.int64)


def _plane(crystal: Crystal, axis: Axis) -> tuple[Indices, Indices]:
    """Return two vectors that span the lattice together with the axis."""
    beam = np.array(axis) @ crystal.cell
    beam /= np.linalg.norm(beam)
    reach = max(map(abs, axis))
    steps = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    cartesian = steps @ crystal.cell
    lengths = np.linalg.norm(cartesian - np.outer(cartesian @ beam, beam), axis=1)
    steps = steps[np.argsort(lengths, kind="stable")]
    pairs = itertools.combinations(range(len(steps)), 2)
    for i, j in sorted(pairs, key=lambda pair: pair[1]):
        det = round(float(np.linalg.det(np.array([steps[i], steps[j], axis]))))
        if abs(det) == 1:
            return (steps[i], steps[j]) if det > 0 else (steps[j], steps[i])
    raise ValueError(f"no lattice vectors complete the axis {axis}")


def _across(crystal: Crystal, axis: Axis, first: Indices) -> Array:
    """Return x and y of the image as rows (2, 3); z points to the viewer."""
    z = np.array(axis) @ crystal.cell
    z /= np.linalg.norm(z)
    x = first @ crystal.cell
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    return np.array([x, np.cross(z, x)])


def _counterclockwise(first: Array, second: Array) -> Array:
    """Return two vectors of a plane as rows, the second to the left of the first."""
    turns = first[0] * second[1] - first[1] * second[0]
    return np.array([first, -second if turns < 0 else second])


def _merged(cell: Array, xy: Array, weights: Array) -> tuple[Array, Array]:
    """Gather atoms (n, 2) of a cell into columns."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    inverse, n = np.linalg.inv(cell), len(xy)
    xy = ((xy @ inverse) % 1.0) @ cell
    tree = cKDTree(xy)
    near = tree.query_ball_point(_neighbours(cell, xy), SAME_COLUMN)
    pairs = [(k % n, j) for k, found in enumerate(near) for j in found]
    i, j = np.array(pairs).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    n_columns, labels = connected_components(graph, directed=False)
    first = np.full(n_columns, -1)
    first[labels[::-1]] = np.arange(n)[::-1]
    steps = (xy - xy[first[labels]]) @ inverse
    steps = (steps - np.round(steps)) @ cell
    total = np.bincount(labels, weights, n_columns)
    mean = [np.bincount(labels, weights * s, n_columns) / total for s in steps.T]
    return xy[first] + np.column_stack(mean), np.asarray(total)


def _neighbours(cell: Array, xy: Array) -> Array:
    """Return points (n, 2) and those of the eight cells around, (9 n, 2)."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=2)))
    return np.asarray(((steps @ cell)[:, None] + xy).reshape(-1, 2))


def _formula(numbers: Indices) -> str:
    from ase.data import chemical_symbols

    counts = Counter(chemical_symbols[int(number)] for number in numbers)
    common = reduce(math.gcd, counts.values())
    return "".join(
        symbol + (str(n // common) if n > common else "")
        for symbol, n in sorted(counts.items())
    )
