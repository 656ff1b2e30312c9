"""What LAMMPS ships, and the defaults: each loads and gives its crystal."""

from pathlib import Path

import numpy as np
import pytest

from autoloop.relax.bulk import phase_energies, relaxed_crystal
from autoloop.relax.potentials import find_potential
from autoloop.relax.table import default_potential, shipped_potentials
from autoloop.structure.crystals import crystal_names, find_crystal

NATURE = {"fcc", "bcc", "hcp", "diamond"}
# No shipped potential by name gives these; `table` says why.
WITHOUT = {"Pb", "Cr", "Zn", "ZnO", "NaCl", "MgO", "SrTiO3"}
# Trials of hcp, fcc ... in many-body sets of machine learning take minutes.
SLOW = {"Nb", "Mo", "GaAs"}


def potential_of(name):
    crystal = find_crystal(name)
    file = default_potential(crystal.species)
    assert file is not None
    return crystal, find_potential(file, base=Path("/none"), species=crystal.species)


def test_scan_finds_what_the_files_hold():
    found = {p.name: p for p in shipped_potentials()}
    assert found["Cu_mishin1.eam.alloy"].pair_style == "eam/alloy"
    assert set(found["CdTeZnSeHgS0.sw"].elements) == {"Cd", "Te", "Zn", "Se", "Hg", "S"}
    assert found["WBe_Wood_PRB2019.snap"].pair_style == "hybrid/overlay zbl 4 4.8 snap"
    assert found["Ti.meam.spline"].elements == ("Ti",)
    assert not any(name.startswith(("ffield", "README", "library")) for name in found)


def test_every_built_in_crystal_has_a_default_or_is_known_to_have_none():
    lacking = {n for n in crystal_names() if default_potential(_species(n)) is None}
    assert lacking == WITHOUT


def _species(name):
    return find_crystal(name).species


@pytest.mark.parametrize("name", [n for n in crystal_names() if n not in WITHOUT])
def test_default_gives_the_lattice_constants(name):
    """Within 3 %: that of a potential fitted to energies from first principles."""
    crystal, potential = potential_of(name)
    relaxed, _ = relaxed_crystal(potential, crystal)
    lengths = [np.linalg.norm(c.cell, axis=1) for c in (relaxed, crystal)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.03)


@pytest.mark.parametrize(
    "name", [n for n in crystal_names() if n not in WITHOUT | SLOW and len(n) <= 2]
)
def test_default_has_the_right_ground_state(name):
    """Of fcc, bcc, hcp and diamond the one found in nature, to 1 meV.

    Below that the embedded-atom sets of silver and zirconium do not tell stackings
    apart.
    """
    from ase.data import reference_states

    crystal, potential = potential_of(name)
    own = reference_states[crystal.species[0]]["symmetry"]
    energies = phase_energies(potential, crystal.species[0], tuple(sorted(NATURE)))
    assert energies[own] <= min(energies.values()) + 1e-3
