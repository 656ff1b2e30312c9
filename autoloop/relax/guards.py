"""What is no possible boundary: refused before it is relaxed, or after.

Limits are shares of natural distances, those of the perfect crystal in the blocks. They
lie far outside what 1500 random boundaries of Cu, Si and CdTe show once relaxed:
nearest neighbours at 0.91 to 1.14 natural distances, atoms near the blocks displaced by
at most 0.07 Å. Before relaxation the closest pairs had 0.38 natural distances, and
every one of them relaxed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import minimum_image, periodic_pairs

Array = NDArray[np.float64]

TOO_CLOSE: Final = 0.30
"""Pairs closer than this share of their natural distance are pushed apart first."""
APART: Final = 0.50
"""The share to which they are pushed."""
COLLAPSED: Final = 0.60
"""No relaxed pair is closer: the potential has no meaning there."""
EVAPORATED: Final = 1.5
"""An atom without a neighbour within this share has left the crystal."""
WRONG_CONTACT: Final = 0.80
"""A pair closer than this is in contact, which the crystal's own never are."""
DISTURBED: Final = 0.30
"""Energy by which an atom next to a block may differ from those inside it [eV]."""

_STEP: Final = 0.2  # [Å]: largest move of an atom in one round of pushing
_ROUNDS: Final = 60
_SHELL: Final = 5.0  # [Å]: holds neighbours of both like and unlike species
_OUTER: Final = 2.0 / 3.0  # of the way to a block: from there grains should be perfect

Natural = Mapping[tuple[int, int], float]


def natural_distances(bicrystal: Bicrystal) -> dict[tuple[int, int], float]:
    """Return how far apart the species are in the blocks, each from the next [Å].

    The median over atoms, so that a faulty block does not set its own measure; of
    species that do not meet there, the sum of their covalent radii. Keys are in both
    orders.
    """
    from ase.data import covalent_radii

    species = np.unique(bicrystal.numbers).tolist()
    block = np.flatnonzero(bicrystal.regions != FREE)
    numbers = bicrystal.numbers[block]
    pairs, distances = periodic_pairs(
        bicrystal.positions[block], bicrystal.cell, _SHELL
    )
    natural: dict[tuple[int, int], float] = {}
    for a, b in itertools.combinations_with_replacement(species, 2):
        nearest = np.full(len(block), np.inf)
        for here, there in ((0, 1), (1, 0)):
            of_kind = (numbers[pairs[:, here]] == a) & (numbers[pairs[:, there]] == b)
            np.minimum.at(nearest, pairs[of_kind, here], distances[of_kind])
        met = nearest[np.isfinite(nearest)]
        radii = float(covalent_radii[a] + covalent_radii[b])
        natural[a, b] = natural[b, a] = float(np.median(met)) if len(met) else radii
    return natural


def refuse_not_finite(positions: Array) -> None:
    """Raise when a position is not a number."""
    if not np.isfinite(positions).all():
        raise SimulationError("not_finite: positions before relaxation")


def push_apart(bicrystal: Bicrystal, natural: Natural) -> Bicrystal:
    """Move free atoms that overlap apart, in small steps.

    Singular forces would throw them anywhere, or hold the minimiser for ever.

    Parameters
    ----------
    bicrystal : Bicrystal
        Unrelaxed.
    natural : mapping
        Of `natural_distances`.

    Returns
    -------
    Bicrystal
        The same object where nothing overlaps.

    Raises
    ------
    SimulationError
        ``overlap``, if there is no room or the overlap is between blocks.
    """
    pairs, shares = _shares(bicrystal, bicrystal.positions, natural, TOO_CLOSE)
    if not len(pairs):
        return bicrystal
    positions = bicrystal.positions.copy()
    for _ in range(_ROUNDS):
        pairs, shares = _shares(bicrystal, positions, natural, APART)
        if not len(pairs):
            return replace(bicrystal, positions=positions)
        positions += _push(bicrystal, positions, pairs, natural)
    pairs, shares = _shares(bicrystal, positions, natural, TOO_CLOSE)
    if not len(pairs):
        return replace(bicrystal, positions=positions)
    atom, other = pairs[np.argmin(shares)]
    x, y, z = bicrystal.positions[atom]
    distance = shares.min() * natural[_kinds(bicrystal, atom, other)]
    raise SimulationError(
        f"overlap: atom {atom} at ({x:.2f}, {y:.2f}, {z:.2f}) Å has a neighbour at "
        f"{distance:.2f} Å, and there is no room to push them apart"
    )


def refuse_impossible(
    bicrystal: Bicrystal, energies: Array, natural: Natural
) -> tuple[str, ...]:
    """Judge a relaxed structure.

    Parameters
    ----------
    bicrystal : Bicrystal
        Relaxed.
    energies : (n,) float array
        Energy of each atom [eV].
    natural : mapping
        Of `natural_distances`.

    Returns
    -------
    tuple of str
        Flags: contacts of species that do not touch in the crystal.

    Raises
    ------
    SimulationError
        ``evaporated``, ``collapsed`` or ``into_grain``.
    """
    pairs, shares = _shares(bicrystal, bicrystal.positions, natural, EVAPORATED)
    _refuse_lonely(bicrystal, pairs, shares)
    closest = int(np.argmin(shares)) if len(shares) else 0
    if len(shares) and shares[closest] < COLLAPSED:
        i, j = pairs[closest]
        raise SimulationError(
            f"collapsed: atoms {i} and {j} are {shares[closest]:.2f} of their natural "
            f"distance apart, at least {COLLAPSED:g} is plausible"
        )
    if np.isfinite(energies).all():  # a model may have a total energy only
        _refuse_disturbed(bicrystal, energies)
    return _wrong_contacts(bicrystal, pairs, shares, natural)


def _shares(
    bicrystal: Bicrystal, positions: Array, natural: Natural, limit: float
) -> tuple[NDArray[np.int64], Array]:
    """Return pairs closer than a share of their natural distance, and their shares."""
    pairs, distances = periodic_pairs(
        positions, bicrystal.cell, limit * max(natural.values())
    )
    species = np.unique(bicrystal.numbers)
    table = np.array([[natural[int(a), int(b)] for b in species] for a in species])
    kinds = np.searchsorted(species, bicrystal.numbers)
    shares = distances / table[kinds[pairs[:, 0]], kinds[pairs[:, 1]]]
    near = shares < limit
    return pairs[near], np.asarray(shares[near])


def _kinds(bicrystal: Bicrystal, first: int, second: int) -> tuple[int, int]:
    return int(bicrystal.numbers[first]), int(bicrystal.numbers[second])


def _push(
    bicrystal: Bicrystal,
    positions: Array,
    pairs: NDArray[np.int64],
    natural: Natural,
) -> Array:
    """Return one round of moves, (n, 3) [Å]."""
    free = bicrystal.regions == FREE
    moves = np.zeros_like(positions)
    steps = minimum_image(
        positions[pairs[:, 1]] - positions[pairs[:, 0]], bicrystal.cell
    )
    for (i, j), step in zip(pairs, steps, strict=True):
        length = float(np.linalg.norm(step))
        # Coincident atoms part in a direction of their own, the same at every run.
        apart = step / length if length > 1e-3 else _direction(int(i))
        lacking = 1.02 * APART * natural[_kinds(bicrystal, i, j)] - length
        n_free = int(free[i]) + int(free[j])
        if n_free:
            moves[i] -= apart * (lacking / n_free) * free[i]
            moves[j] += apart * (lacking / n_free) * free[j]
    length = np.linalg.norm(moves, axis=1, keepdims=True)
    return np.asarray(moves * np.minimum(1.0, _STEP / np.maximum(length, 1e-12)))


def _direction(index: int) -> Array:
    """Return a unit vector; those of successive numbers are spread over the sphere."""
    z = 2.0 * ((index * 0.6180339887498949) % 1.0) - 1.0
    angle = 2.399963229728653 * index
    r = np.sqrt(1.0 - z * z)
    return np.array([r * np.cos(angle), r * np.sin(angle), z])


def _refuse_lonely(
    bicrystal: Bicrystal, pairs: NDArray[np.int64], shares: Array
) -> None:
    bonded = np.zeros(len(bicrystal.numbers), bool)
    bonded[pairs.ravel()] = True
    free = bicrystal.regions == FREE
    y = bicrystal.positions[:, 1]
    outside = np.zeros(len(y), bool)
    if not free.all():
        solid = y[~free]
        outside = (y > solid.max() + 0.5) | (y < solid.min() - 0.5)
    lost = np.flatnonzero(free & (~bonded | outside))
    if len(lost):
        x, height, z = bicrystal.positions[lost[0]]
        raise SimulationError(
            f"evaporated: atom {lost[0]} at ({x:.2f}, {height:.2f}, {z:.2f}) Å has "
            + (
                f"no neighbour within {EVAPORATED:g} natural distances"
                if not bonded[lost[0]]
                else "left the slab"
            )
        )


def _refuse_disturbed(bicrystal: Bicrystal, energies: Array) -> None:
    """Raise when a grain is not perfect where it meets its block.

    Then an atom was driven into it, or its disturbance is cut off by the block: either
    way the energy is not that of a boundary.
    """
    y, middle = bicrystal.positions[:, 1], bicrystal.boundary_height
    for region, sign in ((UPPER_BLOCK, 1.0), (LOWER_BLOCK, -1.0)):
        block = bicrystal.regions == region
        if not block.any():
            continue
        height = sign * (y - middle)
        edge, end = height[block].min(), height[block].max()
        # The third next to the free atoms: further from the surface than it is felt.
        inner = block & (height < edge + (end - edge) / 3)
        outer = (bicrystal.regions == FREE) & (height > _OUTER * edge)
        for z in np.unique(bicrystal.numbers[outer]):
            own = energies[inner & (bicrystal.numbers == z)]
            seen = np.where(outer & (bicrystal.numbers == z), energies, np.nan)
            low, high = (own.min(), own.max()) if len(own) else (np.inf, -np.inf)
            off = np.fmax(low - seen, seen - high)
            worst = int(np.nanargmax(off))
            if off[worst] > DISTURBED:
                raise SimulationError(
                    f"into_grain: atom {worst}, {height[worst]:.1f} Å from the "
                    f"boundary, differs by {off[worst]:.2f} eV from the perfect grain; "
                    f"at most {DISTURBED:g} eV is plausible there"
                )


def _wrong_contacts(
    bicrystal: Bicrystal,
    pairs: NDArray[np.int64],
    shares: Array,
    natural: Natural,
) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    bond = min(natural.values())
    numbers = np.sort(bicrystal.numbers[pairs], axis=1)
    flags = []
    for a, b in sorted({(int(i), int(j)) for i, j in numbers[shares < WRONG_CONTACT]}):
        own = (numbers == (a, b)).all(axis=1) & (shares < WRONG_CONTACT)
        if natural[a, b] < 1.2 * bond:
            continue  # neighbours in the crystal too
        nearest = float(shares[own].min()) * natural[a, b]
        flags.append(
            f"wrong_species: {int(own.sum())} {chemical_symbols[a]}-"
            f"{chemical_symbols[b]} contacts, the shortest {nearest:.2f} Å"
        )
    return tuple(flags)
