"""The relaxation of one candidate: dynamics if asked for, an early look, energies."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import (
    LOWER_BLOCK,
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Candidate,
    EarlyLook,
    Relaxation,
    Score,
)
from autoloop.errors import SimulationError
from autoloop.relax.ase_engine import AseRelaxer
from autoloop.relax.energy import EnergyModel, excess_energies
from autoloop.relax.engine import LammpsRelaxer, RelaxSettings
from autoloop.relax.models import Model, relaxed_energy
from autoloop.screening import SCREENED


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
class Relaxed:
    """A candidate after its relaxation, or as built where there is none.

    Attributes
    ----------
    bicrystal : Bicrystal
        Atoms.
    excess : (n,) float array
        Energy of each above bulk [eV]; NaN where there is none.
    score : Score
        Energies alone.
    work : int
        Force evaluations times atoms.
    cpu_s : float
        Spent in the relaxer [s].
    flags : tuple of str
        What is odd.
    """

    bicrystal: Bicrystal
    excess: NDArray[np.float64]
    score: Score
    work: int = 0
    cpu_s: float = 0.0
    flags: tuple[str, ...] = ()


def relax_candidate(
    relaxer: LammpsRelaxer | AseRelaxer | None,
    energetics: Energetics | None,
    candidate: Candidate,
    bicrystal: Bicrystal,
    rng: np.random.Generator,
) -> Relaxed:
    """Relax what was built for a candidate, as its proposal asks for.

    Raises
    ------
    SimulationError
        If it cannot be relaxed, or is given up after its first steps.
    """
    if relaxer is None or energetics is None:
        nothing = np.full(len(bicrystal.numbers), np.nan)
        return Relaxed(bicrystal=bicrystal, excess=nothing, score=Score())
    screen = _Screen(relaxer, energetics.model, candidate.look)
    start = time.process_time()
    relaxation = relaxer.relax(bicrystal, rng, _anneal(candidate), screen.look)
    cpu_s = time.process_time() - start
    energy = relaxed_energy(relaxer, energetics.model, relaxation)
    return Relaxed(
        bicrystal=_with_moved_lattice(bicrystal, relaxation),
        excess=excess_energies(energetics.model, relaxation),
        score=Score(
            energy_j_per_m2=energy.energy_j_per_m2,
            energy_limits_j_per_m2=energy.limits_j_per_m2,
            gamma_excess_per_nm2=energy.gamma_excess_per_nm2,
            early_energy_j_per_m2=screen.energy,
        ),
        work=relaxation.n_force_evaluations * len(bicrystal.numbers),
        cpu_s=cpu_s,
        flags=relaxation.flags + screen.flags,
    )


class _Screen:
    """Looks at the energy after the first steps, once, and remembers it."""

    def __init__(
        self,
        relaxer: LammpsRelaxer | AseRelaxer,
        model: EnergyModel,
        rule: EarlyLook | None,
    ) -> None:
        self._relaxer, self._model, self._rule = relaxer, model, rule
        self.energy: float | None = None
        self.flags: tuple[str, ...] = ()

    def look(self, early: Relaxation) -> None:
        energy = relaxed_energy(self._relaxer, self._model, early).energy_j_per_m2
        if not np.isfinite(energy):
            return  # what this means the relaxer says itself
        self.energy = energy
        if self._rule is None or energy <= self._rule.highest_j_per_m2:
            return
        said = (
            f"{energy:.3f} J/m² after the first steps of the relaxation, above "
            f"{self._rule.highest_j_per_m2:.3f} J/m² nothing has come near the best"
        )
        if not self._rule.audited:
            raise SimulationError(f"{SCREENED}: {said}")
        self.flags = (f"audited: {said}",)


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


def with_moved_lattices(before: Bicrystal, after: Bicrystal) -> Bicrystal:
    """Return a bicrystal relaxed elsewhere, where neither block need have stood still.

    `_with_moved_lattice` is for the relaxers here: they freeze the lower block.
    """
    origins = before.origins.copy()
    for row, region in enumerate((UPPER_BLOCK, LOWER_BLOCK)):
        block = before.regions == region
        origins[row] += (after.positions[block] - before.positions[block]).mean(axis=0)
    return replace(after, origins=origins)
