"""Who gets the places of a batch, and what is said about it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from autoloop.policies.image_guided import ImageGuided
from autoloop.policies.portfolio import DEFAULT_MEMBERS, Portfolio
from autoloop.policies.random_search import RandomSearch

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id, stream
from autoloop.plugins import load_policy, policy_names
from autoloop.testing.policies import example_archives, example_space


class Fixed:
    """Proposes the same vector with another first value, named by what it is."""

    def __init__(self, start: float) -> None:
        self.start = start

    def propose(self, space, archive, n, rng):
        return [
            Proposal(
                parents=(),
                mutation="assemble",
                parameters={
                    **space.sample(np.random.default_rng(0)),
                    "along": round(self.start + float(rng.random()) / 4, 6),
                },
                reason="as always",
            )
            for _ in range(n)
        ]


class Good(Fixed):
    pass


class Poor(Fixed):
    pass


class Repeating:
    def propose(self, space, archive, n, rng):
        first = next(iter(archive))
        return [
            Proposal(
                parents=(), mutation="assemble", parameters=first.proposal.parameters
            )
        ] * n


def played(gains: dict[str, list[float]], work: dict[str, int]) -> list[Evaluation]:
    """Evaluations of two members in turn: costs and work of each."""
    space = example_space()
    rng = np.random.default_rng(0)
    costs = [
        (None, 5.0),
        *(
            (m, c)
            for pair in zip(
                *([(m, c) for c in found] for m, found in gains.items()), strict=True
            )
            for m, c in pair
        ),
    ]
    return [
        Evaluation(
            id=candidate_id(*divmod(k, 8)),
            cycle=k // 8,
            index=k % 8,
            proposal=Proposal(
                parents=(),
                mutation="assemble",
                parameters=space.sample(rng),
                policy=member or "portfolio",
            ),
            score=Score(energy_j_per_m2=cost),
            cost=cost,
            work=work.get(member or "", 1000),
        )
        for k, (member, cost) in enumerate(costs)
    ]


def shares(known: list[Evaluation], n: int = 200) -> Counter[str]:
    policy = Portfolio(members=(Good(0.0), Poor(0.5)), n_initial=4)
    return Counter(
        p.policy
        for p in policy.propose(example_space(), Archive(known), n, stream(1, 0))
    )


def test_places_go_to_who_improves() -> None:
    better = [4.0 - 0.2 * k for k in range(12)]
    known = played({"good": better, "poor": [6.0] * 12}, {})
    found = shares(known)
    assert found["good"] > 5 * found["poor"] > 0


def test_work_counts() -> None:
    """Both improve by turns; one takes ten times the work of the other."""
    down = [4.0 - 0.1 * k for k in range(12)]
    known = played(
        {"good": down, "poor": [c - 0.05 for c in down]}, {"good": 1000, "poor": 10000}
    )
    found = shares(known)
    assert found["good"] > 2 * found["poor"]


def test_first_looks_come_first_and_half_of_them_are_heated() -> None:
    space = example_space()
    for share in (0.0, 0.5, 1.0):
        policy = Portfolio(members=(RandomSearch(),), heated_share=share)
        found = policy.propose(space, Archive(), 60, stream(1, 0))
        assert {p.policy for p in found} == {"portfolio"}
        assert not any("temperature_k" in p.parameters for p in found[:4])
        heated = np.mean(["temperature_k" in p.parameters for p in found[4:]])
        assert heated == pytest.approx(share, abs=0.2)  # three sigma of 56 draws


def test_every_choice_has_its_reason_and_the_state_of_the_bandit() -> None:
    policy = load_policy("portfolio", {}, Path())
    archive = example_archives(example_space())["mixed"]
    found = policy.propose(example_space(), archive, 8, stream(1, 0))
    for p in found:
        assert p.policy in (*DEFAULT_MEMBERS, "portfolio")
        assert p.reason.startswith(f"{p.policy}: ")
        assert "expected gain per work" in p.reason
        others = set(DEFAULT_MEMBERS) - {p.policy}
        assert sum(name in p.reason for name in others) >= 2


def test_members_that_read_images_stand_back_where_there_is_none() -> None:
    archive = example_archives(example_space())["mixed"]
    blind = Archive(
        Evaluation(
            id=e.id,
            cycle=e.cycle,
            index=e.index,
            proposal=e.proposal,
            score=Score(energy_j_per_m2=e.cost),
            cost=e.cost,
        )
        for e in archive.scored
    )
    both = Portfolio(members=(ImageGuided(), RandomSearch()), n_initial=2)
    alone = Portfolio(members=(ImageGuided(),), n_initial=2)

    def members(policy: Portfolio, known: Archive) -> set[str]:
        proposals = policy.propose(example_space(), known, 30, stream(1, 0))
        return {p.policy for p in proposals} - {"portfolio"}

    assert members(both, archive) == {"image_guided", "random_search"}
    assert members(both, blind) == {"random_search"}
    assert members(alone, blind) == {"image_guided"}


def test_a_repeat_becomes_a_new_boundary() -> None:
    archive = example_archives(example_space())["mixed"]
    policy = Portfolio(members=(Repeating(),), n_initial=2)
    found = policy.propose(example_space(), archive, 4, stream(1, 0))
    known = {e.proposal.key() for e in archive}
    assert not known & {p.key() for p in found}
    instead = [p for p in found if "instead of a repeat by repeating" in p.reason]
    further = [p for p in found if "a further look" in p.reason]
    assert len(instead) + len(further) == 4
    assert instead


def test_two_of_a_kind_have_numbers() -> None:
    archive = example_archives(example_space())["mixed"]
    members = tuple(RandomSearch(seed_share=s) for s in (0.0, 1.0))
    policy = Portfolio(members=members, n_initial=2)
    found = policy.propose(example_space(), archive, 40, stream(1, 0))
    named = {p.policy for p in found} - {"portfolio"}
    assert named == {"random_search", "random_search 2"}


def test_default_members_exist() -> None:
    assert set(DEFAULT_MEMBERS) <= set(policy_names())
