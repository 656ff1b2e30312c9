"""Parents: each structure once, in each size of cell."""

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id
from autoloop.structure.space import Dimension, SearchSpace
from autoloop.surrogate.parents import (
    by_rank,
    by_size,
    drawn_count,
    drawn_family,
    growth,
    is_compound,
    largest_size,
    sizes_of,
    vectors_of,
)
from autoloop.testing.policies import example_details

SPACE = SearchSpace(
    dimensions=(
        Dimension(name="shift_u", kind="periodic", low=0.0, high=1.0),
        Dimension(name="repeat_z", kind="integer", low=1, high=2),
    ),
    measured={},
    measured_sigma={},
)


def evaluation(place, mutation, parameters, parents=(), energy=1.0, **figures):
    return Evaluation(
        id=candidate_id(0, place),
        cycle=0,
        index=place,
        proposal=Proposal(parents=parents, mutation=mutation, parameters=parameters),
        score=Score(energy_j_per_m2=energy, **figures),
        cost=energy,
    )


STORY = [
    evaluation(0, "assemble", {"shift_u": 0.1, "repeat_z": 1}, energy=1.0),
    evaluation(1, "assemble", {"shift_u": 0.2, "repeat_z": 2}, energy=1.4),
    evaluation(2, "replicate", {"repeat_x": 3, "repeat_z": 2}, ("0000-00",), 1.001),
    evaluation(3, "vacate", {"rank": 0.5}, ("0000-02",), 0.9),
    evaluation(4, "merge", {"start": 0.1}, ("0000-00", "0000-01"), 1.2),
    evaluation(5, "assemble", {"shift_u": 0.7, "repeat_z": 1}, energy=1.0005),
    evaluation(
        6,
        "assemble",
        {"shift_u": 0.3, "repeat_z": 1, "temperature_k": 500.0, "steps": 10},
        energy=0.8,
    ),
]


def test_sizes_follow_the_line_of_descent() -> None:
    assert list(sizes_of(Archive(STORY)).values()) == [
        (1, 1),
        (1, 2),
        (3, 2),
        (3, 2),
        (1, 2),
        (1, 1),
        (1, 1),
    ]
    assert largest_size(SPACE) == (1, 2)


def test_families_hold_each_structure_once_best_first() -> None:
    families = by_size(Archive(STORY), 3)
    ids = {size: [e.id for e in found] for size, found in families.items()}
    assert ids == {
        (1, 1): ["0000-06", "0000-00"],  # 0000-05 has the energy of 0000-00
        (1, 2): ["0000-04", "0000-01"],
        (3, 2): ["0000-03", "0000-02"],
    }


def test_larger_cells_are_drawn_more() -> None:
    families = by_size(Archive(STORY), 3)
    rng = np.random.default_rng(0)
    sizes = [drawn_family(families, rng)[0] for _ in range(900)]
    shares = [sizes.count(s) / 900 for s in ((1, 1), (1, 2), (3, 2))]
    np.testing.assert_allclose(shares, [1 / 41, 4 / 41, 36 / 41], atol=0.05)  # 3 sigma


def test_a_cell_is_repeated_until_a_larger_one_is_as_good() -> None:
    families = by_size(Archive(STORY[:2]), 3)
    assert growth(SPACE, families, (1, 1)) == {"repeat_x": 1, "repeat_z": 2}
    assert growth(SPACE, families, (1, 2)) is None
    again = evaluation(7, "replicate", {"repeat_z": 2}, ("0000-00",), 1.001)
    families = by_size(Archive([*STORY[:2], again]), 3)
    assert growth(SPACE, families, (1, 1)) is None


def test_as_many_atoms_as_periods_are_taken_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    counts = [drawn_count((1, 3), rng) for _ in range(900)]
    assert set(counts) == {1, 2, 3, 4}
    assert abs(counts.count(3) / 900 - 0.55) < 0.05
    assert max(drawn_count((5, 2), rng) for _ in range(50)) == 4


def test_vectors_of_heated_boundaries_are_without_the_heating() -> None:
    vectors = vectors_of(SPACE, Archive(STORY))
    assert [v["shift_u"] for v in vectors] == [0.1, 0.2, 0.7, 0.3]
    assert all(SPACE.contains(v) for v in vectors)


def test_rank_decides_the_chance() -> None:
    rng = np.random.default_rng(0)
    ranks = [by_rank("abc", rng)[0] for _ in range(900)]
    assert ranks.count(0) > 1.8 * ranks.count(1) > 1.8 * ranks.count(2) > 0


def test_a_compound_is_known_by_its_scores_or_its_atoms() -> None:
    assert not is_compound(Archive(STORY))  # no details at hand either
    assert is_compound(Archive(STORY, load_details=lambda _: example_details()))
    excess = evaluation(0, "assemble", {}, gamma_excess_per_nm2=0.0)
    assert is_compound(Archive([excess]))
