"""Built-in crystals against tables of densities, coordination and symmetry."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.data import atomic_masses
from ase.io import write
from ase.neighborlist import neighbor_list

from autoloop.domain import Crystal
from autoloop.errors import ConfigError, DataError
from autoloop.structure.crystals import crystal_names, find_crystal

AMU_PER_A3_IN_G_PER_CM3 = 1.66053907


def as_atoms(crystal: Crystal) -> ase.Atoms:
    return ase.Atoms(
        crystal.numbers,
        cell=crystal.cell,
        scaled_positions=crystal.scaled_positions,
        pbc=True,
    )


@pytest.mark.parametrize("name", crystal_names())
def test_symmetry_maps_the_crystal_onto_itself(name: str) -> None:
    crystal = find_crystal(name)
    n = len(crystal.numbers)
    assert np.all((crystal.scaled_positions >= 0) & (crystal.scaled_positions < 1))
    np.testing.assert_allclose(crystal.translations[0], 0, atol=1e-9)
    for shift in crystal.translations:
        moved = crystal.scaled_positions + shift
        step = moved[:, None] - crystal.scaled_positions
        step -= np.round(step)
        hit = np.abs(step).max(axis=2) < 1e-6
        assert np.all(hit.sum(axis=1) == 1)
        np.testing.assert_array_equal(
            crystal.numbers[hit.argmax(axis=1)], crystal.numbers
        )
    assert n % len(crystal.translations) == 0
    # Proper rotations that map the lattice onto itself, a group.
    inverse = np.linalg.inv(crystal.cell)
    for turn in crystal.rotations:
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        indices = crystal.cell @ turn.T @ inverse
        np.testing.assert_allclose(indices, np.round(indices), atol=1e-6)
    product = np.einsum("aij,bjk->abik", crystal.rotations, crystal.rotations)
    distance = np.abs(product[:, :, None] - crystal.rotations).max(axis=(3, 4))
    assert np.all(distance.min(axis=2) < 1e-6)


@pytest.mark.parametrize(
    ("name", "density", "neighbours", "n_translations", "n_rotations"),
    # g/cm³: CRC Handbook of Chemistry and Physics.
    [
        ("Cu", 8.96, 12, 4, 24),
        ("Al", 2.70, 12, 4, 24),
        ("Ni", 8.90, 12, 4, 24),
        ("Au", 19.3, 12, 4, 24),
        ("Pb", 11.3, 12, 4, 24),
        ("Fe", 7.87, 8, 2, 24),
        ("W", 19.3, 8, 2, 24),
        ("Mo", 10.2, 8, 2, 24),
        ("Mg", 1.74, 12, 1, 12),
        ("Ti", 4.506, 12, 1, 12),
        ("Zr", 6.52, 12, 1, 12),
        ("C", 3.513, 4, 4, 24),
        ("Si", 2.3296, 4, 4, 24),
        ("Ge", 5.3234, 4, 4, 24),
        ("CdTe", 5.85, 4, 4, 12),
        ("GaAs", 5.3176, 4, 4, 12),
        ("ZnS", 4.04, 4, 4, 12),
        ("GaN", 6.1, 4, 1, 6),
        ("ZnO", 5.6, 4, 1, 6),
        ("NaCl", 2.17, 6, 4, 24),
        ("MgO", 3.6, 6, 4, 24),
    ],
)
def test_density_and_coordination(
    name: str, density: float, neighbours: int, n_translations: int, n_rotations: int
) -> None:
    crystal = find_crystal(name)
    mass = atomic_masses[crystal.numbers].sum() * AMU_PER_A3_IN_G_PER_CM3
    # Some figures of the table have two digits, and real crystals have pores.
    assert mass / abs(np.linalg.det(crystal.cell)) == pytest.approx(density, rel=0.015)
    atoms = as_atoms(crystal)
    shortest = neighbor_list("d", atoms, 4.0).min()
    # 5 %: the two distances of hcp metals differ by less, shells by more.
    counts = np.bincount(neighbor_list("i", atoms, 1.05 * shortest))
    assert counts.tolist() == [neighbours] * len(atoms)
    assert len(crystal.translations) == n_translations
    assert len(crystal.rotations) == n_rotations


def test_perovskite_has_its_sites() -> None:
    atoms = as_atoms(find_crystal("SrTiO3"))
    for symbol, distance, count in (("Ti", 1.9525, 6), ("Sr", 2.761, 12)):
        i, j, d = neighbor_list("ijd", atoms, distance * 1.01)
        near = (atoms.numbers[i] == ase.Atoms(symbol).numbers[0]) & (
            atoms.numbers[j] == 8
        )
        assert near.sum() == count
        assert d[near].max() == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize("suffix", ["cif", "vasp", "extxyz"])
def test_a_file_gives_the_same_crystal(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"mine.{suffix}", bulk("CdTe", "zincblende", a=6.482, cubic=True))
    mine = find_crystal(f"mine.{suffix}", base=tmp_path)
    known = find_crystal("CdTe")
    np.testing.assert_allclose(mine.cell, known.cell, atol=1e-6)
    assert mine.species == known.species
    assert len(mine.translations) == 4
    assert len(mine.rotations) == 12


def test_a_primitive_cell_has_one_translation_and_all_rotations(tmp_path: Path) -> None:
    write(tmp_path / "primitive.vasp", bulk("Cu", "fcc", a=3.6149))
    crystal = find_crystal(str(tmp_path / "primitive.vasp"))
    assert len(crystal.translations) == 1
    assert len(crystal.rotations) == 24


@pytest.mark.parametrize("name", ["Culprit", "cu", "CdTE"])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown crystal '{name}'.*give a struct"):
        find_crystal(name)


def test_a_slip_is_recognised() -> None:
    with pytest.raises(ConfigError, match="did you mean 'CdTe'"):
        find_crystal("CdTee")


def test_files_without_a_crystal_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.cif").write_text("no structure")
    with pytest.raises(DataError, match="ASE cannot read this"):
        find_crystal("text.cif", base=tmp_path)
    write(tmp_path / "water.xyz", molecule("H2O"))
    with pytest.raises(DataError, match="no periodic cell"):
        find_crystal("water.xyz", base=tmp_path)
    twice = bulk("Cu", cubic=True)
    twice += twice
    write(tmp_path / "twice.extxyz", twice)
    with pytest.raises(DataError, match="on top of each other"):
        find_crystal("twice.extxyz", base=tmp_path)
