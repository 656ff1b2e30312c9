"""What other programs read in exported structures: ASE, pymatgen, OVITO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from autoloop.domain import Bicrystal
from autoloop.report.export import (
    SUFFIXES,
    periodic_slab,
    to_atoms,
    write_structure,
)

CELLS = {
    "rectangular": [[11.43, 0.0, 0.0], [0.0, 41.7, 0.0], [0.0, 0.0, 3.615]],
    "leaning along the beam": [
        [5.857, 0.0, 3.381],
        [0.0, 41.7, 0.0],
        [0.0, 0.0, 6.763],
    ],
    "leaning along the boundary": [
        [11.43, 0.0, 0.0],
        [0.0, 41.7, 0.0],
        [-4.2, 0.0, 6.615],
    ],
}
"""Those with the first vector along z too are what the search itself makes."""

TURNED = ("cif", "lammps-data")
"""Formats that know lengths and angles, or a first vector along x, and no frame."""

PROMISED = 1e-4  # [Å]


class Found(NamedTuple):
    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None  # pymatgen's reader of xyz knows molecules only


def by_ase(path: Path, format: str) -> Found:
    import ase.io

    known: dict[str, dict[str, Any]] = {
        "poscar": {"format": "vasp"},
        "lammps-data": {
            "format": "lammps-data",
            "atom_style": "atomic",
            "units": "metal",
        },
    }
    atoms = ase.io.read(path, **known.get(format, {"format": format}))
    return Found(atoms.numbers, atoms.positions, np.array(atoms.cell))


def by_pymatgen(path: Path, format: str) -> Found:
    pytest.importorskip("pymatgen.core")
    if format == "extxyz":
        from pymatgen.io.xyz import XYZ

        molecule = XYZ.from_file(str(path)).molecule
        numbers = np.array([site.specie.Z for site in molecule])
        return Found(numbers, molecule.cart_coords, None)
    structure = _pymatgen_structure(path, format)
    numbers = np.array([site.specie.Z for site in structure])
    return Found(numbers, structure.cart_coords, structure.lattice.matrix)


def _pymatgen_structure(path: Path, format: str) -> Any:
    from pymatgen.core import Structure
    from pymatgen.io.lammps.data import LammpsData
    from pymatgen.io.vasp import Poscar

    if format == "cif":
        return Structure.from_file(str(path))
    if format == "poscar":
        return Poscar.from_file(str(path)).structure
    return LammpsData.from_file(str(path), atom_style="atomic").structure


def by_ovito(path: Path, format: str) -> Found:
    io = pytest.importorskip("ovito.io")
    from ase.data import atomic_numbers

    data = io.import_file(str(path)).compute()
    kinds = data.particles.particle_types
    names = {kind.id: kind.name for kind in kinds.types}
    return Found(
        np.array([atomic_numbers[names[int(kind)]] for kind in kinds]),
        np.array(data.particles.positions),
        np.array(data.cell[:, :3]).T,
    )


def oblique(cell: list[list[float]], n: int = 17) -> Bicrystal:
    """A slab of two species, 20 Å thick, inside a cell with vacuum along y."""
    rng = np.random.default_rng(4)
    vectors = np.array(cell)
    share = rng.random((n, 3))
    positions = share[:, [0]] * vectors[0] + share[:, [2]] * vectors[2]
    positions[:, 1] = 8.0 + 20.0 * share[:, 1]
    return Bicrystal(
        numbers=rng.choice([48, 52], n),
        positions=positions,
        cell=vectors,
        boundary_height=18.0,
        grains=np.where(positions[:, 1] > 18.0, 1, 2),
        regions=np.zeros(n, int),
    )


def farthest(found: Found, numbers: np.ndarray, positions: np.ndarray) -> float:
    """Distance [Å] of the worst pair, each atom found with one of its species.

    Across cell faces: files may hold another periodic image.
    """
    left = list(range(len(found.numbers)))
    worst = 0.0
    for number, position in zip(numbers, positions, strict=True):
        away = found.positions[left] - position
        if found.cell is not None:
            shares = away @ np.linalg.inv(found.cell)
            away = (shares - np.round(shares)) @ found.cell
        distances = np.linalg.norm(away, axis=1)
        distances[found.numbers[left] != number] = np.inf
        nearest = int(distances.argmin())
        worst = max(worst, float(distances[nearest]))
        del left[nearest]
    return worst


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("read", [by_ase, by_pymatgen, by_ovito])
def test_species_and_positions_come_back(
    read: Callable[[Path, str], Found], format: str, cell: str, tmp_path: Path
) -> None:
    bicrystal = oblique(CELLS[cell])
    path = tmp_path / f"structure{SUFFIXES[format]}"
    write_structure(path, bicrystal, format)
    atoms = to_atoms(bicrystal)
    written = atoms if format == "extxyz" else periodic_slab(atoms)
    found = read(path, format)
    assert len(found.numbers) == len(written)
    if format in TURNED and found.cell is not None:
        # Lengths and angles are kept; how the axes lie is the reader's choice.
        vectors = np.array(written.cell)
        np.testing.assert_allclose(
            found.cell @ found.cell.T, vectors @ vectors.T, rtol=1e-6, atol=1e-6
        )
        turned = found.positions @ np.linalg.inv(found.cell) @ vectors
        found = Found(found.numbers, turned, vectors)
    elif found.cell is not None:
        np.testing.assert_allclose(found.cell, written.cell, atol=PROMISED)
    assert farthest(found, written.numbers, written.positions) < PROMISED


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_rectangular_cell_keeps_the_frame(format: str, tmp_path: Path) -> None:
    """Nothing is turned where every format has a place for the frame."""
    bicrystal = oblique(CELLS["rectangular"])
    path = tmp_path / f"structure{SUFFIXES[format]}"
    write_structure(path, bicrystal, format)
    found = by_ase(path, format)
    assert farthest(found, bicrystal.numbers, bicrystal.positions) < PROMISED


def test_the_comparison_sees_an_exchange_and_a_shift() -> None:
    bicrystal = oblique(CELLS["rectangular"])
    numbers, positions = bicrystal.numbers, bicrystal.positions
    cell = np.array(bicrystal.cell)
    exchanged = numbers.copy()
    first, second = np.flatnonzero(numbers == 48)[0], np.flatnonzero(numbers == 52)[0]
    exchanged[[first, second]] = exchanged[[second, first]]
    assert farthest(Found(exchanged, positions, cell), numbers, positions) > 0.1
    shifted = positions + np.array([0.0, 2e-4, 0.0])
    assert farthest(Found(numbers, shifted, cell), numbers, positions) > PROMISED
