"""Evaluating one candidate: build, relax, image, score.

Pure: the same Context and Candidate give the same numbers in any process. The engines
that a Context calls for are built once in each process.
"""

from __future__ import annotations

import hashlib
import time
from copy import copy
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import Comparison, Placement, Target
from autoloop.domain import Bicrystal, Candidate, Details, Evaluation, Score, stream
from autoloop.errors import SimulationError
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, unpack
from autoloop.relax.ase_engine import AseRelaxer
from autoloop.relax.engine import LammpsRelaxer, RelaxSettings
from autoloop.relax.models import make_relaxer
from autoloop.relaxing import Energetics, Relaxed, relax_candidate, with_moved_lattices
from autoloop.scoring.objective import Objective
from autoloop.structure.mutations import build
from autoloop.structure.space import HEATING, recipes
from autoloop.structure.template import BoundaryTemplate

BRIEF: Final = RelaxSettings(
    first_iterations=5,
    max_iterations=1,
    max_residual_force=float("inf"),
    max_displacement=float("inf"),
    max_translation=float("inf"),
)
"""How far each of several vectors is relaxed before one is chosen.

After five iterations, a thirtieth of the work of a relaxation, the lowest of 16 random
boundaries near the translation that an image shows leads to the minimum in 100 cases of
100 for CdTe S9(221), in 97 for CdTe S3(112) and in 49 for Si S5(310), where one alone
does in 51, 37 and 4; after ten in 100, 100 and 51, at twice the work.
"""
_CORE_EXCESS: Final = 0.02  # [eV]: below it an atom counts as bulk in a fingerprint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """Everything fixed that an evaluation needs.

    Attributes
    ----------
    seed : int
        Of the run.
    template : BoundaryTemplate
        The bicrystal before a search begins.
    stoichiometric : bool
        Whether cells with an excess of a species are excluded.
    energetics : Energetics, optional
        Without it candidates are scored as built.
    target : Target, optional
        Without it there is no image to compare with.
    objective : Objective
        From score to cost.
    """

    seed: int
    template: BoundaryTemplate
    stoichiometric: bool
    energetics: Energetics | None
    target: Target | None
    objective: Objective


class Evaluator:
    """A context with its engines.

    Attributes
    ----------
    context : Context
        As given.
    relaxer : Relaxer, optional
        If the context has energetics.
    comparison : Comparison, optional
        If the context has a target.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.relaxer: LammpsRelaxer | AseRelaxer | None = None
        self.comparison: Comparison | None = None
        if context.energetics is not None:
            self.relaxer = make_relaxer(
                context.energetics.potential, context.energetics.settings
            )
        if context.target is not None:
            self.comparison = Comparison(context.template, context.target)


def load_context(record: Record) -> Evaluator:
    """Build the engines for a packed `Context`; once in each process."""
    return Evaluator(unpack(record, Context))


def evaluate(evaluator: Evaluator, candidate: Candidate) -> Outcome:
    """Evaluate one candidate.

    Raises
    ------
    SimulationError
        If it cannot be evaluated; the message begins with the name of the failure.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    candidate, tried = _preferred(evaluator, candidate)
    bicrystal, rng = _built(evaluator.context, candidate)
    engines = evaluator.relaxer, evaluator.context.energetics
    relaxed = relax_candidate(*engines, candidate, bicrystal, rng)
    relaxed = replace(
        relaxed,
        work=relaxed.work + sum(t.work for t in tried),
        cpu_s=relaxed.cpu_s + sum(t.cpu_s for t in tried),
    )
    outcome = _judged(evaluator, candidate, relaxed)
    timing = Timing(
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
        relax_cpu_s=relaxed.cpu_s,
    )
    return replace(outcome, timing=timing)


def unrelaxed(context: Context, candidate: Candidate) -> Bicrystal:
    """Return a candidate as it is built, before its relaxation.

    Raises
    ------
    SimulationError
        If it cannot be built; the message begins with the name of the failure.
    """
    return _built(context, candidate)[0]


def evaluate_relaxed(
    evaluator: Evaluator,
    candidate: Candidate,
    positions: NDArray[np.float64],
    energy_j_per_m2: float | None,
) -> Outcome:
    """Evaluate a candidate that was relaxed elsewhere: image it and score it.

    Parameters
    ----------
    evaluator : Evaluator
        Its relaxer is not used.
    candidate : Candidate
        What was relaxed.
    positions : (n, 3) float array
        Of its atoms after that, in their order; no atom wrapped to another place of
        the cell [Å].
    energy_j_per_m2 : float, optional
        Boundary energy.

    Raises
    ------
    SimulationError
        If it cannot be scored; the message begins with the name of the failure.
    """
    before = unrelaxed(evaluator.context, candidate)
    after = with_moved_lattices(before, replace(before, positions=positions))
    given = Relaxed(
        bicrystal=after,
        excess=np.full(len(after.numbers), np.nan),
        score=Score(energy_j_per_m2=energy_j_per_m2),
    )
    return _judged(evaluator, _closed(candidate), given)


def _preferred(
    evaluator: Evaluator, candidate: Candidate
) -> tuple[Candidate, list[Relaxed]]:
    """Return the candidate with the most promising of its vectors, and all the trials.

    Cheap looks before a dear one: each vector is relaxed for a few steps, and that of
    lowest cost is the recipe from here on. Where no model can be stopped so early, and
    where all trials fail, the first vector is taken.
    """
    proposal = candidate.proposal
    open_to, brief = recipes(proposal.parameters), _brief(evaluator)
    if len(open_to) == 1 or brief is None:
        return _closed(candidate), []
    trials: list[Relaxed] = []
    costs = [np.inf for _ in open_to]
    for place, recipe in enumerate(open_to):
        cold = {name: v for name, v in recipe.items() if name not in HEATING}
        trial = replace(candidate, proposal=replace(proposal, parameters=cold))
        try:
            bicrystal, rng = _built(evaluator.context, trial)
            engines = brief.relaxer, brief.context.energetics
            unseen = replace(trial, look=None)
            trials.append(relax_candidate(*engines, unseen, bicrystal, rng))
            cost = _judged(brief, trial, trials[-1]).evaluation.cost
        except SimulationError:
            continue
        costs[place] = np.inf if cost is None else cost
    chosen = int(np.argmin(costs))
    realised = replace(
        proposal,
        parameters=open_to[chosen],
        reason=f"{proposal.reason}; number {chosen + 1} of {len(open_to)} began best",
    )
    return replace(candidate, proposal=realised), trials


def _closed(candidate: Candidate) -> Candidate:
    """Return a candidate with the first of its vectors alone."""
    first = recipes(candidate.proposal.parameters)[0]
    return replace(candidate, proposal=replace(candidate.proposal, parameters=first))


def _brief(evaluator: Evaluator) -> Evaluator | None:
    """Return an evaluator whose relaxations end after a few steps; None without one."""
    brief, energetics = copy(evaluator), evaluator.context.energetics
    if energetics is not None:
        if not isinstance(evaluator.relaxer, LammpsRelaxer):
            return None
        brief.relaxer = LammpsRelaxer(evaluator.relaxer.potential, BRIEF)
    return brief


def _built(
    context: Context, candidate: Candidate
) -> tuple[Bicrystal, np.random.Generator]:
    """Return the unrelaxed bicrystal, and the stream that its relaxation draws from."""
    rng = stream(context.seed, candidate.cycle, candidate.index)
    bicrystal = build(
        context.template, candidate, rng, stoichiometric=context.stoichiometric
    )
    return bicrystal, rng


def _judged(evaluator: Evaluator, candidate: Candidate, relaxed: Relaxed) -> Outcome:
    """Hold a relaxed candidate against the micrograph, and put a cost on it."""
    context = evaluator.context
    residuals, score = None, relaxed.score
    if evaluator.comparison is not None:
        imaged, residuals = evaluator.comparison.compare(relaxed.bicrystal)
        score = _with_energies(imaged, score)
    evaluation = Evaluation(
        id=candidate.id,
        cycle=candidate.cycle,
        index=candidate.index,
        proposal=candidate.proposal,
        score=score,
        cost=_finite(context.objective.cost(score)),
        fingerprint=_fingerprint(relaxed.bicrystal, relaxed.excess),
        work=relaxed.work,
        flags=relaxed.flags,
    )
    details = Details(
        bicrystal=relaxed.bicrystal, excess_energies=relaxed.excess, columns=residuals
    )
    return Outcome(evaluation=evaluation, details=details, timing=None)


def place(evaluator: Evaluator, bicrystal: Bicrystal) -> Placement | None:
    """Return a relaxed bicrystal as it lies in the image; None without a micrograph."""
    if evaluator.comparison is None:
        return None
    return evaluator.comparison.place(bicrystal)


def _with_energies(imaged: Score, energies: Score) -> Score:
    return replace(
        imaged,
        energy_j_per_m2=energies.energy_j_per_m2,
        energy_limits_j_per_m2=energies.energy_limits_j_per_m2,
        gamma_excess_per_nm2=energies.gamma_excess_per_nm2,
        early_energy_j_per_m2=energies.early_energy_j_per_m2,
    )


def _finite(cost: float) -> float:
    if not np.isfinite(cost):
        raise SimulationError(f"not_finite: the cost is {cost}")
    return float(cost)


def _fingerprint(bicrystal: Bicrystal, excess: NDArray[np.float64]) -> str:
    """Return a text that equal structures share, to rounding.

    The sorted excess energies of core atoms, which neither a lattice translation nor
    the numbering of atoms changes; without energies of atoms, the positions.
    """
    if not np.isfinite(excess).any():
        core = bicrystal.positions.round(2)
    else:
        values = excess[np.isfinite(excess)]
        core = np.sort(values[np.abs(values) > _CORE_EXCESS]).round(1)
    digest = hashlib.sha256(np.ascontiguousarray(core + 0.0).tobytes())
    return digest.hexdigest()[:16]
