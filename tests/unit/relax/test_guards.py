"""Each impossible structure is refused by its name; odd ones are flagged."""

from dataclasses import replace

import numpy as np
import pytest

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs
from autoloop.relax.guards import (
    APART,
    TOO_CLOSE,
    natural_distances,
    push_apart,
    refuse_impossible,
)

A = 6.478
BOND = A * np.sqrt(3) / 4


def zincblende():
    """Return a perfect (001) slab of CdTe, 60 Å thick, its middle half free."""
    from ase.build import bulk, make_supercell

    atoms = make_supercell(
        bulk("CdTe", "zincblende", a=A, cubic=True), np.diag([2, 9, 2])
    )
    y = atoms.positions[:, 1]
    regions = np.where(y < 15, LOWER_BLOCK, np.where(y > 43, UPPER_BLOCK, FREE))
    return Bicrystal(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell) + np.diag([0.0, 20.0, 0.0]),
        boundary_height=29.0,
        grains=np.where(y > 29, 1, 2),
        regions=regions,
    )


SLAB = zincblende()
CALM = np.where(SLAB.numbers == 48, -2.0, -2.3)
NATURAL = natural_distances(SLAB)


def judge(positions=None, energies=CALM, numbers=None):
    changed = replace(
        SLAB,
        positions=SLAB.positions if positions is None else positions,
        numbers=SLAB.numbers if numbers is None else numbers,
    )
    return refuse_impossible(changed, energies, NATURAL)


def nearest(height, species=None):
    """Return the index of the free atom nearest to a height."""
    gap = np.abs(SLAB.positions[:, 1] - height)
    usable = SLAB.regions == FREE
    if species:
        usable &= SLAB.numbers == species
    return int(np.argmin(np.where(usable, gap, np.inf)))


def test_natural_distances_are_those_of_the_crystal():
    assert NATURAL[48, 52] == pytest.approx(BOND)
    assert NATURAL[48, 48] == pytest.approx(A / np.sqrt(2))
    assert NATURAL[52, 52] == pytest.approx(A / np.sqrt(2))


def test_perfect_crystal_passes_without_a_flag():
    assert judge() == ()
    assert push_apart(SLAB, NATURAL) is SLAB


def test_atom_in_the_vacuum_has_evaporated():
    positions = SLAB.positions.copy()
    positions[nearest(29.0), 1] = SLAB.positions[:, 1].max() + 9.0
    with pytest.raises(SimulationError, match=r"^evaporated: .* no neighbour"):
        judge(positions)


def test_atom_on_the_surface_has_left_the_slab():
    positions = SLAB.positions.copy()
    top = np.argmax(SLAB.positions[:, 1])
    positions[nearest(29.0)] = positions[top] + [0.0, BOND, 0.0]
    with pytest.raises(SimulationError, match=r"^evaporated: .* left the slab"):
        judge(positions)


def test_pair_in_a_hole_of_the_potential():
    positions = SLAB.positions.copy()
    first = nearest(29.0)
    pairs, _ = periodic_pairs(positions, SLAB.cell, 1.1 * BOND)
    second = next(j if i == first else i for i, j in pairs if first in (i, j))
    positions[first] += 0.5 * (positions[second] - positions[first])
    with pytest.raises(SimulationError, match=r"^collapsed: "):
        judge(positions)


def test_defect_next_to_a_block_is_no_boundary():
    energies = CALM.copy()
    energies[nearest(41.0)] += 0.5
    with pytest.raises(SimulationError, match=r"^into_grain: .* 0\.50 eV"):
        judge(energies=energies)
    energies = CALM.copy()
    energies[nearest(29.0)] += 0.5  # at the boundary it is its own business
    assert judge(energies=energies) == ()


def test_foreign_atom_next_to_a_block_is_no_boundary():
    numbers = SLAB.numbers.copy()
    numbers[nearest(41.0)] = 30
    natural = natural_distances(replace(SLAB, numbers=numbers))
    with pytest.raises(SimulationError, match=r"^into_grain: "):
        refuse_impossible(replace(SLAB, numbers=numbers), CALM, natural)


def test_wrong_species_in_contact_are_flagged_and_kept():
    numbers = SLAB.numbers.copy()
    numbers[nearest(29.0, 48)] = 52  # an antisite: four tellurium neighbours
    assert judge(numbers=numbers) == (
        f"wrong_species: 4 Te-Te contacts, the shortest {BOND:.2f} Å",
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.25])
def test_overlaps_are_pushed_apart_and_blocks_stay(n, gap):
    """One or more atoms put onto others; whatever else is far away does not move."""
    positions = SLAB.positions.copy()
    heights = [29.0, 24.0, 34.0][:n]
    for height in heights:
        first = nearest(height)
        other = int(np.argsort(np.linalg.norm(positions - positions[first], axis=1))[1])
        positions[first] = positions[other] + [gap * BOND, 0.0, 0.0]
    pushed = push_apart(replace(SLAB, positions=positions), NATURAL)
    pairs, distances = periodic_pairs(pushed.positions, SLAB.cell, BOND)
    shares = distances / [
        NATURAL[int(SLAB.numbers[i]), int(SLAB.numbers[j])] for i, j in pairs
    ]
    assert shares.min() >= TOO_CLOSE
    assert shares.min() >= 0.98 * APART
    moved = np.linalg.norm(pushed.positions - positions, axis=1)
    assert moved[SLAB.regions != FREE].max() == 0.0
    assert np.sum(moved > 0) <= 6 * n
    again = push_apart(replace(SLAB, positions=positions), NATURAL)
    assert np.array_equal(again.positions, pushed.positions)
