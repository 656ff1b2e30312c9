"""What boundary energies ask of a model: perfect crystals, and how far it reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Crystal
from autoloop.relax.bulk import cutoff, elemental_energies, relaxed_crystal
from autoloop.relax.engine import single_point
from autoloop.relax.potentials import Potential

Array = NDArray[np.float64]

_REACH: Final = {
    "eam": 1.0,
    "eam/alloy": 1.0,
    "eam/fs": 1.0,
    "adp": 1.0,
    "snap": 1.0,
    "bop": 2.0,
}
"""Depth below a cut surface, in cutoffs, at which energies of atoms are those of bulk.

An embedded atom sees its own neighbours only. Styles not listed have terms of three
bodies, shared out among atoms that lie two bonds apart: 1.5 cutoffs.
"""


def energy_reach(potential: Potential) -> float:
    """Return the depth below a free surface at which energies of atoms are bulk's [Å].

    The surface being unrelaxed, as that of a block is.
    """
    return _REACH.get(potential.pair_style, 1.5) * cutoff(potential)


class Bulk(Protocol):
    """A model of energies, as far as perfect crystals go."""

    name: str

    def relaxed_crystal(self, crystal: Crystal) -> tuple[Crystal, dict[int, float]]:
        """Relax a crystal; mean energy of an atom of each species [eV]."""
        ...

    def elemental_energies(self, species: Iterable[int]) -> dict[int, float]:
        """Return the lowest energy per atom of each element [eV]."""
        ...

    def cutoff(self, species: Iterable[int]) -> float:
        """Return the longest distance at which two atoms interact [Å]."""
        ...

    def reach(self, species: Iterable[int]) -> float:
        """Return the depth below a surface at which energies are those of bulk [Å]."""
        ...

    def atom_energies(self, bicrystal: Bicrystal) -> Array:
        """Return the (n,) energies of atoms where they stand [eV]."""
        ...


class LammpsBulk:
    """Perfect crystals in a LAMMPS potential."""

    def __init__(self, potential: Potential) -> None:
        self.name = potential.name
        self._potential = potential

    def relaxed_crystal(self, crystal: Crystal) -> tuple[Crystal, dict[int, float]]:
        """See `autoloop.relax.bulk.relaxed_crystal`."""
        return relaxed_crystal(self._potential, crystal)

    def elemental_energies(self, species: Iterable[int]) -> dict[int, float]:
        """See `autoloop.relax.bulk.elemental_energies`."""
        return elemental_energies(self._potential, species)

    def cutoff(self, species: Iterable[int]) -> float:
        """See `autoloop.relax.bulk.cutoff`."""
        del species
        return cutoff(self._potential)

    def reach(self, species: Iterable[int]) -> float:
        """See `energy_reach`."""
        del species
        return energy_reach(self._potential)

    def atom_energies(self, bicrystal: Bicrystal) -> Array:
        """See `autoloop.relax.engine.single_point`."""
        return single_point(self._potential, bicrystal)
