import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs
from autoloop.relax.engine import LammpsRelaxer, RelaxSettings, single_point
from autoloop.relax.potentials import find_potential, shipped_folder
from autoloop.relax.session import session

COPPER = find_potential("Cu_mishin1.eam.alloy", base=Path(), species=(29,))
SILICON = find_potential("Si.sw", base=Path(), species=(14,))


def slab(symbol, a, seed, n_layers=24, noise=0.08):
    """Return a (001) slab of fcc or diamond with disturbed free atoms, shuffled."""
    from ase.build import bulk, make_supercell

    kind = "fcc" if symbol == "Cu" else "diamond"
    atoms = make_supercell(
        bulk(symbol, kind, a=a, cubic=True), np.diag([2, n_layers // 2, 1])
    )
    rng = np.random.default_rng(seed)
    y = atoms.positions[:, 1]
    regions = np.where(y < 11.5, LOWER_BLOCK, FREE)
    regions = np.where(y > y.max() - 11.5, UPPER_BLOCK, regions)
    moved = rng.normal(scale=noise, size=(len(atoms), 3)) * (regions == FREE)[:, None]
    cell = np.array(atoms.cell) + np.diag([0.0, 20.0, 0.0])
    order = rng.permutation(len(atoms))
    return Bicrystal(
        numbers=atoms.numbers[order],
        positions=(atoms.positions + moved)[order],
        cell=cell,
        boundary_height=float(y.mean()),
        grains=np.where(y > y.mean(), 1, 2)[order],
        regions=regions[order],
    )


def relax(potential, bicrystal, **settings):
    relaxer = LammpsRelaxer(potential, RelaxSettings(**settings))
    return relaxer.relax(bicrystal, np.random.default_rng(0))


def digest(relaxation):
    parts = (relaxation.bicrystal.positions, relaxation.energies)
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()


def test_atoms_keep_their_order_and_the_crystal_is_found_again():
    perfect, disturbed = slab("Cu", 3.615, 1, noise=0.0), slab("Cu", 3.615, 1)
    relaxed = relax(COPPER, disturbed)
    lower = disturbed.regions == LOWER_BLOCK
    assert np.array_equal(relaxed.bicrystal.positions[lower], perfect.positions[lower])
    # The minimum is the perfect crystal; a force of 3e-4 eV/Å on a bond of some
    # eV/Å² leaves displacements of the order of 1e-3 Å, strained by the surfaces.
    distance = np.abs(relaxed.bicrystal.positions - perfect.positions).max()
    assert distance < 5e-3


def test_upper_block_moves_as_one():
    bicrystal = slab("Cu", 3.615, 2)
    upper = bicrystal.regions == UPPER_BLOCK
    pushed = replace(
        bicrystal, positions=bicrystal.positions + np.outer(upper, [0.1, 0.15, -0.1])
    )
    moved = relax(COPPER, pushed).bicrystal.positions - pushed.positions
    # LAMMPS adds the same step to each atom: differences are rounding.
    assert np.ptp(moved[upper], axis=0).max() < 1e-12
    assert np.abs(moved[upper][0] + [0.1, 0.15, -0.1]).max() < 5e-3  # back again


def test_results_depend_neither_on_order_nor_on_reuse():
    cases = [
        (COPPER, slab("Cu", 3.615, 3)),
        (SILICON, slab("Si", 5.431, 4, n_layers=16)),
        (COPPER, slab("Cu", 3.615, 5, n_layers=28)),
    ]
    forward = [digest(relax(*case)) for case in cases]
    backward = [digest(relax(*case)) for case in reversed(cases)]
    assert forward == backward[::-1]
    code = (
        "import importlib.util as u; "
        f"s = u.spec_from_file_location('here', {__file__!r}); "
        "m = u.module_from_spec(s); s.loader.exec_module(m); "
        "print(m.digest(m.relax(m.COPPER, m.slab('Cu', 3.615, 5, n_layers=28))))"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert fresh.stdout.split() == [forward[2]], fresh.stderr


def test_whole_lattice_translation_changes_nothing():
    bicrystal = slab("Cu", 3.615, 6)
    shift = bicrystal.cell[0] - 2 * bicrystal.cell[2]
    shifted = replace(bicrystal, positions=bicrystal.positions + shift)
    one, other = relax(COPPER, bicrystal), relax(COPPER, shifted)
    # Rounding of the shifted coordinates may lead the minimiser another way: both end
    # within its force tolerance of the same minimum.
    assert one.energies.sum() == pytest.approx(other.energies.sum(), abs=1e-4)
    moved = other.bicrystal.positions - one.bicrystal.positions
    assert np.abs(moved - shift).max() < 5e-3  # and no atom is wrapped


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_overlapping_atoms_are_pushed_apart_across_the_period(gap):
    """A neighbour of the atom that went comes to rest again where potentials hold."""
    bicrystal = slab("Cu", 3.615, 7, n_layers=40, noise=0.0)
    height = np.abs(bicrystal.positions[:, 1] - bicrystal.boundary_height)
    first, second = np.argsort(height, kind="stable")[:2]
    positions = bicrystal.positions.copy()
    positions[first] = positions[second] + bicrystal.cell[0] + [0.0, gap, 0.0]
    relaxed = relax(COPPER, replace(bicrystal, positions=positions))
    _, distances = periodic_pairs(
        relaxed.bicrystal.positions, relaxed.bicrystal.cell, 3.0
    )
    assert distances.min() > 0.8 * 3.615 / np.sqrt(2)


def test_overlap_in_a_block_is_refused():
    bicrystal = slab("Cu", 3.615, 7)
    block = np.flatnonzero(bicrystal.regions == LOWER_BLOCK)
    positions = bicrystal.positions.copy()
    # A free atom deep among those that may not give way.
    free = np.flatnonzero(bicrystal.regions == FREE)[0]
    positions[block[0]] = positions[block[1]] + bicrystal.cell[0] + [0.0, 0.3, 0.0]
    positions[free] = positions[block[2]] + [0.0, 0.2, 0.0]
    with pytest.raises(SimulationError, match=r"^overlap: .* no room"):
        relax(COPPER, replace(bicrystal, positions=positions))


def test_non_finite_positions_are_refused():
    bicrystal = slab("Cu", 3.615, 8)
    positions = bicrystal.positions.copy()
    positions[3, 1] = np.nan
    with pytest.raises(SimulationError, match=r"^not_finite: "):
        relax(COPPER, replace(bicrystal, positions=positions))


@pytest.mark.parametrize(
    ("settings", "failure"),
    [
        ({"first_iterations": 1, "max_iterations": 1}, "unconverged"),
        ({"max_displacement": 0.01}, "displaced"),
    ],
)
def test_unusable_results_are_failures(settings, failure):
    disturbed = slab("Cu", 3.615, 9, noise=0.2)
    with pytest.raises(SimulationError, match=rf"^{failure}: .*(allowed|plausible)$"):
        relax(COPPER, disturbed, **settings)


def test_grains_that_drift_apart_are_a_failure():
    bicrystal = slab("Cu", 3.615, 10)
    upper = bicrystal.positions[:, 1] > bicrystal.boundary_height
    # Far enough to feel each other, near enough to be pulled back by some Å.
    apart = bicrystal.positions + np.outer(upper, [0.0, 2.5, 0.0])
    with pytest.raises(SimulationError, match=r"^separated: the grains moved"):
        relax(COPPER, replace(bicrystal, positions=apart), max_translation=1.0)


def test_atoms_that_leave_the_box_are_named():
    lammps = session()
    lammps.start(COPPER, np.diag([10.0, 10.0, 10.0]), periodic_y=False)
    lammps.add_atoms(np.array([1, 1]), np.array([[5.0, 5.0, 5.0], [5.0, 7.5, 5.0]]))
    lammps.command("displace_atoms all move 0.0 4.0 0.0")
    with pytest.raises(SimulationError, match=r"^lost_atoms: "):
        lammps.energies()


def test_lammps_error_is_explained_and_survived(tmp_path, capfd):
    text = (shipped_folder() / "Cu_mishin1.eam.alloy").read_text().splitlines()
    (tmp_path / "cut.eam.alloy").write_text("\n".join(text[:500]))
    damaged = find_potential("cut.eam.alloy", base=tmp_path, species=(29,))
    bicrystal = slab("Cu", 3.615, 11)
    before = digest(relax(COPPER, bicrystal))
    with pytest.raises(SimulationError, match=r"^lammps: .*its log ends") as caught:
        relax(damaged, bicrystal)
    assert "\n" not in str(caught.value)
    assert digest(relax(COPPER, bicrystal)) == before
    assert capfd.readouterr() == ("", "")


def test_species_unknown_to_the_potential_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="without species"):
        relax(SILICON, slab("Cu", 3.615, 12))


def described_by(bicrystal, shear):
    """Return a slab of one lattice with another step along z in its first edge."""
    cell = bicrystal.cell.copy()
    cell[0, 2] = shear
    return replace(bicrystal, cell=cell)


@pytest.mark.parametrize("times", [1, -1, 2])
def test_a_sheared_cell_of_the_same_lattice_gives_the_same_energies(times):
    """In other axes of LAMMPS, at most half a depth of tilt, and back again."""
    flat = slab("Cu", 3.615, 8)
    first = single_point(COPPER, flat)
    # two cells deep, and every other row a cell further
    deep = replace(
        flat,
        cell=flat.cell * np.array([[1], [1], [2]]),
        **{n: np.tile(getattr(flat, n), 2) for n in ("numbers", "grains", "regions")},
        positions=np.vstack((flat.positions, flat.positions + flat.cell[2])),
    )
    sheared = described_by(deep, times * flat.cell[2, 2])
    np.testing.assert_allclose(
        single_point(COPPER, sheared), np.tile(first, 2), atol=1e-9
    )
    relaxed, other = relax(COPPER, sheared), relax(COPPER, flat)
    moved = relaxed.bicrystal.positions - sheared.positions
    expected = other.bicrystal.positions - flat.positions
    # Both within the force tolerance of one minimum.
    assert np.abs(moved - np.tile(expected, (2, 1))).max() < 5e-3


def test_a_cell_out_of_its_frame_is_refused():
    bicrystal = slab("Cu", 3.615, 9)
    for row, column in ((0, 1), (2, 0), (2, 1)):
        cell = bicrystal.cell.copy()
        cell[row, column] = 0.3
        with pytest.raises(ValueError, match="y must be normal to a, and z along c"):
            single_point(COPPER, replace(bicrystal, cell=cell))
