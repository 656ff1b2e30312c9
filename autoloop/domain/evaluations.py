"""Proposals, candidates, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoloop.domain.arrays import lock
from autoloop.domain.structures import Bicrystal


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A recipe for one candidate.

    Attributes
    ----------
    parents : tuple of str
        Ids of the evaluations whose relaxed boundaries are edited; empty for
        `assemble`.
    mutation : str
        Name of the mutation.
    parameters : mapping
        JSON values only; they and the parents determine the candidate.
    reason : str
        One sentence for people; takes no part in comparisons.
    policy : str
        Member of a policy of policies that made it, or nothing; takes no part in
        comparisons.
    """

    parents: tuple[str, ...]
    mutation: str
    parameters: Mapping[str, Any]
    reason: str = field(default="", compare=False)
    policy: str = field(default="", compare=False)

    def key(self) -> str:
        """Return the canonical text by which repeats are recognised."""
        return json.dumps(
            [list(self.parents), self.mutation, dict(self.parameters)],
            sort_keys=True,
            allow_nan=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyLook:
    """When to give a candidate up after the first steps of its relaxation.

    Attributes
    ----------
    highest_j_per_m2 : float
        Boundary energy after them above which it is hopeless.
    audited : bool
        Relax it all the same: it shows whether the rule is right.
    """

    highest_j_per_m2: float
    audited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A proposal with its place in the run and all that is needed to build it.

    The unrelaxed bicrystal is built from it where it is evaluated, in a child process,
    so that a fault in building costs that candidate alone.

    Attributes
    ----------
    id : str
        ``CCCC-II``: cycle and index.
    cycle, index : int
        Place in the run; they fix its random stream.
    proposal : Proposal
        The recipe.
    parents : tuple of Bicrystal
        Relaxed bicrystals of ``proposal.parents``, in order.
    look : EarlyLook, optional
        What its early energy is held against.
    """

    id: str
    cycle: int
    index: int
    proposal: Proposal
    parents: tuple[Bicrystal, ...] = ()
    look: EarlyLook | None = None


def candidate_id(cycle: int, index: int) -> str:
    """Return the id of a place in the run.

    Examples
    --------
    >>> candidate_id(12, 3)
    '0012-03'
    """
    return f"{cycle:04d}-{index:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Raw measurements of one candidate, in their own units; None if not measured.

    Attributes
    ----------
    ssim : float
        Structural similarity over the boundary band, window of one column spacing.
    ssim_7, ssim_35 : float
        The same over the whole region compared, with windows of 7 and 35 pixels.
    emd_angstrom_per_column : float
        Capped earth mover's distance between the columns [Å per column].
    emd_intensity : float
        The same with log-intensity in the distance.
    mse : float
        Mean squared difference of intensities over the region, after the imaging fit,
        in units of the measured image.
    shift_px : (float, float)
        Registration: x and y shift from the expected position [pixels].
    confidence : float
        Of the registration, 0 to 1.
    energy_j_per_m2 : float
        Boundary energy, for a compound at `mu_fraction`.
    energy_limits_j_per_m2 : (float, float)
        Boundary energy at the two ends of the range of chemical potential.
    gamma_excess_per_nm2 : float
        Excess of the second species over the first, per boundary area [1/nm²].
    early_energy_j_per_m2 : float
        Boundary energy after the first steps of the relaxation.
    """

    ssim: float | None = None
    ssim_7: float | None = None
    ssim_35: float | None = None
    emd_angstrom_per_column: float | None = None
    emd_intensity: float | None = None
    mse: float | None = None
    shift_px: tuple[float, float] | None = None
    confidence: float | None = None
    energy_j_per_m2: float | None = None
    energy_limits_j_per_m2: tuple[float, float] | None = None
    gamma_excess_per_nm2: float | None = None
    early_energy_j_per_m2: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What became of one candidate.

    Exactly one of these holds: `score` and `cost` are set; `failure` is set;
    `duplicate_of` is set.

    Attributes
    ----------
    id : str
        Candidate id.
    cycle, index : int
        Place in the run.
    proposal : Proposal
        The recipe.
    score : Score, optional
        Raw measurements.
    cost : float, optional
        Lower is better, always.
    failure : str, optional
        Why there is no score, beginning with the name of the failure.
    duplicate_of : str, optional
        Id of the earlier evaluation with the same recipe.
    fingerprint : str
        Equal for equal relaxed structures, to rounding; empty without one.
    work : int
        Force evaluations times atoms that it took.
    flags : tuple of str
        What is odd about the relaxed structure but no failure (see `Relaxation`).
    """

    id: str
    cycle: int
    index: int
    proposal: Proposal
    score: Score | None = None
    cost: float | None = None
    failure: str | None = None
    duplicate_of: str | None = None
    fingerprint: str = ""
    work: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        outcomes = (self.cost, self.failure, self.duplicate_of)
        if sum(outcome is not None for outcome in outcomes) != 1:
            raise ValueError(
                f"evaluation {self.id}: exactly one of cost, failure and duplicate_of "
                f"must be set, got {outcomes}"
            )
        if self.cost is not None and not np.isfinite(self.cost):
            raise ValueError(f"evaluation {self.id}: cost {self.cost} is not finite")


def flag_names(flags: Iterable[str]) -> tuple[str, ...]:
    """Return the names of flags, each once, without what they say in detail.

    Examples
    --------
    >>> flag_names(["wrong_species: 2 Te-Te contacts, the shortest 2.91 Å"])
    ('wrong_species',)
    """
    return tuple(dict.fromkeys(flag.partition(":")[0] for flag in flags))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnResiduals:
    """Measured and simulated columns of one candidate, matched one to one.

    Attributes
    ----------
    positions : (n, 2) float array
        x and y in the boundary frame of the micrograph [Å]; the measured position where
        there is one.
    measured, simulated : (n,) float array
        Intensities; NaN where the column has no partner on that side.
    """

    positions: NDArray[np.float64]
    measured: NDArray[np.float64]
    simulated: NDArray[np.float64]

    def __post_init__(self) -> None:
        lock(self, ("positions", "measured", "simulated"))

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Columns seen on both sides."""
        return np.isfinite(self.measured) & np.isfinite(self.simulated)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Details:
    """The bulky part of an evaluation, kept on disk and loaded on demand.

    Attributes
    ----------
    bicrystal : Bicrystal
        Relaxed atoms.
    excess_energies : (n,) float array
        Energy of each atom above bulk [eV]; NaN where the model has none.
    columns : ColumnResiduals, optional
        Only with a micrograph.
    """

    bicrystal: Bicrystal
    excess_energies: NDArray[np.float64]
    columns: ColumnResiduals | None = None

    def __post_init__(self) -> None:
        lock(self, ("excess_energies",))
