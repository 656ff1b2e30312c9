"""A policy of policies: each place in the batch goes to the member that pays most."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

import numpy as np
from annotated_types import Ge, Gt, Interval, MinLen

from autoloop.archive import Archive, image_cost
from autoloop.domain import Evaluation, Proposal
from autoloop.protocols import Policy
from autoloop.structure.space import OTHERS, SearchSpace
from autoloop.surrogate.bandit import Arm, arms_of, drawn
from autoloop.surrogate.design import first_looks, plain_is_settled, repeat
from autoloop.surrogate.heating import heating
from autoloop.surrogate.parents import known_keys, vectors_of
from autoloop.surrogate.pool import Vector

DEFAULT_MEMBERS: Final = (
    "bayesian",
    "genetic",
    "image_guided",
    "anneal",
)
"""Not `random_search`: further looks take its part and are spread better."""
_LOOKS: Final = "portfolio"
"""Under this name further looks compete with the members."""
_N_COLD: Final = 4
"""So many looks are not heated: where one of them leads to the minimum, as it does in
plain cells, heating would be most of the work."""
_NEEDS_IMAGE: Final = "needs_image"
_NEEDS_DYNAMICS: Final = "needs_dynamics"
"""Attribute by which a policy says that it has little to offer without an image."""


@dataclass(frozen=True, kw_only=True)
class Portfolio:
    """Look around first, then share each batch out among members and further looks.

    A bandit draws who gets a place by Thompson's rule: from what each has gained per
    unit of work (force evaluations times atoms), older results counting less. Its state
    is recomputed from the archive at every call.

    Parameters
    ----------
    members : tuple of Policy
        Names, or {name, options}.
    n_initial : int
        Boundaries assembled before members are asked: spread over the space, plain
        cells first, near what the micrograph shows.
    image_share : float
        Share of them taken near the translation that the micrograph shows.
    heated_share : float
        Share of looks after the first four that is heated for a short while before it
        is relaxed: thrice the work, and out of basins too narrow to be met.
    n_tried : int
        Boundaries that a first or further look relaxes for a few steps; the most
        promising is relaxed to the end. With an image twice as many.
    tried_share : float
        Share of the looks after the first two that try several where there is an
        image. After a few steps energies tell more than images do: what is chosen is
        mostly the lowest state, and an image may show another.
    half_life : float
        Evaluations after which a member's success counts half as much.
    """

    members: Annotated[tuple[Policy, ...], MinLen(1)] = field(
        metadata={"policies": DEFAULT_MEMBERS}
    )
    n_initial: Annotated[int, Ge(1)] = 8
    image_share: Annotated[float, Interval(ge=0, le=1)] = 0.6
    heated_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    n_tried: Annotated[int, Interval(ge=1, le=100)] = 16
    tried_share: Annotated[float, Interval(ge=0, le=1)] = 0.0
    half_life: Annotated[float, Gt(0)] = 60.0

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose `n` candidates, each with the member that made it and why."""
        known = vectors_of(space, archive)
        ready = len(known) >= self.n_initial and bool(archive.scored)
        if not ready:
            return self._looks(space, archive, n, "first look", rng)
        members = self._named(space, archive)
        arms = arms_of(archive, _member, [_LOOKS, *members], half_life=self.half_life)
        chosen = [drawn(arms, rng) for _ in range(n)]
        proposals: list[Proposal] = []
        for name in arms:
            view, share = archive.with_pending(proposals), chosen.count(name)
            if not share:
                continue
            if name == _LOOKS:
                answer = self._looks(space, view, share, "a further look", rng)
            else:
                answer = members[name].propose(space, view, share, rng)
            why = _why(name, arms)
            proposals += [
                replace(p, policy=name, reason=f"{name}: {p.reason}; chosen for {why}")
                for p in answer
            ]
        return self._without_repeats(space, archive, proposals, rng)

    def _named(self, space: SearchSpace, archive: Archive) -> dict[str, Policy]:
        """Return the members by name; a second of one kind has a number.

        Those that read an image stand back where there is none, those that need
        dynamics where nothing can be heated, unless all do.
        """
        named: dict[str, Policy] = {}
        for member in self.members:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(member).__name__).lower()
            same = sum(known.partition(" ")[0] == name for known in named)
            named[f"{name} {same + 1}" if same else name] = member
        lacking = [] if space.heatable else [_NEEDS_DYNAMICS]
        if not any(e.score and image_cost(e.score) is not None for e in archive.scored):
            lacking.append(_NEEDS_IMAGE)
        able = {
            name: member
            for name, member in named.items()
            if not any(getattr(member, need, False) for need in lacking)
        }
        return able or named

    def _looks(
        self,
        space: SearchSpace,
        archive: Archive,
        n: int,
        purpose: str,
        rng: np.random.Generator,
    ) -> list[Proposal]:
        known = vectors_of(space, archive)
        taken = {tuple(v[d.name] for d in space.dimensions) for v in known}
        looks = list(
            first_looks(
                space,
                known,
                n,
                image_share=self.image_share,
                taken=taken,
                rng=rng,
                plain_first=not plain_is_settled(space, archive),
                n_others=self._n_rivals(space),
                contested_share=self.tried_share if space.measured else 1.0,
            )
        )
        looks += [
            (repeat(space, rng), "again: no new one left", [])
            for _ in range(n - len(looks))
        ]
        return [
            Proposal(
                parents=(),
                mutation="assemble",
                parameters={**vector, **heat, **({OTHERS: others} if others else {})},
                reason=f"{purpose}: a whole boundary, drawn {where}"
                + (f", heated to {heat['temperature_k']:.0f} K" if heat else ""),
                policy=_LOOKS,
            )
            for place, (vector, where, others) in enumerate(looks, len(known))
            for heat in [self._heating(space, place, others, rng)]
        ]

    def _n_rivals(self, space: SearchSpace) -> int:
        if not space.heatable:
            return 0
        return self.n_tried * (2 if space.measured else 1) - 1

    def _heating(
        self,
        space: SearchSpace,
        place: int,
        others: list[Vector],
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """Return how hot a look is made; what agrees with an image stays as it is."""
        kept = place < _N_COLD or not space.heatable or (others and space.measured)
        return {} if kept or rng.random() >= self.heated_share else heating(rng)

    def _without_repeats(
        self,
        space: SearchSpace,
        archive: Archive,
        proposals: list[Proposal],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Replace what is known or proposed twice: it would teach nothing."""
        taken = known_keys(archive)
        kept: list[Proposal] = []
        for proposal in proposals:
            if proposal.key() not in taken:
                taken.add(proposal.key())
                kept.append(proposal)
        view = archive.with_pending(kept)
        purpose = f"instead of a repeat by {_repeaters(proposals, kept)}"
        return kept + self._looks(space, view, len(proposals) - len(kept), purpose, rng)


def _member(evaluation: Evaluation) -> str:
    return evaluation.proposal.policy


def _why(name: str, arms: Mapping[str, Arm]) -> str:
    """Return the bandit's state in brief: expected gain per usual relaxation's work."""
    arm = arms[name]
    others = ", ".join(
        f"{other} {arms[other].rate:.2f}"
        for other in sorted(arms, key=lambda k: -arms[k].rate)
        if other != name
    )
    state = f"{arm.rate:.2f} expected gain per work, {arm.gain:.1f} in {arm.n}"
    return f"{state} ({others})" if others else state


def _repeaters(proposals: list[Proposal], kept: list[Proposal]) -> str:
    reasons = {id(p) for p in kept}
    names = {p.policy for p in proposals if id(p) not in reasons}
    return " and ".join(sorted(names)) or "nobody"
