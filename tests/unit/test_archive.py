"""The archive lists by position in the run and keeps one of each structure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloop.archive import Archive, alike, image_cost
from autoloop.domain import Evaluation, Proposal, Score


def proposal(k: float = 0.0) -> Proposal:
    return Proposal(parents=(), mutation="assemble", parameters={"shift_u": k})


def evaluation(cycle: int, index: int, **outcome: Any) -> Evaluation:
    return Evaluation(
        id=f"{cycle:04d}-{index:02d}",
        cycle=cycle,
        index=index,
        proposal=proposal(),
        **outcome,
    )


def scored(cycle: int, index: int, cost: float, **figures: Any) -> Evaluation:
    figures = figures or {"energy_j_per_m2": cost}
    return evaluation(cycle, index, cost=cost, score=Score(**figures))


STORY = [
    scored(0, 0, 0.9),
    evaluation(0, 1, failure="lost atoms: 3 of 90"),
    scored(1, 0, 0.5),
    evaluation(1, 1, duplicate_of="0000-00"),
    scored(2, 0, 0.5001),  # the structure of 0001-00 again, found later
    scored(10, 0, 0.7),
]


@given(st.permutations(STORY))
def test_the_order_of_arrival_does_not_matter(arrived: list[Evaluation]) -> None:
    archive = Archive(arrived)
    assert list(archive) == STORY
    assert [e.id for e in archive.scored] == [
        "0000-00",
        "0001-00",
        "0002-00",
        "0010-00",
    ]
    assert [e.id for e in archive.failed] == ["0000-01"]
    assert [e.id for e in archive.best(3)] == ["0001-00", "0010-00", "0000-00"]


def test_lookup() -> None:
    archive = Archive(STORY)
    assert len(archive) == len(STORY)
    assert archive["0001-01"] is STORY[3]
    assert "0001-01" in archive
    assert "0009-00" not in archive
    with pytest.raises(KeyError):
        archive["0009-00"]


def test_an_empty_archive_answers() -> None:
    archive = Archive()
    assert list(archive) == []
    assert archive.best() == []
    assert archive.scored == archive.failed == archive.pending == ()


def test_pending_keeps_its_order_and_is_no_evaluation() -> None:
    waiting = [proposal(0.3), proposal(0.1), proposal(0.2)]
    archive = Archive(STORY, pending=iter(waiting))
    assert archive.pending == tuple(waiting)
    assert len(archive) == len(STORY)


def test_best_gives_no_more_than_there_are_and_the_earliest_of_equals() -> None:
    same = [scored(c, i, 0.4) for c, i in ((2, 0), (0, 1), (0, 0), (1, 0))]
    assert [e.id for e in Archive(same).best(5)] == ["0000-00"]
    assert len(Archive(STORY).best(50)) == 3
    assert Archive(STORY).best(0) == []


def test_details_come_through_the_loader() -> None:
    asked: list[str] = []

    def load(evaluation_id: str) -> Any:
        asked.append(evaluation_id)
        return "details"

    assert Archive(STORY, load_details=load).details("0001-00") == "details"
    assert asked == ["0001-00"]
    with pytest.raises(KeyError, match="no details are stored for evaluation 0001-00"):
        Archive(STORY).details("0001-00")


def test_alike_asks_for_every_figure_that_was_measured() -> None:
    figures = {
        "energy_j_per_m2": 0.9,
        "gamma_excess_per_nm2": 0.0,
        "ssim": 0.8,
        "emd_angstrom_per_column": 0.5,
    }
    one = scored(0, 0, 0.3, **figures)
    assert alike(one, one)
    # Five times what separates no structures, one figure after the other.
    far = {
        "energy_j_per_m2": 0.015,
        "gamma_excess_per_nm2": 0.005,
        "ssim": 0.05,
        "emd_angstrom_per_column": 0.15,
    }
    for name, step in far.items():
        near = scored(0, 1, 0.3, **(figures | {name: figures[name] + step / 50}))
        other = scored(0, 1, 0.3, **(figures | {name: figures[name] + step}))
        unknown = scored(0, 1, 0.3, **(figures | {name: None}))
        assert alike(one, near)
        assert alike(near, one)
        assert not alike(one, other)
        assert not alike(one, unknown)
        assert not alike(unknown, one)


def test_nothing_measured_is_no_likeness() -> None:
    bare = [scored(0, k, 0.1 * k, mse=1.0) for k in range(3)]
    assert not alike(bare[0], bare[1])
    assert len(Archive(bare).best(3)) == 3
    failed = evaluation(0, 0, failure="x")
    assert not alike(failed, failed)


def test_the_front_is_what_nothing_betters_in_both() -> None:
    figures = [(0.9, 1.0), (0.8, 0.5), (0.7, 0.4), (0.75, 0.6), (0.8005, 0.5005)]
    known = [
        scored(0, k, cost=1 - s + g, ssim=s, energy_j_per_m2=g)
        for k, (s, g) in enumerate(figures)
    ]
    front = Archive(known).front(9)
    # The fourth is worse than the second in both; the fifth is like the second.
    assert [e.id for e in front] == ["0000-01", "0000-02", "0000-00"]
    assert Archive(known).front(1) == front[:1]
    assert Archive([evaluation(0, 0, failure="x")]).front(3) == []


def test_without_an_image_the_front_is_the_best() -> None:
    known = [scored(0, k, 1.0 - 0.1 * k, energy_j_per_m2=0.5 - 0.1 * k) for k in (0, 1)]
    assert [e.id for e in Archive(known).front(3)] == ["0000-01"]


def test_image_cost_leaves_the_energy_out() -> None:
    with_energy = Score(ssim=0.9, emd_angstrom_per_column=0.3, energy_j_per_m2=5.0)
    assert image_cost(with_energy) == pytest.approx(0.1 + 0.5 * 0.3 / 1.5)
    assert image_cost(Score(ssim=0.9)) == pytest.approx(0.1)
    assert image_cost(Score(energy_j_per_m2=1.0)) is None


def test_more_may_be_pending_in_a_copy() -> None:
    first, more = proposal(0.1), proposal(0.2)
    archive = Archive(STORY, pending=[first], load_details=lambda _: "details")
    copy = archive.with_pending([more])
    assert copy.pending == (first, more)
    assert archive.pending == (first,)
    assert list(copy) == list(archive)
    assert copy.details("0000-00") == "details"
