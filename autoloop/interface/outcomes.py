"""Outcomes of candidates that were relaxed, or failed, elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoloop.domain import Candidate as Recipe
from autoloop.domain import Evaluation
from autoloop.errors import SimulationError
from autoloop.evaluation import Evaluator, evaluate_relaxed
from autoloop.interface.candidate import Candidate, relaxed_positions
from autoloop.protocols import Outcome

if TYPE_CHECKING:
    from ase import Atoms


def scored(
    evaluator: Evaluator,
    candidate: Candidate,
    atoms: Atoms | None,
    energy_j_per_m2: float | None,
) -> Outcome:
    """Image and score what was relaxed elsewhere.

    Parameters
    ----------
    evaluator : Evaluator
        Of the campaign.
    candidate : Candidate
        As it was asked.
    atoms : Atoms or None
        The candidate's, relaxed, in their order and in its cell.
    energy_j_per_m2 : float or None
        Boundary energy.

    Raises
    ------
    ValueError
        If atoms or an energy that has a weight are missing, or the atoms are not those
        of the candidate.
    """
    if atoms is None:
        raise ValueError(
            f"{candidate.id}: give the relaxed atoms, or failure= with the reason "
            "why there are none"
        )
    if energy_j_per_m2 is None and evaluator.context.objective.energy > 0:
        raise ValueError(
            f"{candidate.id}: give energy_j_per_m2; it has a weight in the "
            "objective of this campaign"
        )
    try:
        positions = relaxed_positions(candidate.bicrystal, atoms)
        return evaluate_relaxed(evaluator, candidate.recipe, positions, energy_j_per_m2)
    except SimulationError as error:
        return failed(candidate.recipe, str(error))


def failed(recipe: Recipe, reason: str) -> Outcome:
    """Return the outcome of a candidate without a result."""
    evaluation = Evaluation(
        id=recipe.id,
        cycle=recipe.cycle,
        index=recipe.index,
        proposal=recipe.proposal,
        failure=reason,
    )
    return Outcome(evaluation=evaluation, details=None, timing=None)
