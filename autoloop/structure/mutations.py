"""From a proposal to an unrelaxed bicrystal: the mutations by name.

What each does stands in `autoloop.structure.assemble`, `autoloop.structure.edits`,
`autoloop.structure.merging` and `autoloop.structure.termination`; here is what a policy
needs to know of them: how many parents, which parameters, whether they apply to an
element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Candidate
from autoloop.errors import SimulationError
from autoloop.structure import edits
from autoloop.structure.assemble import assemble, balanced, subset
from autoloop.structure.crowding import CORE
from autoloop.structure.edits import room_at
from autoloop.structure.merging import merge
from autoloop.structure.space import Dimension
from autoloop.structure.template import BoundaryTemplate
from autoloop.structure.termination import terminate

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
    logarithmic : frozenset of str
        Parameters drawn evenly in their logarithm.
    neutral : mapping
        Parameters that together change nothing.
    compound_only : bool
        Whether it needs two species.
    turns_polarity : bool
        Whether it needs grains of open polarity.
    """

    n_parents: int
    dimensions: tuple[Dimension, ...]
    apply: Apply
    logarithmic: frozenset[str] = frozenset()
    neutral: Mapping[str, Any] = field(default_factory=dict)
    compound_only: bool = False
    turns_polarity: bool = False

    def draw(self, rng: np.random.Generator) -> dict[str, float | int]:
        """Draw parameters from the whole of their ranges, none that change nothing."""
        while True:
            drawn = {d.name: self._drawn(d, rng.random()) for d in self.dimensions}
            if not self.neutral or drawn != dict(self.neutral):
                return drawn

    def _drawn(self, d: Dimension, u: float) -> float | int:
        if d.name not in self.logarithmic:
            return d.from_unit(u)
        value = float(d.low * (d.high / d.low) ** u)
        return round(value) if d.kind == "integer" else min(value, d.high)


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


def _turned(
    template: BoundaryTemplate,
    parents: tuple[Bicrystal, ...],
    parameters: Mapping[str, Any],
) -> Bicrystal:
    """Exchange the species of all atoms: the polarity of both grains turns.

    The lattices stay where they are, so that an image shows the same columns with other
    brightness: a twin that no edit of single columns leads to.
    """
    (parent,) = parents
    if "turn_polarity" not in applicable(template):
        raise SimulationError("turn_polarity: a grain's polarity is not open")
    first, second = (species for species, _ in template.stoichiometry[:2])
    return replace(parent, numbers=np.where(parent.numbers == first, second, first))


_SAME: Final = 1e-3  # [Å]: far below any edit, far above rounding
_PLACE: Final = (_real("x", 0.0, 60.0), _real("y", -CORE, CORE))
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
        dimensions=(_integer("grain", 1, 2), _integer("add", 0, 1)),
        apply=_quiet(terminate),
    ),
    "delete_overlap": Mutation(
        n_parents=1,
        # No relaxed pair is closer than 0.85 bonds, and from 1.1 on perfect crystal is
        # taken to pieces.
        dimensions=(_real("overlap", 0.85, 1.1),),
        apply=_quiet(edits.delete_overlap),
    ),
    "vacate": Mutation(
        n_parents=1,
        # More at once: on the way to another planar density every step costs energy.
        dimensions=(_share("rank"), _integer("count", 1, 4)),
        apply=_quiet(edits.vacate),
    ),
    "insert": Mutation(
        n_parents=1, dimensions=(_share("rank"), _KIND), apply=_quiet(edits.insert)
    ),
    "swap": Mutation(
        n_parents=1,
        dimensions=(_share("rank"),),
        apply=_quiet(edits.swap),
        compound_only=True,
    ),
    "convert": Mutation(
        n_parents=1,
        dimensions=(_share("rank"),),
        apply=_quiet(edits.convert),
        compound_only=True,
    ),
    "turn_polarity": Mutation(
        n_parents=1,
        dimensions=(),
        apply=_quiet(_turned),
        compound_only=True,
        turns_polarity=True,
    ),
    "replicate": Mutation(
        n_parents=1,
        dimensions=(_integer("repeat_x", 1, 2), _integer("repeat_z", 1, 2)),
        apply=_quiet(edits.replicate),
        neutral={"repeat_x": 1, "repeat_z": 1},
    ),
    "merge": Mutation(
        n_parents=2,
        dimensions=(_share("start"), _real("share", 0.1, 0.9)),
        apply=_quiet(merge),
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
        logarithmic=frozenset({"temperature_k", "steps"}),
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
        built = balanced(built, template, _edited(built, candidate.parents))
    if "temperature_k" not in proposal.parameters:
        for parent in candidate.parents:
            _refuse_same(built, parent, proposal.mutation)
    return built


def _edited(
    built: Bicrystal, parents: tuple[Bicrystal, ...]
) -> NDArray[np.bool_] | None:
    """Return the atoms that an edit added or converted; None if it was none of these.

    What mends the composition should not take back what the edit was about.
    """
    if len(parents) != 1 or not np.allclose(built.cell, parents[0].cell):
        return None
    n, n_before = len(built.numbers), len(parents[0].numbers)
    if n > n_before:
        return np.arange(n) >= n_before
    if n == n_before:
        return np.asarray(built.numbers != parents[0].numbers)
    return None


def _refuse_same(built: Bicrystal, parent: Bicrystal, mutation: str) -> None:
    """Raise when a parent comes back: relaxed again it would teach nothing."""
    if len(built.numbers) != len(parent.numbers):
        return
    if not np.allclose(built.cell, parent.cell):
        return
    for z in np.unique(parent.numbers):
        here, there = (subset(b, b.numbers == z, b.positions) for b in (built, parent))
        if len(here.numbers) != len(there.numbers):
            return
        if room_at(there, here.positions).max() > _SAME:
            return
    raise SimulationError(
        f"unchanged: {mutation} with these parameters gives a parent again"
    )


def applicable(template: BoundaryTemplate) -> tuple[str, ...]:
    """Return the names of the mutations that a boundary's species allow.

    And what is open of it: polarity is not turned where the image, or the user, knows.
    """
    compound = len(template.stoichiometry) > 1
    turnable = template.upper.open_polarity and template.lower.open_polarity
    return tuple(
        name
        for name, m in MUTATIONS.items()
        if (compound or not m.compound_only) and (turnable or not m.turns_polarity)
    )
