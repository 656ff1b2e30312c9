from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms

from autoloop.domain import Bicrystal
from autoloop.errors import ConfigError, JournalError
from autoloop.protocols import Outcome
from autoloop.report.export import (
    SUFFIXES,
    export_structure,
    periodic_slab,
    to_atoms,
    write_structure,
)

READERS: dict[str, dict[str, Any]] = {
    "cif": {"format": "cif"},
    "poscar": {"format": "vasp"},
    "extxyz": {"format": "extxyz"},
    "lammps-data": {"format": "lammps-data", "atom_style": "atomic", "units": "metal"},
}


def in_order(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Species and positions in an order that does not depend on that of the file."""
    order = np.lexsort((*atoms.positions.T.round(3), atoms.numbers))
    return atoms.numbers[order], atoms.positions[order]


def lowered(bicrystal: Bicrystal, by: float) -> Bicrystal:
    return Bicrystal(
        numbers=bicrystal.numbers,
        positions=bicrystal.positions - [0.0, by, 0.0],
        cell=bicrystal.cell,
        boundary_height=bicrystal.boundary_height - by,
        grains=bicrystal.grains,
        regions=bicrystal.regions,
    )


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_format_gives_the_atoms_back(
    format: str, bicrystal: Bicrystal, tmp_path: Path
) -> None:
    path = tmp_path / "structure"
    write_structure(path, bicrystal, format, {"id": "0012-03", "cost": 0.25})
    found = ase.io.read(path, **READERS[format])
    expected_numbers, expected = in_order(to_atoms(bicrystal))
    numbers, positions = in_order(found)
    assert (numbers == expected_numbers).all()
    # What the files promise; the shortest number, of extxyz, has 8 decimals.
    np.testing.assert_allclose(positions, expected, atol=1e-4)
    np.testing.assert_allclose(found.cell, bicrystal.cell, atol=1e-4)


def test_extxyz_keeps_the_frame_and_says_what_it_is(
    bicrystal: Bicrystal, tmp_path: Path
) -> None:
    path = tmp_path / "s.extxyz"
    write_structure(path, lowered(bicrystal, 30.0), "extxyz", {"id": "0012-03"})
    found = ase.io.read(path)
    assert found.positions[:, 1].max() < 0
    assert found.info["id"] == "0012-03"
    assert (found.arrays["grain"] == bicrystal.grains).all()
    assert found.pbc.tolist() == [True, False, True]


@pytest.mark.parametrize("format", ["cif", "poscar", "lammps-data"])
def test_atoms_outside_the_cell_are_brought_in_as_one_slab(
    format: str, bicrystal: Bicrystal, tmp_path: Path
) -> None:
    path = tmp_path / "structure"
    write_structure(path, lowered(bicrystal, 30.0), format)
    found = ase.io.read(path, **READERS[format])
    y = found.positions[:, 1]
    assert y.min() >= 0
    assert y.max() <= found.cell[1, 1]
    # The thickness is that of the slab: it was not cut in two by wrapping.
    assert np.ptp(y) == pytest.approx(np.ptp(bicrystal.positions[:, 1]), abs=1e-4)


def test_a_cell_without_vacuum_gets_some(bicrystal: Bicrystal) -> None:
    atoms = to_atoms(bicrystal)
    atoms.positions[:, 1] -= atoms.positions[:, 1].min()
    atoms.cell[1, 1] = np.ptp(atoms.positions[:, 1])
    slab = periodic_slab(atoms)
    assert slab.cell[1, 1] - np.ptp(slab.positions[:, 1]) == pytest.approx(10.0)


def test_rank_counts_equal_structures_once(
    run_folder: Path, outcomes: list[Outcome], tmp_path: Path
) -> None:
    # Costs 0.3 (b), 0.4 (b again), 0.5 (c), 0.7 (a): the second is c.
    path = export_structure(
        run_folder, rank=2, format="extxyz", output=tmp_path / "second.extxyz"
    )
    found = ase.io.read(path)
    assert found.info["id"] == "0001-00"
    assert found.info["energy_j_per_m2"] == pytest.approx(1.0)
    details = outcomes[3].details
    assert details is not None
    np.testing.assert_allclose(found.positions, details.bicrystal.positions, atol=1e-4)


def test_default_name_is_in_the_current_folder(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export_structure(run_folder, rank=1, format="poscar") == Path(
        "toy_rank1.vasp"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "toy_rank1.vasp"]


@pytest.mark.parametrize("rank", [-1, 0, 4])
def test_a_rank_that_does_not_exist_is_refused(run_folder: Path, rank: int) -> None:
    with pytest.raises(
        ConfigError, match=r"has 3 distinct scored structures; give 1 to 3"
    ):
        export_structure(run_folder, rank=rank, format="cif")


def test_an_existing_file_is_left_alone(run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.cif"
    path.write_text("precious")
    with pytest.raises(ConfigError, match=r"mine\.cif: exists already"):
        export_structure(run_folder, rank=1, format="cif", output=path)
    assert path.read_text() == "precious"


def test_other_mistakes_are_named(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format; known are cif"):
        export_structure(run_folder, rank=1, format="pdb")
    with pytest.raises(ConfigError, match="does not exist; make it"):
        export_structure(
            run_folder, rank=1, format="cif", output=tmp_path / "no" / "x.cif"
        )
    with pytest.raises(JournalError, match="holds no run"):
        export_structure(tmp_path, rank=1, format="cif")
