"""First looks: plain first, spread, never twice."""

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id
from autoloop.structure.space import Dimension, SearchSpace
from autoloop.surrogate.design import (
    extras,
    first_looks,
    plain_is_settled,
    repeat,
)
from autoloop.testing.policies import example_space, small_space

WIDE = SearchSpace(
    dimensions=(
        Dimension(name="shift_u", kind="periodic", low=0.0, high=1.0),
        Dimension(name="overlap", kind="real", low=0.35, high=0.95),
        Dimension(name="repeat_z", kind="integer", low=1, high=2),
        Dimension(name="missing_0", kind="integer", low=0, high=2),
    ),
    measured={},
    measured_sigma={},
)


def looks(space, n, known=(), seed=0, image_share=0.5):
    rng = np.random.default_rng(seed)
    taken = {tuple(v[d.name] for d in space.dimensions) for v in known}
    found = first_looks(space, known, n, image_share=image_share, taken=taken, rng=rng)
    return [vector for vector, _, _ in found]


def test_plain_cells_come_first_and_stay_at_least_half() -> None:
    plain = [v["repeat_z"] == 1 and v["missing_0"] == 0 for v in looks(WIDE, 40)]
    assert plain[0]
    assert plain[1]
    assert all(plain[2::2])
    assert not all(plain)


def test_what_is_not_plain_is_larger_or_looser_or_both() -> None:
    for vector in looks(WIDE, 60)[3::2]:
        assert all(vector[name] in (0, 1, 2) for name in extras(WIDE))
    both = {(v["repeat_z"], v["missing_0"]) for v in looks(WIDE, 60)}
    assert {(2, 0), (1, 1), (1, 2), (2, 1), (2, 2)} <= both


def test_rivals_share_the_extras_of_a_look_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    found = first_looks(WIDE, [], 12, image_share=0.5, taken=set(), rng=rng, n_others=7)
    for vector, _, others in found:
        assert len(others) == 7
        assert all(WIDE.contains(other) for other in others)
        for name in extras(WIDE):
            assert {other[name] for other in others} == {vector[name]}
        shifts = {vector["shift_u"], *(other["shift_u"] for other in others)}
        assert len(shifts) == 8


def test_a_batch_goes_on_where_the_last_one_ended() -> None:
    first = looks(WIDE, 4)
    second = looks(WIDE, 4, known=first, seed=1)
    # The fifth and the seventh look are plain, as their places say.
    assert all(v["repeat_z"] == 1 and v["missing_0"] == 0 for v in second[::2])


def test_looks_are_spread_wider_than_draws() -> None:
    space = example_space()

    def closest(vectors):
        x = space.encode(vectors)
        apart = np.linalg.norm(x[:, None] - x[None], axis=2)
        return np.min(apart[np.triu_indices(len(x), 1)])

    rng = np.random.default_rng(0)
    spread = [closest(looks(space, 8, seed=s, image_share=0.0)) for s in range(20)]
    drawn = [closest([space.sample(rng) for _ in range(8)]) for _ in range(20)]
    assert np.median(spread) > 1.3 * np.median(drawn)


def test_a_space_of_six_points_gives_six() -> None:
    space = small_space()
    vectors = looks(space, 8)
    assert len({tuple(v.values()) for v in vectors}) == len(vectors) == 6
    assert space.contains(repeat(space, np.random.default_rng(0)))


def test_near_the_image_where_there_is_one() -> None:
    space = example_space()  # along 0.97 +- 0.05, periodic
    along = np.array([v["along"] for v in looks(space, 20, image_share=1.0)])
    assert np.all(np.abs((along - 0.97 + 0.5) % 1 - 0.5) < 0.25)  # five sigma


def test_plain_cells_are_settled_when_all_looks_agree() -> None:
    def archive(energies, missing=0):
        return Archive(
            Evaluation(
                id=candidate_id(0, k),
                cycle=0,
                index=k,
                proposal=Proposal(
                    parents=(),
                    mutation="assemble",
                    parameters={"shift_u": k / 9, "repeat_z": 1, "missing_0": missing},
                ),
                score=Score(energy_j_per_m2=energy),
                cost=energy,
            )
            for k, energy in enumerate(energies)
        )

    assert plain_is_settled(WIDE, archive([0.951, 0.952, 0.951, 0.951]))
    assert not plain_is_settled(WIDE, archive([0.951, 0.951, 0.951]))  # too few
    assert not plain_is_settled(WIDE, archive([0.951, 0.951, 0.951, 0.99]))
    assert not plain_is_settled(WIDE, archive([0.951] * 5, missing=1))
    assert not plain_is_settled(example_space(), archive([0.951] * 5))
    rng = np.random.default_rng(0)
    found = first_looks(
        WIDE, [], 30, image_share=0, taken=set(), rng=rng, plain_first=False
    )
    plain = [v["repeat_z"] == 1 and v["missing_0"] == 0 for v, _, _ in found]
    # repeat 1 with 3/4, missing 0 with 2/3: half; three sigma of 30 draws are 27 %
    assert np.mean(plain) < 0.8
