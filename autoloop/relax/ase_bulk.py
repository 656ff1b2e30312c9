"""Perfect crystals in a calculator of ASE: lattice constants, energies, its cutoff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Crystal
from autoloop.errors import SimulationError
from autoloop.relax.ase_engine import AseModel, AseRelaxer

Array = NDArray[np.float64]

_FARTHEST: Final = 14.0  # [Å]: pairs are tried up to here for the cutoff


class AseBulk:
    """Perfect crystals in a calculator; what `autoloop.relax.perfect.Bulk` asks for.

    Parameters
    ----------
    model : AseModel
        Which calculator.
    """

    def __init__(self, model: AseModel) -> None:
        self.name = model.name
        self._model = model
        self._relaxer = AseRelaxer(model)

    def relaxed_crystal(self, crystal: Crystal) -> tuple[Crystal, dict[int, float]]:
        """Relax the cell and coordinates of a crystal; mean energies by species [eV].

        A cubic cell keeps its shape. Without energies of atoms each species has the
        mean over all atoms: for an element that is the same, and for a compound only
        the sum over a formula unit counts.
        """
        from ase import Atoms
        from ase.filters import FrechetCellFilter
        from ase.optimize import LBFGS

        metric = crystal.cell @ crystal.cell.T
        cubic = bool(np.allclose(metric, np.eye(3) * metric[0, 0], rtol=0, atol=1e-6))
        atoms = Atoms(
            numbers=crystal.numbers,
            cell=crystal.cell,
            scaled_positions=crystal.scaled_positions,
            pbc=True,
        )
        atoms.calc = self._relaxer.calculator
        free = FrechetCellFilter(atoms, hydrostatic_strain=cubic)
        with LBFGS(free, logfile=None) as optimiser:
            converged = optimiser.run(fmax=1e-5, steps=1000)
        if not converged:
            raise SimulationError(
                f"unconverged: {crystal.name} does not relax with {self.name}"
            )
        total = float(atoms.get_potential_energy())
        per_atom = np.full(len(atoms), total / len(atoms))
        if self._relaxer.has_atom_energies:
            per_atom = np.array(atoms.get_potential_energies())
        energies = {
            z: float(per_atom[crystal.numbers == z].mean()) for z in crystal.species
        }
        scaled = np.mod(atoms.get_scaled_positions(wrap=False), 1.0)
        scaled[scaled > 1.0 - 1e-9] = 0.0
        relaxed = replace(crystal, cell=np.array(atoms.cell), scaled_positions=scaled)
        return relaxed, energies

    def elemental_energies(self, species: Iterable[int]) -> dict[int, float]:
        """Return the energy per atom of each element in its natural phase [eV]."""
        from ase.build import bulk
        from ase.data import chemical_symbols

        found = {}
        for z in species:
            atoms = bulk(chemical_symbols[z])
            crystal = Crystal(
                name=chemical_symbols[z],
                cell=np.array(atoms.cell),
                numbers=np.array(atoms.numbers),
                scaled_positions=atoms.get_scaled_positions(),
                translations=np.zeros((1, 3)),
                rotations=np.eye(3)[None],
            )
            found[z] = self.relaxed_crystal(crystal)[1][z]
        return found

    def cutoff(self, species: Iterable[int]) -> float:
        """Return the longest distance at which two atoms interact [Å]."""
        from ase import Atoms

        if self._model.reach is not None:
            return self._model.reach
        kinds = tuple(dict.fromkeys(species))
        longest = 0.0
        for a, b in [(a, b) for a in kinds for b in kinds if a <= b]:
            energies = []
            distances = np.arange(2.0, _FARTHEST + 0.01, 0.25)
            for d in distances:
                box = [4 * _FARTHEST] * 3
                pair = Atoms([a, b], [[0, 0, 0], [d, 0, 0]], cell=box, pbc=False)
                pair.calc = self._relaxer.calculator
                energies.append(float(pair.get_potential_energy()))
            felt = np.abs(np.array(energies) - energies[-1]) > 1e-6
            last = int(np.flatnonzero(felt)[-1]) if felt.any() else 0
            longest = max(longest, float(distances[min(last + 1, len(felt) - 1)]))
        return longest

    def reach(self, species: Iterable[int]) -> float:
        """Return the depth below a surface at which energies are those of bulk [Å]."""
        return self.cutoff(species)

    def atom_energies(self, bicrystal: Bicrystal) -> Array:
        """Return the (n,) energies of the atoms where they stand [eV]."""
        return self._relaxer.atom_energies(bicrystal)
