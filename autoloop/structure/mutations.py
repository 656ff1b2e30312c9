"""From a proposal to an unrelaxed bicrystal: the mutations by name.

What each does stands in `autoloop.structure.assemble` and `autoloop.structure.edits`;
here is what a policy needs to know of them: how many parents, which parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from autoloop.domain import Bicrystal, Candidate
from autoloop.errors import SimulationError
from autoloop.structure import edits
from autoloop.structure.assemble import assemble, balanced
from autoloop.structure.space import Dimension
from autoloop.structure.template import BoundaryTemplate

Apply = Callable[
    [BoundaryTemplate, tuple[Bicrystal, ...], Mapping[str, Any], np.random.Generator],
    Bicrystal,
]
Plain = Callable[
    [BoundaryTemplate, tuple[Bicrystal, ...], Mapping[str, Any]], Bicrystal
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One kind of small change.

    Attributes
    ----------
    n_parents : int
        Evaluations whose relaxed boundaries it starts from.
    dimensions : tuple of Dimension
        Its parameters and what they may be; of `assemble` those of the search space.
    apply : callable
        From template, parents, parameters and random stream to a bicrystal.
    """

    n_parents: int
    dimensions: tuple[Dimension, ...]
    apply: Apply


def _real(name: str, low: float, high: float) -> Dimension:
    return Dimension(name=name, kind="real", low=low, high=high)


def _integer(name: str, low: int, high: int) -> Dimension:
    return Dimension(name=name, kind="integer", low=low, high=high)


def _share(name: str) -> Dimension:
    return Dimension(name=name, kind="periodic", low=0.0, high=1.0)


def _quiet(edit: Plain) -> Apply:
    """Wrap an edit that draws nothing."""
    return lambda template, parents, parameters, _: edit(template, parents, parameters)


def _unchanged(
    template: BoundaryTemplate,
    parents: tuple[Bicrystal, ...],
    parameters: Mapping[str, Any],
) -> Bicrystal:
    """Hand the parent on: molecular dynamics comes with the relaxation."""
    return parents[0]


_PLACE: Final = (_real("x", 0.0, 60.0), _real("y", -edits.CORE, edits.CORE))
_KIND: Final = _integer("species", 0, 1)

MUTATIONS: Final[Mapping[str, Mutation]] = {
    "assemble": Mutation(
        n_parents=0,
        dimensions=(),
        apply=lambda template, _, parameters, __: assemble(template, parameters),
    ),
    "shift": Mutation(
        n_parents=1,
        dimensions=(_share("shift_u"), _share("shift_v")),
        apply=_quiet(edits.shift),
    ),
    "terminate": Mutation(
        n_parents=1,
        dimensions=(_integer("grain", 1, 2), _integer("planes", -1, 1)),
        apply=_quiet(edits.terminate),
    ),
    "delete_overlap": Mutation(
        n_parents=1,
        dimensions=(_real("overlap", 0.35, 1.1),),
        apply=_quiet(edits.delete_overlap),
    ),
    "vacate": Mutation(
        n_parents=1, dimensions=(_share("rank"),), apply=_quiet(edits.vacate)
    ),
    "insert": Mutation(
        n_parents=1, dimensions=(_share("rank"), _KIND), apply=_quiet(edits.insert)
    ),
    "swap": Mutation(
        n_parents=1, dimensions=(_share("rank"),), apply=_quiet(edits.swap)
    ),
    "convert": Mutation(
        n_parents=1, dimensions=(_share("rank"),), apply=_quiet(edits.convert)
    ),
    "replicate": Mutation(
        n_parents=1,
        dimensions=(_integer("repeat_x", 1, 2), _integer("repeat_z", 1, 2)),
        apply=_quiet(edits.replicate),
    ),
    "merge": Mutation(
        n_parents=2,
        dimensions=(_share("start"), _real("share", 0.1, 0.9)),
        apply=_quiet(edits.merge),
    ),
    "rattle": Mutation(
        n_parents=1, dimensions=(_real("amplitude", 0.02, 0.5),), apply=edits.rattle
    ),
    "anneal": Mutation(
        n_parents=1,
        dimensions=(
            _real("temperature_k", 200.0, 2000.0),
            _integer("steps", 200, 20000),
        ),
        apply=_quiet(_unchanged),
    ),
    "add_column": Mutation(
        n_parents=1,
        dimensions=(*_PLACE, _share("z"), _KIND),
        apply=_quiet(edits.add_column),
    ),
    "remove_column": Mutation(
        n_parents=1, dimensions=_PLACE, apply=_quiet(edits.remove_column)
    ),
    "move_column": Mutation(
        n_parents=1,
        dimensions=(*_PLACE, _real("dx", -1.5, 1.5), _real("dy", -1.5, 1.5)),
        apply=_quiet(edits.move_column),
    ),
}
"""Every mutation, by the name that a proposal carries."""


def build(
    template: BoundaryTemplate,
    candidate: Candidate,
    rng: np.random.Generator,
    *,
    stoichiometric: bool,
) -> Bicrystal:
    """Build the unrelaxed bicrystal of a candidate.

    Parameters
    ----------
    template : BoundaryTemplate
        What is fixed.
    candidate : Candidate
        The recipe and its parents.
    rng : Generator
        The candidate's own stream, for mutations that draw.
    stoichiometric : bool
        Whether the search is restricted to cells without excess of a species.

    Raises
    ------
    SimulationError
        If the recipe leads to no possible boundary.
    """
    proposal = candidate.proposal
    mutation = MUTATIONS.get(proposal.mutation)
    if mutation is None:
        raise SimulationError(
            f"mutation: '{proposal.mutation}' is not one of {', '.join(MUTATIONS)}"
        )
    if len(candidate.parents) != mutation.n_parents:
        raise SimulationError(
            f"mutation: {proposal.mutation} takes {mutation.n_parents} parents, got "
            f"{len(candidate.parents)}"
        )
    built = mutation.apply(template, candidate.parents, proposal.parameters, rng)
    if stoichiometric and len(template.stoichiometry) > 1:
        built = balanced(built, template)
    return built
