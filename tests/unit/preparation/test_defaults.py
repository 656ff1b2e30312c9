"""Choices for a first run file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoloop.preparation.defaults import usual_optics, usual_potential
from autoloop.relax.potentials import find_potential, shipped_folder
from autoloop.structure.crystals import crystal_names, find_crystal

NAMES = [n for n in crystal_names() if usual_potential(find_crystal(n).species)]


@pytest.mark.parametrize("name", NAMES)
def test_usual_potential_is_shipped_and_knows_the_elements(name: str) -> None:
    if shipped_folder() is None:
        pytest.skip("this LAMMPS ships no potentials")
    species = find_crystal(name).species
    potential = usual_potential(species)
    assert potential is not None
    assert find_potential(potential, base=Path(), species=species).species == species


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_usual_potential_holds_the_crystal(name: str) -> None:
    """Lattice constants within 2 %, the largest difference being that of Ge."""
    from autoloop.relax.bulk import relaxed_crystal

    crystal = find_crystal(name)
    potential = usual_potential(crystal.species)
    assert potential is not None
    found = find_potential(potential, base=Path(), species=crystal.species)
    relaxed, _ = relaxed_crystal(found, crystal)
    lengths = [np.linalg.norm(c.cell, axis=1) for c in (relaxed, crystal)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=0.02)


def test_no_potential_for_oxides() -> None:
    assert usual_potential(find_crystal("SrTiO3").species) is None


def test_optics_by_beam_energy() -> None:
    assert usual_optics(None).beam_energy_kev == 200.0
    assert usual_optics(60.0).convergence_mrad == 31
    at_300 = usual_optics(300.0)
    assert (at_300.beam_energy_kev, at_300.convergence_mrad) == (300.0, 21)
    for energy in (60.0, 200.0, 300.0):
        optics = usual_optics(energy)
        assert optics.detector_mrad[0] > 2 * optics.convergence_mrad
