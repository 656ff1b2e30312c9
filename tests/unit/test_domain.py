"""The words of the program: frozen values, canonical keys, streams by position."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloop.domain import (
    Bicrystal,
    ColumnResiduals,
    Columns,
    Crystal,
    Evaluation,
    Image,
    Proposal,
    Score,
    candidate_id,
    stream,
)

PROPOSAL = Proposal(parents=(), mutation="assemble", parameters={"shift_u": 0.25})


def bicrystal(**changes: Any) -> Bicrystal:
    fields: dict[str, Any] = {
        "numbers": np.array([48, 52]),
        "positions": np.zeros((2, 3)),
        "cell": np.diag([4.0, 20.0, 3.0]),
        "boundary_height": 10.0,
        "grains": np.array([1, 2]),
        "regions": np.array([0, 0]),
    }
    return Bicrystal(**(fields | changes))


def evaluation(**changes: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "id": "0000-00",
        "cycle": 0,
        "index": 0,
        "proposal": PROPOSAL,
    }
    return Evaluation(**(fields | changes))


def test_arrays_are_read_only_copies() -> None:
    positions = np.zeros((2, 3))
    made = bicrystal(positions=positions)
    positions[0, 0] = 7.0  # the caller's own array stays the caller's
    assert made.positions[0, 0] == 0.0
    for name in ("numbers", "positions", "cell", "grains", "regions", "origins"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[...] = 1
    with pytest.raises(FrozenInstanceError):
        made.boundary_height = 3.0  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("positions", np.zeros((3, 3))),
        ("positions", np.zeros((2, 2))),
        ("grains", np.ones(3, int)),
        ("regions", np.ones((2, 1), int)),
    ],
)
def test_a_bicrystal_of_unequal_lengths_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} must have shape"):
        bicrystal(**{field: value})


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\)"):
        Columns(positions=np.zeros((3, 2)), intensities=np.zeros(2))
    with pytest.raises(ValueError, match="two axes"):
        Image(values=np.zeros((2, 2, 3)), pixel_size=0.1)
    with pytest.raises(ValueError, match="scaled_positions"):
        Crystal(
            name="x",
            cell=np.eye(3),
            numbers=np.array([1, 2]),
            scaled_positions=np.zeros((1, 3)),
            translations=np.zeros((1, 3)),
            rotations=np.eye(3)[None],
        )


def test_small_properties() -> None:
    # Area of the parallelogram of both in-plane vectors, not of their lengths.
    cell = np.array([[4.0, 0.0, 0.0], [0.0, 20.0, 0.0], [1.5, 0.0, 3.0]])
    assert bicrystal(cell=cell).area == pytest.approx(12.0)
    assert len(Columns(positions=np.zeros((3, 2)), intensities=np.zeros(3))) == 3
    residuals = ColumnResiduals(
        positions=np.zeros((3, 2)),
        measured=np.array([1.0, np.nan, 2.0]),
        simulated=np.array([1.0, 1.0, np.nan]),
    )
    assert residuals.matched.tolist() == [True, False, False]
    crystal = Crystal(
        name="x",
        cell=np.eye(3),
        numbers=np.array([52, 48, 52]),
        scaled_positions=np.zeros((3, 3)),
        translations=np.zeros((1, 3)),
        rotations=np.eye(3)[None],
    )
    assert crystal.species == (52, 48)
    assert candidate_id(0, 0) == "0000-00"
    assert candidate_id(12345, 100) == "12345-100"


def test_streams_come_from_position() -> None:
    def first(*position: int) -> float:
        return float(stream(*position).random())

    positions = [(7, 3), (7, 3, 0), (7, 3, 1), (7, 0, 3), (7, 4), (8, 3), (7, 0)]
    drawn = [first(*p) for p in positions]
    # The second would equal the first if the position were part of the entropy.
    assert len(set(drawn)) == len(positions)
    assert [first(*p) for p in positions] == drawn


@given(
    parameters=st.dictionaries(
        st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.floats(0, 1)
    )
)
def test_a_key_depends_on_the_recipe_alone(parameters: dict[str, Any]) -> None:
    one = Proposal(parents=("a", "b"), mutation="m", parameters=parameters, reason="x")
    backwards = dict(reversed(parameters.items()))
    other = replace(one, parameters=backwards, reason="y")
    assert one.key() == other.key()
    assert one == other
    assert one.key() != replace(one, parents=("b", "a")).key()
    assert one.key() != replace(one, mutation="n").key()
    assert one.key() != replace(one, parameters={**parameters, "more": 1}).key()


def test_a_key_has_no_place_for_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        replace(PROPOSAL, parameters={"x": float("nan")}).key()


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"cost": 1.0, "failure": "lost atoms"},
        {"cost": 1.0, "duplicate_of": "0000-01"},
        {"failure": "x", "duplicate_of": "0000-01"},
    ],
)
def test_an_evaluation_has_exactly_one_outcome(outcome: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        evaluation(**outcome)


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -float("inf")])
def test_a_cost_is_finite(cost: float) -> None:
    with pytest.raises(ValueError, match="is not finite"):
        evaluation(cost=cost, score=Score(ssim=0.5))


def test_a_cost_of_zero_is_an_outcome() -> None:
    assert evaluation(cost=0.0, score=Score(ssim=1.0)).cost == 0.0
