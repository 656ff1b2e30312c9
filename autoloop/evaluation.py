"""Evaluating one candidate: build, relax, image, score.

Pure: the same Context and Candidate give the same numbers in any process. The engines
that a Context calls for are built once in each process.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import Comparison, Placement, Target, with_energies
from autoloop.domain import (
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Candidate,
    Details,
    Evaluation,
    Relaxation,
    Score,
    stream,
)
from autoloop.errors import SimulationError
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, unpack
from autoloop.relax.ase_engine import AseRelaxer
from autoloop.relax.energy import (
    BoundaryEnergy,
    EnergyModel,
    excess_energies,
)
from autoloop.relax.engine import LammpsRelaxer, RelaxSettings
from autoloop.relax.models import Model, make_relaxer, relaxed_energy
from autoloop.scoring.objective import Objective
from autoloop.structure.mutations import build
from autoloop.structure.template import BoundaryTemplate

_CORE_EXCESS: Final = 0.02  # [eV]: below it an atom counts as bulk in a fingerprint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Energetics:
    """What relaxation and energy need.

    Attributes
    ----------
    potential : Potential or AseModel
        Interatomic potential, or calculator of ASE.
    settings : RelaxSettings
        How far to relax.
    model : EnergyModel
        Reference energies.
    """

    potential: Model
    settings: RelaxSettings
    model: EnergyModel


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
    context = evaluator.context
    rng = stream(context.seed, candidate.cycle, candidate.index)
    bicrystal = build(
        context.template, candidate, rng, stoichiometric=context.stoichiometric
    )
    score, work, relax_cpu = Score(), 0, 0.0
    flags: tuple[str, ...] = ()
    excess = np.full(len(bicrystal.numbers), np.nan)
    if evaluator.relaxer is not None and context.energetics is not None:
        start = time.process_time()
        relaxation = evaluator.relaxer.relax(bicrystal, rng, _anneal(candidate))
        relax_cpu = time.process_time() - start
        bicrystal = _with_moved_lattice(bicrystal, relaxation)
        energy = relaxed_energy(evaluator.relaxer, context.energetics.model, relaxation)
        excess = excess_energies(context.energetics.model, relaxation)
        work = relaxation.n_force_evaluations * len(bicrystal.numbers)
        score, flags = _with_energy(score, energy), relaxation.flags
    residuals = None
    if evaluator.comparison is not None:
        imaged, residuals = evaluator.comparison.compare(bicrystal)
        score = with_energies(
            imaged,
            score.energy_j_per_m2,
            score.energy_limits_j_per_m2,
            score.gamma_excess_per_nm2,
        )
    evaluation = Evaluation(
        id=candidate.id,
        cycle=candidate.cycle,
        index=candidate.index,
        proposal=candidate.proposal,
        score=score,
        cost=_finite(context.objective.cost(score)),
        fingerprint=_fingerprint(bicrystal, excess),
        work=work,
        flags=flags,
    )
    timing = Timing(
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
        relax_cpu_s=relax_cpu,
    )
    details = Details(bicrystal=bicrystal, excess_energies=excess, columns=residuals)
    return Outcome(evaluation=evaluation, details=details, timing=timing)


def place(evaluator: Evaluator, bicrystal: Bicrystal) -> Placement | None:
    """Return a relaxed bicrystal as it lies in the image; None without a micrograph."""
    if evaluator.comparison is None:
        return None
    return evaluator.comparison.place(bicrystal)


def _anneal(candidate: Candidate) -> Anneal | None:
    """Return the dynamics that a proposal asks for by its parameters."""
    parameters = candidate.proposal.parameters
    if "temperature_k" not in parameters:
        return None
    return Anneal(
        temperature_k=float(parameters["temperature_k"]),
        steps=int(parameters["steps"]),
    )


def _with_moved_lattice(before: Bicrystal, relaxation: Relaxation) -> Bicrystal:
    """Return the relaxed bicrystal with the upper lattice moved as its block was."""
    after = relaxation.bicrystal
    block = after.regions == UPPER_BLOCK
    step = after.positions[block] - before.positions[block]
    origins = before.origins.copy()
    origins[0] += step.mean(axis=0)
    return replace(after, origins=origins)


def _with_energy(score: Score, energy: BoundaryEnergy) -> Score:
    return with_energies(
        score,
        energy.energy_j_per_m2,
        energy.limits_j_per_m2,
        energy.gamma_excess_per_nm2,
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
