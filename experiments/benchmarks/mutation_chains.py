"""Candidates at the end of a chain of random mutations, for `mutations.py`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from mutation_tally import Tally

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    Candidate,
    Proposal,
    candidate_id,
    stream,
)
from autoloop.errors import SimulationError
from autoloop.preparation import Prepared
from autoloop.relax.guards import (
    natural_distances,
    push_apart,
    refuse_not_finite,
)
from autoloop.structure.mutations import MUTATIONS, applicable, build

MOST_ATOMS = 700  # a cell that is larger is not repeated again


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A relaxed boundary and its cost."""

    bicrystal: Bicrystal
    cost: float


def draw_chain(
    prepared: Prepared,
    parents: list[Parent],
    rng: np.random.Generator,
    place: tuple[int, int],
    tally: Tally,
) -> tuple[Candidate, Parent] | None:
    """Draw a chain of mutations; its last candidate if that passes the guards."""
    template = prepared.context.template
    names = [n for n in applicable(template) if n != "assemble"]
    first = parents[rng.integers(len(parents))]
    current, length = first.bicrystal, int(rng.integers(1, 4))
    began = time.process_time()
    for k in range(length):
        name = str(rng.choice(names))
        if name == "replicate" and len(current.numbers) > MOST_ATOMS:
            name = "rattle"
        candidate = _mutated(name, current, parents, rng, place)
        try:
            built = build(
                template,
                candidate,
                stream(1, *place),
                stoichiometric=prepared.context.stoichiometric,
            )
            if k == length - 1:
                refuse_not_finite(built.positions)
                push_apart(built, natural_distances(built))
        except SimulationError as error:
            tally.drawn[name] += 1
            tally.refuse(name, str(error))
            tally.build_s += time.process_time() - began
            return None
        tally.outside += not _in_place(built, current)
        current = built
    tally.drawn[name] += 1
    tally.built[name] += 1
    tally.build_s += time.process_time() - began
    return candidate, first


def more_chains(
    prepared: Prepared, parents: list[Parent], seed: int
) -> Iterator[Bicrystal]:
    """Give candidates that are not to be annealed, built and guarded, without end."""
    tally = Tally("profile")
    for index in count():
        rng = stream(seed, 3, index)
        found = draw_chain(prepared, parents, rng, (3, index), tally)
        if found is not None and found[0].proposal.mutation != "anneal":
            yield build(
                prepared.context.template,
                found[0],
                stream(1, 3, index),
                stoichiometric=prepared.context.stoichiometric,
            )


def _mutated(
    name: str,
    current: Bicrystal,
    parents: list[Parent],
    rng: np.random.Generator,
    place: tuple[int, int],
) -> Candidate:
    mutation = MUTATIONS[name]
    others = [
        parents[rng.integers(len(parents))].bicrystal
        for _ in range(mutation.n_parents - 1)
    ]
    parameters = mutation.draw(rng)
    if name == "anneal":  # short: what is tried here is that it ends
        parameters["steps"] = min(int(parameters["steps"]), 400)
    proposal = Proposal(
        parents=tuple("p" * (k + 1) for k in range(mutation.n_parents)),
        mutation=name,
        parameters=parameters,
    )
    return Candidate(
        id=candidate_id(*place),
        cycle=place[0],
        index=place[1],
        proposal=proposal,
        parents=(current, *others),
    )


def _in_place(built: Bicrystal, parent: Bicrystal) -> bool:
    """Whether both blocks have all their atoms, and no free atom is in them."""
    n_cells = built.area / parent.area
    y = built.positions[:, 1]
    free = y[built.regions == FREE]
    upper, lower = (y[built.regions == r] for r in (UPPER_BLOCK, LOWER_BLOCK))
    whole = all(
        np.sum(built.regions == r) >= round(n_cells * np.sum(parent.regions == r))
        for r in (UPPER_BLOCK, LOWER_BLOCK)
    )
    return (
        whole
        and bool(free.max() < upper.min() + 0.5 > 0.0)
        and bool(free.min() > lower.max() - 0.5)
    )
