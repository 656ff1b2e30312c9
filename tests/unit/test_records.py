"""Every value that crosses a process or a disk comes back as it was."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloop.domain import (
    Bicrystal,
    Candidate,
    ColumnResiduals,
    Columns,
    Crystal,
    Details,
    Evaluation,
    Grain,
    GrainBoundary,
    Image,
    Proposal,
    Reading,
    Relaxation,
    Score,
)
from autoloop.records import Record, pack, unpack
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import BoundaryTemplate, build_template

AWKWARD = (0.1 + 0.2, 1e-308, -0.0, 2**53 + 1.0, 1 / 3)
"""Floats that a careless conversion to text or float32 would change."""


def bicrystal(n: int) -> Bicrystal:
    rng = np.random.default_rng(n)
    return Bicrystal(
        numbers=rng.integers(1, 90, n),
        positions=rng.normal(size=(n, 3)),
        cell=np.diag([4.0, 20.0, 3.0]),
        boundary_height=1 / 3,
        grains=rng.integers(1, 3, n),
        regions=rng.integers(0, 3, n),
        origins=rng.normal(size=(2, 3)),
    )


def proposal() -> Proposal:
    return Proposal(
        parents=("0000-00", "0001-03"),
        mutation="assemble",
        parameters={
            "numbers": [*AWKWARD],
            "count": 3,
            "whole": 2.0,
            "flag": True,
            "name": "Å σ",
            "none": None,
            "nested": {"a": [1, [2.5, None]], "b": {}},
        },
        reason="it was the best so far",
    )


COPPER = find_crystal("Cu")
SCORE = Score(
    ssim=AWKWARD[0],
    shift_px=(AWKWARD[4], -1e-17),
    energy_limits_j_per_m2=(-0.1, 0.2),
    confidence=1.0,
)
BOUNDARY = GrainBoundary(
    upper=Grain(crystal=COPPER, zone_axis=(0, 0, 1), up=(3, 1, 0)),
    lower=Grain(crystal=COPPER, zone_axis=(0, 0, 1), up=(3, -1, 0), rotation_deg=-1e-3),
)
RESIDUALS = ColumnResiduals(
    positions=np.ones((3, 2)),
    measured=np.array([1.0, np.nan, 3.0]),
    simulated=np.array([np.inf, 2.0, np.nan]),
)
READING = Reading(
    pixel_size=0.1,
    pixel_size_nominal=0.097,
    angle_deg=12.5,
    shear=-0.01,
    origin_px=AWKWARD[:2],
    upper_origin_px=(1.0, 2.0),
    lower_origin_px=(3.0, 4.0),
    confidence=0.5,
    upper_matrix=((1.0, 0.25), (0.0, -1.0)),
)
OUTCOMES: tuple[dict[str, Any], ...] = (
    {"score": SCORE, "cost": 0.0},
    {"failure": "lost atoms: 3"},
    {"duplicate_of": "0000-00"},
)
EVALUATIONS = tuple(
    Evaluation(
        id="0002-01",
        cycle=2,
        index=1,
        proposal=proposal(),
        fingerprint="ab",
        work=2**40,
        **outcome,
    )
    for outcome in OUTCOMES
)
VALUES: dict[str, Any] = {
    "crystal": COPPER,
    "boundary": BOUNDARY,
    "bicrystal": bicrystal(5),
    "bicrystal without atoms": bicrystal(0),
    "relaxation": Relaxation(
        bicrystal=bicrystal(4),
        energies=np.array([1.0, np.nan, *AWKWARD[:2]]),
        n_force_evaluations=17,
    ),
    "reading": READING,
    "image": Image(values=np.arange(12.0).reshape(3, 4)[:, ::2], pixel_size=0.1),
    "columns": Columns(positions=np.ones((2, 2)), intensities=np.array([1.0, 2.0])),
    "proposal": proposal(),
    "candidate": Candidate(
        id="0002-01",
        cycle=2,
        index=1,
        proposal=proposal(),
        parents=(bicrystal(2), bicrystal(3)),
    ),
    "candidate without parents": Candidate(
        id="0000-00", cycle=0, index=0, proposal=proposal()
    ),
    "score": SCORE,
    "empty score": Score(),
    "scored": EVALUATIONS[0],
    "failed": EVALUATIONS[1],
    "duplicate": EVALUATIONS[2],
    "details": Details(
        bicrystal=bicrystal(5), excess_energies=np.full(5, np.nan), columns=RESIDUALS
    ),
    "details without columns": Details(
        bicrystal=bicrystal(1), excess_energies=np.zeros(1)
    ),
    "template": build_template(BOUNDARY, BOUNDARY, cutoff=5.5),
}


def same(one: Any, other: Any) -> None:
    """Equal to the last bit, in type as well."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        assert one.hex() == other.hex()
    else:
        assert one == other


@pytest.mark.parametrize("name", VALUES)
def test_there_and_back(name: str) -> None:
    value = VALUES[name]
    record = pack(value)
    # As after a journey: the text alone, and arrays that somebody else owns.
    arrays = {key: array.copy() for key, array in record.arrays.items()}
    same(value, unpack(Record(text=record.text, arrays=arrays), type(value)))


@pytest.mark.parametrize("name", VALUES)
def test_the_text_is_plain_json_and_names_every_array_once(name: str) -> None:
    record = pack(VALUES[name])
    named: list[str] = []

    def collect(node: Any) -> Any:
        named.extend([node["$array"]] if "$array" in node else [])
        return node

    json.loads(record.text, object_hook=collect, parse_constant=pytest.fail)
    assert sorted(named) == sorted(record.arrays)


def test_what_comes_back_is_locked_and_owns_its_arrays() -> None:
    record = pack(bicrystal(3))
    arrays = {key: array.copy() for key, array in record.arrays.items()}
    made = unpack(Record(text=record.text, arrays=arrays), Bicrystal)
    for array in arrays.values():
        array[...] = 0
    np.testing.assert_array_equal(made.positions, bicrystal(3).positions)
    with pytest.raises(ValueError, match="read-only"):
        made.positions[0, 0] = 1.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives(x: float) -> None:
    back = unpack(pack(Score(ssim=x, shift_px=(x, -x))), Score)
    same(back, Score(ssim=x, shift_px=(x, -x)))


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf")])
def test_plain_numbers_that_are_not_finite_are_refused(x: float) -> None:
    for value in (
        Score(ssim=x),
        Score(shift_px=(0.0, x)),
        replace(proposal(), parameters={"a": [{"b": x}]}),
        replace(READING, shear=x),
    ):
        with pytest.raises(ValueError, match="JSON compliant"):
            pack(value)


def test_a_mapping_that_looks_like_an_array_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$array"):
        pack(replace(proposal(), parameters={"x": {"$array": "a0"}}))


@pytest.mark.parametrize("kind", [Score, Bicrystal, BoundaryTemplate])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "3",
        '"a"',
        "[]",
        '{"unknown": 1}',
        '{"$array": "a0"}',
        '{"$array": [1]}',
        '{"ssim": "high"}',
    ],
)
def test_what_is_no_record_is_a_value_error(text: str, kind: type) -> None:
    with pytest.raises(ValueError):
        unpack(Record(text=text, arrays={}), kind)


def test_a_record_that_breaks_a_rule_of_its_type_is_refused() -> None:
    record = pack(bicrystal(3))
    name = json.loads(record.text)["positions"]["$array"]
    short = record.arrays | {name: record.arrays[name][:2]}
    with pytest.raises(ValueError, match="not a record of Bicrystal"):
        unpack(Record(text=record.text, arrays=short), Bicrystal)
    with pytest.raises(ValueError, match="not a record of Crystal"):
        unpack(record, Crystal)
    tree = json.loads(pack(EVALUATIONS[0]).text) | {"cost": None}
    with pytest.raises(ValueError, match="not a record of Evaluation"):
        unpack(Record(text=json.dumps(tree), arrays={}), Evaluation)
