"""Every policy against the contract, and the contract against those that break it."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from autoloop.policies.anneal import Anneal
from autoloop.policies.bayesian import Bayesian
from autoloop.policies.genetic import Genetic
from autoloop.policies.image_guided import ImageGuided
from autoloop.policies.portfolio import Portfolio
from autoloop.policies.random_search import RandomSearch

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id, stream
from autoloop.protocols import Policy
from autoloop.structure.space import Dimension, SearchSpace
from autoloop.testing.policies import (
    POLICY_CHECKS,
    check_archive_untouched,
    check_batches,
    check_order,
    check_policy,
    check_random_stream,
    check_repeatable,
    example_archives,
    example_space,
    small_space,
)

# A small pool: the contract does not depend on it, the time does.
POLICIES = {
    "random_search": RandomSearch(),
    "bayesian": Bayesian(pool_size=100),
    "bayesian, model alone": Bayesian(
        n_initial=2, pool_size=50, exploration_share=0.0, local_share=1.0
    ),
    "bayesian, exploration alone": Bayesian(pool_size=50, exploration_share=1.0),
    "genetic": Genetic(),
    "genetic, front alone": Genetic(n_parents=2, front_share=1.0),
    "image_guided": ImageGuided(),
    "anneal": Anneal(),
    "portfolio": Portfolio(
        members=(
            *(RandomSearch(), Bayesian(pool_size=100), Genetic()),
            *(ImageGuided(), Anneal()),
        )
    ),
    "portfolio of one": Portfolio(members=(ImageGuided(),), n_initial=1),
}


@pytest.mark.parametrize("check", POLICY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", POLICIES)
def test_policy_keeps_the_contract(name: str, check: Callable[[Policy], None]) -> None:
    assert isinstance(POLICIES[name], Policy)
    check(POLICIES[name])


class Remembers:
    def __init__(self):
        self.calls = 0

    def propose(self, space, archive, n, rng):
        self.calls += 1
        return RandomSearch().propose(space, archive, n + self.calls % 2, rng)[-n:]


class WritesParameters:
    def propose(self, space, archive, n, rng):
        for e in archive:
            e.proposal.parameters["along"] = 0.5
        return RandomSearch().propose(space, archive, n, rng)


class OneTooMany:
    def propose(self, space, archive, n, rng):
        return RandomSearch().propose(space, archive, max(n, 2), rng)


class LeavesNumpy:
    def propose(self, space, archive, n, rng):
        draws = RandomSearch().propose(space, archive, n, rng)
        return [
            Proposal(
                parents=(),
                mutation="assemble",
                parameters={
                    k: np.float64(v) if isinstance(v, float) else v
                    for k, v in p.parameters.items()
                },
            )
            for p in draws
        ]


class LeavesSpace:
    def propose(self, space, archive, n, rng):
        draws = RandomSearch().propose(space, archive, n, rng)
        outside = {d.name: d.high + 1 for d in space.dimensions}
        return [
            Proposal(parents=(), mutation="assemble", parameters=outside) for _ in draws
        ]


class UsesBestOnly:
    def propose(self, space, archive, n, rng):
        best = archive.best(1)[0]
        return [best.proposal] * n


class IgnoresStream:
    def propose(self, space, archive, n, rng):
        return RandomSearch().propose(space, archive, n, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("policy", "check", "says"),
    [
        (Remembers(), check_repeatable, "same inputs"),
        (Remembers(), check_order, "arrived"),
        (WritesParameters(), check_archive_untouched, "was changed"),
        (OneTooMany(), check_batches, "2 proposals instead of 1"),
        (LeavesNumpy(), check_batches, "plain JSON"),
        (LeavesSpace(), check_batches, "outside the space"),
        (IgnoresStream(), check_random_stream, "random streams"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "propose") else None,
)
def test_contract_catches(
    policy: Policy, check: Callable[[Policy], None], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        check(policy)
    with pytest.raises(AssertionError):
        check_policy(policy)


def test_contract_asks_with_empty_and_failed_archives() -> None:
    with pytest.raises(IndexError):
        check_batches(UsesBestOnly())


def test_bayesian_learns_from_what_it_is_shown() -> None:
    space = example_space()
    for name, archive in example_archives(space).items():
        proposals = Bayesian(pool_size=100, exploration_share=0.0).propose(
            space, archive, 3, stream(1, 9)
        )
        model = all("expected improvement" in p.reason for p in proposals)
        assert model is (name in ("one success", "mixed", "with details")), name
        assert all(p.reason for p in proposals)


def test_bayesian_proposes_nothing_known_or_pending() -> None:
    space = example_space()
    archive = example_archives(space)["mixed"]
    known = {e.proposal.key() for e in archive} | {p.key() for p in archive.pending}
    keys = [
        p.key()
        for p in Bayesian(pool_size=200).propose(space, archive, 16, stream(1, 9))
    ]
    assert len(set(keys)) == 16
    assert not known & set(keys)


def test_bayesian_ends_in_a_space_of_six_points() -> None:
    space = small_space()
    empty = Bayesian().propose(space, Archive(), 8, stream(1, 0))
    # 20 draws in a row miss the last of six points with probability 0.03; this
    # stream finds them all.
    assert len({p.key() for p in empty}) == 6
    assert sum(p.reason.startswith("repeat") for p in empty) == 2
    five = [
        _evaluation(k, p, 1.0)
        for k, p in enumerate({q.key(): q for q in empty}.values())
    ][:5]
    last = Bayesian(n_initial=3, exploration_share=0.0).propose(
        space, Archive(five), 2, stream(1, 1)
    )
    assert last[0].key() not in {e.proposal.key() for e in five}
    assert last[1].reason.startswith("repeat")


def test_short_values() -> None:
    space = example_space()
    for p in Bayesian().propose(space, Archive(), 8, stream(2, 0)):
        assert dict(p.parameters) == {k: round(v, 6) for k, v in p.parameters.items()}
        assert json.loads(json.dumps(dict(p.parameters))) == p.parameters


# -- the policy against its baseline -------------------------------------------------

SPACE = SearchSpace(
    dimensions=(
        Dimension(name="along", kind="periodic", low=0.0, high=1.0),
        Dimension(name="depth", kind="periodic", low=0.0, high=1.0),
        Dimension(name="termination", kind="integer", low=0, high=3),
        Dimension(name="overlap", kind="real", low=0.3, high=0.9),
    ),
    measured={},
    measured_sigma={},
)


def synthetic_cost(x: dict[str, float | int]) -> float:
    """A bowl across the periodic edge with basins on it, a wall at large overlap.

    Its minimum, about 0.2, lies in one of six basins; the bowl is 0.4 deep.
    """
    along = (x["along"] - 0.97 + 0.5) % 1 - 0.5
    depth = (x["depth"] - 0.23 + 0.5) % 1 - 0.5
    cost = 0.2 + 0.4 * (1 - np.exp(-(along**2 + depth**2) / 0.08))
    cost += 0.15 * abs(x["termination"] - 2) + 1.6 * (x["overlap"] - 0.55) ** 2
    ripple = np.cos(2 * np.pi * 3 * along) * np.cos(2 * np.pi * 2 * depth)
    cost += 0.08 * (1 - ripple)
    return float(cost + 400.0 * max(x["overlap"] - 0.85, 0.0))


def _evaluation(place: int, proposal: Proposal, cost: float) -> Evaluation:
    cycle, index = divmod(place, 8)
    return Evaluation(
        id=candidate_id(cycle, index),
        cycle=cycle,
        index=index,
        proposal=proposal,
        score=Score(ssim=0.5),
        cost=cost,
        fingerprint=str(place),
    )


def _run(policy: Policy, seed: int, n_cycles: int = 8, lag: int = 1) -> float:
    """Run the cycle as the controller does: batches of 8, results one cycle late."""
    done: list[Evaluation] = []
    for cycle in range(n_cycles):
        visible = [e for e in done if e.cycle < cycle - lag]
        archive = Archive(visible, pending=[e.proposal for e in done[len(visible) :]])
        proposals = policy.propose(SPACE, archive, 8, stream(seed, cycle))
        done += [
            _evaluation(8 * cycle + k, p, synthetic_cost(dict(p.parameters)))
            for k, p in enumerate(proposals)
        ]
    return min(e.cost for e in done if e.cost is not None)


def test_bayesian_beats_random_search() -> None:
    seeds = range(5)
    bayesian = [_run(Bayesian(), seed) for seed in seeds]
    random = [_run(RandomSearch(), seed) for seed in seeds]
    # Streams are fixed, so the figures are too, up to the last bits of the linear
    # algebra. With the first model in the fourth of eight cycles the gap is 0.16
    # (0.21 to 0.37, over 30 seeds as well); half of it is demanded.
    assert np.median(bayesian) < np.median(random) - 0.08, (bayesian, random)
