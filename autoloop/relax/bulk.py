"""Perfect crystals in a potential: lattice constants, energies, and its cutoff.

Everything is that of the potential used, computed; never a literature value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal
from autoloop.errors import SimulationError
from autoloop.relax.cache import cached
from autoloop.relax.potentials import Potential
from autoloop.relax.session import SKIN, Session, session

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

_PRESSURE_TOLERANCE: Final = 1.0
"""Stress at which a cell is relaxed [bar]; a strain of 1e-6 in a soft crystal."""

_FORCE_TOLERANCE: Final = 1e-7
"""Two-norm of the force at which the atoms of a cell are relaxed [eV/Å]."""

_SCALES: Final = np.arange(0.80, 1.61, 0.05)
"""Sizes at which a phase is tried, relative to touching covalent spheres."""

PHASES: Final = ("fcc", "bcc", "hcp", "diamond", "sc", "a8")
"""Phases of elements that can be built: ASE's names; a8 is trigonal tellurium."""


def relaxed_crystal(
    potential: Potential, crystal: Crystal
) -> tuple[Crystal, dict[int, float]]:
    """Relax the cell and the internal coordinates of a crystal, keeping its symmetry.

    Parameters
    ----------
    potential : Potential
        Has every species of the crystal.
    crystal : Crystal
        Its cell is the starting point. The shape of a cubic cell is kept; of others the
        three lengths relax, the angles do not.

    Returns
    -------
    crystal : Crystal
        With the relaxed cell and coordinates.
    energies : dict of int to float
        Mean energy of an atom of each species in it [eV]. For a compound only their
        sum over a formula unit has a meaning of its own.

    Raises
    ------
    SimulationError
        If the crystal falls apart or does not converge.
    """
    key = [
        *potential.identity,
        crystal.cell.tolist(),
        crystal.scaled_positions.tolist(),
        crystal.numbers.tolist(),
    ]
    found = cached("crystal", key, lambda: _relaxed_values(potential, crystal))
    relaxed = replace(
        crystal,
        cell=np.array(found["cell"]),
        scaled_positions=np.array(found["scaled_positions"]),
    )
    return relaxed, {int(z): energy for z, energy in found["energies"].items()}


def _relaxed_values(potential: Potential, crystal: Crystal) -> dict[str, Any]:
    turned, rotation = _lower_triangular(crystal.cell)
    positions = crystal.scaled_positions @ turned
    lammps = session()
    _load(lammps, potential, turned, positions, crystal.numbers)
    _relax_cell(lammps, isotropic=_is_cubic(crystal.cell))
    per_atom = lammps.energies()
    cell = lammps.cell()
    scaled = np.mod(lammps.positions() @ np.linalg.inv(cell), 1.0)
    scaled[scaled > 1.0 - 1e-9] = 0.0
    return {
        "cell": (cell @ rotation).tolist(),
        "scaled_positions": scaled.tolist(),
        "energies": {
            str(z): float(per_atom[crystal.numbers == z].mean())
            for z in crystal.species
        },
    }


def elemental_energies(
    potential: Potential, species: Iterable[int]
) -> dict[int, float]:
    """Return the lowest energy per atom of each element in its listed phases [eV].

    The chemical potential of an element cannot exceed it: the element would
    precipitate. The phases listed for an element are those it takes in nature, relaxed
    in the same potential; where `PHASES` has none of them, all of `PHASES`. A potential
    may hold another phase more stable (CdTeZnSeHgS0.sw: fcc tellurium), which no
    sample contains.
    """
    return {
        z: min(phase_energies(potential, z, _natural_phases(z)).values())
        for z in species
    }


def phase_energies(
    potential: Potential, species: int, phases: tuple[str, ...] = PHASES
) -> dict[str, float]:
    """Return the energy per atom of an element in each phase [eV].

    A phase that does not hold together in the potential is left out.
    """
    key = [*potential.identity, species, list(phases)]
    energies: dict[str, float] = cached(
        "phases", key, lambda: _phase_values(potential, species, phases)
    )
    if not energies:
        raise SimulationError(
            f"unconverged: no phase of element {species} holds together in "
            f"{potential.name}"
        )
    return dict(energies)


def _phase_values(
    potential: Potential, species: int, phases: tuple[str, ...]
) -> dict[str, float]:
    energies: dict[str, float] = {}
    for phase in phases:
        try:
            energies[phase] = _phase_energy(potential, species, phase)
        except SimulationError:
            continue
    return energies


def cutoff(potential: Potential) -> float:
    """Return the longest distance at which two atoms interact directly [Å].

    Energies and forces of many bodies reach further.
    """
    return float(
        cached("cutoff", [*potential.identity], lambda: _cutoff_value(potential))
    )


def _cutoff_value(potential: Potential) -> float:
    lammps = session()
    size = 40.0  # a box that holds the ghosts of any short-range potential
    lammps.start(potential, np.diag([size] * 3), periodic_y=True)
    lammps.add_atoms(np.array([1]), np.full((1, 3), size / 2))
    lammps.command("run 0 post no")
    for line in lammps.log().splitlines():
        if "master list distance cutoff" in line:
            return float(line.split("=")[1]) - SKIN
    raise SimulationError("lammps: its log does not say how far the potential reaches")


def _load(
    lammps: Session,
    potential: Potential,
    cell: Array,
    positions: Array,
    numbers: NDArray[np.int64],
) -> None:
    lammps.start(potential, cell, periodic_y=True)
    types = np.array([potential.species.index(int(z)) + 1 for z in numbers])
    lammps.add_atoms(types, positions)


def _relax_cell(lammps: Session, *, isotropic: bool) -> None:
    """Minimise with the box free, again and again until the stress is gone.

    One `box/relax` minimisation stops early, because the energy it follows is defined
    by the box it started from.
    """
    # Atoms first: a box that grows or shrinks on wrong coordinates may go astray.
    lammps.minimise(_FORCE_TOLERANCE, 500)
    mode = "iso" if isotropic else "aniso"
    for _ in range(40):
        lammps.command(f"fix box all box/relax {mode} 0.0 vmax 0.005")
        lammps.minimise(_FORCE_TOLERANCE, 500)
        lammps.command("unfix box")
        lammps.minimise(_FORCE_TOLERANCE, 500)
        if _stress(lammps, isotropic=isotropic) < _PRESSURE_TOLERANCE:
            return
    raise SimulationError(
        f"unconverged: stress {_stress(lammps, isotropic=isotropic):.3g} bar remains "
        "in the perfect crystal"
    )


def _stress(lammps: Session, *, isotropic: bool) -> float:
    names = ("press",) if isotropic else ("pxx", "pyy", "pzz")
    return max(abs(lammps.thermo(name)) for name in names)


def _is_cubic(cell: Array) -> bool:
    metric = cell @ cell.T
    return bool(np.allclose(metric, np.eye(3) * metric[0, 0], rtol=0, atol=1e-6))


def _lower_triangular(cell: Array) -> tuple[Array, Array]:
    """Split a right-handed cell into a lower-triangular one and a rotation.

    ``cell == lower @ rotation``, lower with a positive diagonal as LAMMPS needs it.
    """
    q, r = np.linalg.qr(cell.T)
    signs = np.diag(np.where(np.diag(r) < 0, -1.0, 1.0))
    return np.asarray((signs @ r).T), np.asarray((q @ signs).T)


def _natural_phases(species: int) -> tuple[str, ...]:
    from ase.data import reference_states

    if species in (34, 52):
        return ("a8",)
    state = reference_states[species] or {}
    found = state.get("symmetry", "")
    return (found,) if found in PHASES else PHASES


def _phase_energy(potential: Potential, species: int, phase: str) -> float:
    """Return the energy per atom of one phase, from the best of several sizes [eV]."""
    atoms = _phase(phase, species)
    cell, _ = _lower_triangular(np.array(atoms.cell))
    scaled = atoms.get_scaled_positions()
    numbers = np.array(atoms.numbers)
    lammps = session()
    tried = []
    for scale in _SCALES:
        _load(lammps, potential, cell * scale, scaled @ (cell * scale), numbers)
        tried.append(lammps.energies().mean())
    best = cell * _SCALES[int(np.argmin(tried))]
    _load(lammps, potential, best, scaled @ best, numbers)
    _relax_cell(lammps, isotropic=_is_cubic(cell))
    return float(lammps.energies().mean())


def _phase(phase: str, species: int) -> Atoms:
    """Return the conventional cell of a phase with touching covalent spheres."""
    from ase import Atoms
    from ase.build import bulk
    from ase.data import chemical_symbols, covalent_radii

    symbol, bond = chemical_symbols[species], 2.0 * float(covalent_radii[species])
    if phase == "a8":
        # Chains along c, three atoms a turn, proportions of trigonal tellurium.
        a = bond * 4.456 / 2.834
        u = 0.2633
        spiral = [(u, 0, 0), (0, u, 1 / 3), (-u, -u, 2 / 3)]
        cell = (a, a, a * 5.921 / 4.456, 90, 90, 120)
        return Atoms([symbol] * 3, scaled_positions=spiral, cell=cell, pbc=True)
    if phase == "hcp":
        return bulk(symbol, "hcp", a=bond, c=bond * np.sqrt(8 / 3), orthorhombic=True)
    edge = {
        "fcc": np.sqrt(2.0),
        "bcc": 2 / np.sqrt(3.0),
        "diamond": 4 / np.sqrt(3.0),
        "sc": 1.0,
    }[phase]
    return bulk(symbol, phase, a=bond * edge, cubic=True)
