"""From a proposal to an unrelaxed bicrystal; each mutation is small and pure."""

from __future__ import annotations

import numpy as np

from autoloop.domain import Bicrystal, Candidate
from autoloop.errors import SimulationError
from autoloop.structure.assemble import assemble
from autoloop.structure.template import BoundaryTemplate

MUTATIONS = ("assemble",)
"""Names that a proposal may carry."""


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
    del rng  # `assemble` draws nothing
    proposal = candidate.proposal
    if proposal.mutation != "assemble":
        raise SimulationError(
            f"mutation: '{proposal.mutation}' is not one of {', '.join(MUTATIONS)}"
        )
    return assemble(template, proposal.parameters, stoichiometric=stoichiometric)
