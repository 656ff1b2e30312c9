"""Edits that the image asks for: what it shows and the best boundaries do not have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from annotated_types import Ge, Interval

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.mutations import MUTATIONS
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.column_edits import Edit, column_edits
from autoloop.surrogate.parents import (
    by_rank,
    is_compound,
    is_vector,
    known_keys,
    short,
)
from autoloop.surrogate.pool import perturbed, rounded

_BLIND: Final = ("shift", "rattle", "insert", "vacate", "move_column")
"""Edits of good boundaries where no image says which."""
_TRIES: Final = 10


@dataclass(frozen=True, kw_only=True)
class ImageGuided:
    """Add, remove and move columns, exchange species and shift a grain, as is seen.

    Where the polarity of both grains is open, good boundaries are turned over as well.

    Reads the column residuals of the boundaries on the Pareto front and of the best by
    cost. Where they ask for nothing, or there is no image, it draws near the
    translation that the micrograph shows and edits the best a little.

    Parameters
    ----------
    n_parents : int
        Boundaries whose residuals are read.
    jitter : float
        Standard deviation added to the place of an edit [Å]: a boundary is edited in
        the same place more than once.
    """

    needs_image: ClassVar[bool] = True

    n_parents: Annotated[int, Ge(1)] = 4
    jitter: Annotated[float, Interval(ge=0, le=2)] = 0.15

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose the `n` edits that would mend most, each recipe once."""
        parents = _parents(archive, self.n_parents)
        wanted = [
            (replace(edit, weight=edit.weight / (1 + rank) ** 2), parent)
            for rank, parent in enumerate(parents)
            for edit in _edits(archive, parent)
        ]
        taken = known_keys(archive)
        proposals: list[Proposal] = []
        while len(proposals) < n:
            edits = wanted + _turns(space, parents, taken)
            for _ in range(_TRIES):
                proposal = self._drawn(space, archive, edits, parents, rng)
                if proposal.key() not in taken:
                    break
            taken.add(proposal.key())
            proposals.append(proposal)
        return proposals

    def _drawn(
        self,
        space: SearchSpace,
        archive: Archive,
        wanted: list[tuple[Edit, Evaluation]],
        parents: list[Evaluation],
        rng: np.random.Generator,
    ) -> Proposal:
        if wanted:
            # A square root, so that a grain off its place is not all that is tried; the
            # second parent then counts half of the first, the third a third.
            weights = np.sqrt([edit.weight for edit, _ in wanted])
            choice = rng.choice(len(wanted), p=weights / weights.sum())
            edit, parent = wanted[int(choice)]
            parameters = self._parameters(space, archive, edit, rng)
            return _proposal(parent, edit.mutation, parameters, edit.reason)
        if parents and rng.random() < 0.5:
            return _blind(archive, parents, rng)
        return _near(space, parents, rng)

    def _parameters(
        self,
        space: SearchSpace,
        archive: Archive,
        edit: Edit,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """Return an edit's parameters, a little off so that none is tried twice."""
        drawn: dict[str, Any] = MUTATIONS[edit.mutation].draw(rng)
        if edit.mutation == "shift":
            length = _shift_length(space, archive)
            step = edit.parameters["dx"] + self.jitter * rng.normal()
            return {**drawn, "shift_u": float(step / length % 1.0)}
        parameters = {**drawn, **edit.parameters}
        for d in MUTATIONS[edit.mutation].dimensions:
            if d.name in ("x", "y", "dx", "dy"):
                moved = parameters[d.name] + self.jitter * rng.normal()
                parameters[d.name] = float(np.clip(moved, d.low, d.high))
        if edit.mutation == "add_column":
            parameters["z"] = drawn["z"]  # the image does not show the depth
        return parameters


def _parents(archive: Archive, n: int) -> list[Evaluation]:
    """Return the best by cost, and those of the front that are not among them."""
    best = archive.best(n)
    return best + [e for e in archive.front(n) if e not in best]


def _edits(archive: Archive, parent: Evaluation) -> list[Edit]:
    try:
        details = archive.details(parent.id)
    except KeyError:
        return []
    if details.columns is None:
        return []
    return column_edits(details.bicrystal, details.columns)


def _turns(
    space: SearchSpace, parents: list[Evaluation], taken: set[str]
) -> list[tuple[Edit, Evaluation]]:
    """Return the turning of both polarities, of parents that were not turned yet.

    Where both are open. The better a boundary's columns lie, the fewer residuals speak
    for anything else; a weight of one column, whatever they say.
    """
    if sum(d.name.endswith("_polarity") for d in space.dimensions) < 2:
        return []
    edit = Edit(
        mutation="turn_polarity",
        parameters={},
        weight=1.0,
        reason="both polarities are open, and their twin has the same columns",
    )
    return [
        (replace(edit, weight=edit.weight / (1 + rank) ** 2), parent)
        for rank, parent in enumerate(parents)
        if _proposal(parent, edit.mutation, {}, "").key() not in taken
    ]


def _shift_length(space: SearchSpace, archive: Archive) -> float:
    """Return the period of `shift_u` [Å]: a whole part of the cell's width.

    Which, the origins of assembled boundaries say: relaxation moves a grain much less.
    """
    offsets: list[tuple[float, float]] = []
    width = np.inf
    for evaluation in Archive(archive.scored).best(8):
        if not is_vector(space, evaluation.proposal):
            continue
        try:
            bicrystal = archive.details(evaluation.id).bicrystal
        except KeyError:
            continue
        u = float(evaluation.proposal.parameters["shift_u"])
        repeat = int(evaluation.proposal.parameters.get("repeat_x", 1))
        width = float(bicrystal.cell[0, 0]) / repeat
        offsets.append((u, float(bicrystal.origins[0, 0] - bicrystal.origins[1, 0])))
    if not offsets:
        return 1.0 if not np.isfinite(width) else width
    u, x = np.array(offsets).T
    parts = range(1, 13)
    errors = [float(np.median(np.abs(x - u * width / k))) for k in parts]
    return width / parts[int(np.argmin(errors))]


def _blind(
    archive: Archive, parents: list[Evaluation], rng: np.random.Generator
) -> Proposal:
    names = [*_BLIND, "swap"] if is_compound(archive) else [*_BLIND]
    name = names[int(rng.integers(len(names)))]
    _, parent = by_rank(parents, rng)
    parameters = MUTATIONS[name].draw(rng)
    return _proposal(parent, name, parameters, "no residual to read, a small edit")


def _near(
    space: SearchSpace, parents: list[Evaluation], rng: np.random.Generator
) -> Proposal:
    """Return a whole boundary near the measured translation, or near the best."""
    vectors = [e.proposal.parameters for e in parents if is_vector(space, e.proposal)]
    if space.measured or not vectors:
        vector, where = space.sample_near_image(rng), "the measured translation"
    else:
        vector, where = perturbed(space, by_rank(vectors, rng)[1], rng), "a good one"
    return Proposal(
        parents=(),
        mutation="assemble",
        parameters=rounded(space, vector),
        reason=f"no residual to read: a whole boundary near {where}",
    )


def _proposal(
    parent: Evaluation, mutation: str, parameters: dict[str, Any], reason: str
) -> Proposal:
    return Proposal(
        parents=(parent.id,),
        mutation=mutation,
        parameters=short(parameters),
        reason=f"{mutation} in {parent.id} (cost {parent.cost:.3f}): {reason}",
    )
