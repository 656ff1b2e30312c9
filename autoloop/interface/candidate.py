"""A candidate as the caller of ask and tell sees it: a recipe and unrelaxed atoms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import LOWER_BLOCK, Bicrystal
from autoloop.domain import Candidate as Recipe
from autoloop.evaluation import Context, unrelaxed

if TYPE_CHECKING:
    from ase import Atoms

SAME_CELL: Final = 1e-3
"""Largest difference between cell vectors along the boundary and the beam [Å]."""


class Candidate:
    """One structure to be tried.

    Attributes
    ----------
    recipe : autoloop.domain.Candidate
        All that is needed to build it.
    """

    def __init__(self, recipe: Recipe, context: Context) -> None:
        self.recipe = recipe
        self._context = context

    @property
    def id(self) -> str:
        """Cycle and index."""
        return self.recipe.id

    @property
    def mutation(self) -> str:
        """How it is made."""
        return self.recipe.proposal.mutation

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of the mutation."""
        return self.recipe.proposal.parameters

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the evaluations that it descends from."""
        return self.recipe.proposal.parents

    @property
    def reason(self) -> str:
        """Why the policy proposes it."""
        return self.recipe.proposal.reason

    @cached_property
    def bicrystal(self) -> Bicrystal:
        """The unrelaxed structure.

        Raises
        ------
        SimulationError
            If it cannot be built.
        """
        return unrelaxed(self._context, self.recipe)

    @property
    def atoms(self) -> Atoms:
        """The unrelaxed atoms, a new copy: x along the boundary, y its normal [Å].

        Periodic in x and z. `atoms.arrays["region"]` is 0 where atoms relax one by one,
        1 in the far end of the upper grain, which should move as one, and 2 in that of
        the lower, which carries the frame and is fixed here by a constraint.

        Raises
        ------
        SimulationError
            If it cannot be built.
        """
        from ase.constraints import FixAtoms

        from autoloop.report.export import to_atoms

        atoms = to_atoms(self.bicrystal)
        atoms.set_array("region", np.array(self.bicrystal.regions))
        atoms.set_constraint(FixAtoms(mask=self.bicrystal.regions == LOWER_BLOCK))
        atoms.info["id"] = self.id
        return atoms

    def __repr__(self) -> str:
        return f"Candidate({self.id}: {self.mutation}; {self.reason})"


def relaxed_positions(bicrystal: Bicrystal, atoms: Atoms) -> NDArray[np.float64]:
    """Return positions as relaxed elsewhere, each atom nearest to where it began.

    Parameters
    ----------
    bicrystal : Bicrystal
        Before the relaxation.
    atoms : Atoms
        After it, possibly wrapped into the cell.

    Returns
    -------
    (n, 3) float array
        [Å].

    Raises
    ------
    ValueError
        If atoms or cell are not those of the bicrystal.
    """
    if not np.array_equal(atoms.numbers, bicrystal.numbers):
        raise ValueError(
            f"the {len(atoms)} atoms ({atoms.get_chemical_formula()}) are not the "
            f"{len(bicrystal.numbers)} of the candidate, in their order"
        )
    plane = np.asarray(bicrystal.cell)[[0, 2]]
    off = float(np.abs(np.asarray(atoms.cell)[[0, 2]] - plane).max())
    if off > SAME_CELL:
        raise ValueError(
            f"the cell along boundary and beam differs by {off:.4f} Å from that of the "
            "candidate; relax in a fixed cell: the crystals set it"
        )
    positions = np.asarray(atoms.positions, float)
    if not np.isfinite(positions).all():
        raise ValueError("positions are not finite")
    step = positions - bicrystal.positions
    # y is not periodic: a vector across makes the two others a basis
    basis = np.array([plane[0], (0.0, 1.0, 0.0), plane[1]])
    turns = np.rint(step @ np.linalg.inv(basis))
    turns[:, 1] = 0.0
    return np.asarray(positions - turns @ basis)
