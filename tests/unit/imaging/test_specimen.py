import re
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Bicrystal
from autoloop.errors import DataError
from autoloop.imaging.probe import Microscope, scattering_power
from autoloop.imaging.specimen import (
    Specimen,
    from_bicrystal,
    read_specimen,
    specimen_columns,
)

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 150.0)
)


def specimen(**changes: object) -> Specimen:
    settings = {
        "numbers": np.array([48, 52]),
        "positions": np.array([[0.5, 1.0, 0.0], [2.5, 4.0, 1.0]]),
        "cell": np.diag([4.0, 7.0, 2.5]),
        "periodic": (True, False),
    }
    return Specimen(**(settings | changes))


def test_it_repeats_along_x_alone_and_in_depth():
    low, high = np.array([-5.0, -20.0]), np.array([9.0, 20.0])
    columns = specimen_columns(specimen(), SCOPE, 9.0, low, high)
    by_x = np.sort(columns.positions[columns.positions[:, 1] == 1.0][:, 0])
    np.testing.assert_allclose(by_x, [-3.5, 0.5, 4.5, 8.5])
    assert sorted(set(columns.positions[:, 1])) == [1.0, 4.0]
    # 9 Å are nearest to four cells of 2.5 Å
    power = 4 * scattering_power(SCOPE, np.array([48, 52]))
    expected = np.where(columns.positions[:, 1] == 1.0, power[0], power[1])
    np.testing.assert_allclose(columns.intensities, expected)


def test_a_slanted_cell_repeats_along_its_own_vectors():
    cell = np.array([[4.0, 0.0, 0.0], [1.5, 3.0, 0.0], [0.0, 0.0, 2.5]])
    slanted = specimen(cell=cell, periodic=(True, True))
    low, high = np.array([0.0, 0.0]), np.array([40.0, 30.0])
    columns = specimen_columns(slanted, SCOPE, 2.5, low, high)
    cells = np.linalg.solve(
        cell[:2, :2].T, (columns.positions - slanted.positions[0, :2]).T
    ).T
    own = columns.intensities == scattering_power(SCOPE, np.array([48]))[0]
    np.testing.assert_allclose(cells[own], np.round(cells[own]), atol=1e-9)
    # 40 x 30 Å hold 100 cells of 12 Å²; at the edges it may be some more or fewer
    assert 90 <= np.count_nonzero(own) <= 110
    assert not slanted.orthogonal


def test_bounds_are_those_of_cells_or_of_atoms():
    low, high = specimen().bounds()
    np.testing.assert_allclose([low, high], [[0.0, 1.0], [4.0, 4.0]])


def test_a_bicrystal_is_periodic_along_the_boundary():
    found = from_bicrystal(
        Bicrystal(
            numbers=np.array([29]),
            positions=np.zeros((1, 3)),
            cell=np.diag([4.0, 30.0, 3.6]),
            boundary_height=0.0,
            grains=np.array([1]),
            regions=np.array([0]),
        )
    )
    assert found.periodic == (True, False)
    assert found.orthogonal
    assert found.depth == 3.6


def test_reading_what_ase_writes(tmp_path: Path):
    import ase.io
    from ase import Atoms

    atoms = Atoms("CdTe", [[0, 0, 0], [1, 2, 3]], cell=[4, 5, 6], pbc=(1, 0, 1))
    # as `autoloop export` writes them
    kinds = {
        "a.extxyz": {},
        "a.vasp": {},
        "a.cif": {},
        "a.lmp": {"format": "lammps-data", "masses": True, "atom_style": "atomic"},
    }
    for name, options in kinds.items():
        written = atoms.copy()
        written.pbc = True if name != "a.extxyz" else atoms.pbc
        ase.io.write(tmp_path / name, written, **options)
        found = read_specimen(tmp_path / name)
        assert found.periodic == (True, name != "a.extxyz")
        np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-4)
        assert list(found.numbers) == [48, 52]


def test_a_molecule_without_a_cell_stands_alone(tmp_path: Path):
    import ase.io
    from ase import Atoms

    ase.io.write(tmp_path / "m.xyz", Atoms("Au2", [[0, 0, 0], [3, 2, 1]]))
    found = read_specimen(tmp_path / "m.xyz")
    assert found.periodic == (False, False)
    everywhere = np.full(2, 100.0)
    columns = specimen_columns(found, SCOPE, found.depth, -everywhere, everywhere)
    assert len(columns) == 2


BAD = {
    "none.cif": (None, "no such file"),
    "text.extxyz": ("3\nno atoms here\n", "not a structure file that ASE reads"),
    "lean.vasp": (
        "lean\n1.0\n4 0 0\n0 4 0\n1 0 4\nCu\n1\nDirect\n0 0 0\n",
        "the cell's third vector is [1.0, 0.0, 4.0] Å",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_seen_is_refused_in_one_line(name: str, tmp_path: Path):
    text, words = BAD[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_specimen(tmp_path / name)
    assert "\n" not in str(caught.value)
