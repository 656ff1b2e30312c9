"""The search space: what is drawn is inside, what is periodic has no ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloop.structure.space import Dimension, SearchSpace


@st.composite
def dimensions(draw: Any, name: str = "x") -> Dimension:
    kind = draw(st.sampled_from(["periodic", "real", "integer"]))
    low = draw(st.integers(-2000, 2000))
    span = draw(st.integers(0 if kind == "integer" else 1, 50))
    if kind == "integer":
        return Dimension(name=name, kind=kind, low=low, high=low + span)
    return Dimension(name=name, kind=kind, low=low / 7, high=(low + span) / 7)


def space(**changes: Any) -> SearchSpace:
    fields: dict[str, Any] = {
        "dimensions": (
            Dimension(name="shift", kind="periodic", low=0.0, high=1.0),
            Dimension(name="plane", kind="integer", low=0, high=2),
            Dimension(name="overlap", kind="real", low=0.35, high=0.95),
        ),
        "measured": {},
        "measured_sigma": {},
    }
    return SearchSpace(**(fields | changes))


ALMOST_ONE = float(np.nextafter(1.0, 0.0))


@given(dimension=dimensions(), u=st.floats(0, ALMOST_ONE))
def test_every_number_of_the_unit_interval_is_a_value(
    dimension: Dimension, u: float
) -> None:
    for number in (u, 0.0, ALMOST_ONE):
        assert dimension.contains(dimension.from_unit(number))


def test_an_integer_dimension_gives_each_value_its_share() -> None:
    plane = Dimension(name="plane", kind="integer", low=-1, high=2)
    values = [plane.from_unit(u / 16) for u in range(1, 16, 2)]
    assert values == [-1, -1, 0, 0, 1, 1, 2, 2]
    assert all(type(v) is int for v in values)


@pytest.mark.parametrize(
    ("name", "value", "inside"),
    [
        ("shift", 0.0, True),
        ("shift", ALMOST_ONE, True),
        ("shift", 1.0, False),
        ("shift", -1e-9, False),
        ("shift", float("nan"), False),
        ("shift", 0, True),
        ("overlap", 0.35, True),
        ("overlap", 0.95, True),
        ("overlap", 0.951, False),
        ("overlap", "0.5", False),
        ("overlap", None, False),
        ("plane", 2, True),
        ("plane", 3, False),
        ("plane", 1.0, False),
        ("plane", True, False),
    ],
)
def test_contains(name: str, value: object, inside: bool) -> None:
    vector = {"shift": 0.1, "plane": 0, "overlap": 0.5}
    assert space().contains(vector)
    assert space().contains(vector | {name: value}) is inside


def test_a_vector_has_all_names_and_no_other() -> None:
    vector = {"shift": 0.1, "plane": 0, "overlap": 0.5}
    assert not space().contains(vector | {"more": 1})
    assert not space().contains({"shift": 0.1, "plane": 0})


@given(seed=st.integers(0, 2**32))
def test_samples_are_inside_and_repeat(seed: int) -> None:
    measured = space(
        measured={"shift": 0.98, "overlap": 0.4, "plane": 1},
        measured_sigma={"shift": 0.3, "overlap": 5.0, "plane": 1.0},
    )
    for draw in (measured.sample, measured.sample_near_image):
        vector = draw(np.random.default_rng(seed))
        assert measured.contains(vector)
        assert vector == draw(np.random.default_rng(seed))


def test_near_the_image_means_around_the_measured_value() -> None:
    here = space(measured={"shift": 0.98}, measured_sigma={"shift": 0.01})
    rng = np.random.default_rng(0)
    drawn = [here.sample_near_image(rng) for _ in range(400)]
    phase = np.array([(v["shift"] - 0.98 + 0.5) % 1 - 0.5 for v in drawn])
    # Standard errors of mean and deviation: 0.0005 and 0.00035; five of them.
    assert abs(phase.mean()) < 0.0025
    assert phase.std() == pytest.approx(0.01, abs=0.0018)
    assert np.ptp([v["overlap"] for v in drawn]) > 0.5
    # Without a measurement it is `sample`, from the same number of draws.
    a, b = np.random.default_rng(1), np.random.default_rng(1)
    assert space().sample_near_image(a) == space().sample(b) | {}
    here.sample_near_image(b := np.random.default_rng(1))
    assert a.random() == b.random()


@given(dimension=dimensions(), u=st.floats(0, ALMOST_ONE))
def test_features_lie_between_minus_one_and_one(dimension: Dimension, u: float) -> None:
    one = space(dimensions=(dimension,))
    features = one.encode([{"x": dimension.from_unit(u)}])
    assert features.shape == (1, 2 if dimension.kind == "periodic" else 1)
    assert np.all(np.abs(features) <= 1 + 1e-9)
    ends = one.encode([{"x": dimension.low}, {"x": dimension.high}])
    if dimension.kind == "periodic":
        # Both ends are one point, and the middle is its opposite.
        np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)
        middle = one.encode([{"x": (dimension.low + dimension.high) / 2}])
        np.testing.assert_allclose(middle[0], -ends[0], atol=1e-9)
    elif dimension.low < dimension.high:
        np.testing.assert_allclose(ends.ravel(), [-1, 1])


def test_periodic_neighbours_are_near_and_distance_depends_on_the_step_alone() -> None:
    def distance(a: float, b: float) -> float:
        x, y = space().encode(
            [{"shift": v, "plane": 0, "overlap": 0.5} for v in (a, b)]
        )
        return float(np.linalg.norm(x - y))

    assert distance(0.99, 0.01) == pytest.approx(distance(0.4, 0.42))
    assert distance(0.99, 0.01) < distance(0.99, 0.9)


def test_rows_are_vectors_and_columns_keep_their_order() -> None:
    vectors = [
        {"overlap": 0.35, "plane": 2, "shift": 0.0},
        {"overlap": 0.95, "plane": 0, "shift": 0.25},
    ]
    np.testing.assert_allclose(
        space().encode(vectors), [[1, 0, 1, -1], [0, 1, -1, 1]], atol=1e-12
    )
    assert space().encode([]).shape == (0, 4)
