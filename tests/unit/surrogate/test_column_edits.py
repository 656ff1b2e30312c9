"""Edits that residuals ask for, where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from autoloop.domain import FREE, Bicrystal, ColumnResiduals, Details
from autoloop.surrogate.column_edits import column_edits
from autoloop.testing.policies import example_details

WIDTH, HEIGHT = 13.0, 20.0
STEP = np.array([4.1, -0.7])
"""From the candidate's frame to the micrograph's [Å]."""


def boundary(shift: float = 1.3) -> tuple[Bicrystal, np.ndarray]:
    """A square lattice below an equal one that is shifted, one species; its columns."""
    rows = np.array([*range(-4, 0), *range(1, 5)])
    places = np.array(
        [
            [(2.6 * k + 0.37 * (r % 3) + shift * (r > 0)) % WIDTH, 2.3 * r]
            for r in rows
            for k in range(5)
        ]
    )
    # One column off the lattice of each grain: a coincidence period of five.
    places[17, 0] += 0.8
    places[22, 0] -= 0.7
    n = len(places)
    return (
        Bicrystal(
            numbers=np.full(n, 29),
            positions=np.column_stack(
                (places[:, 0], places[:, 1] + HEIGHT, np.ones(n))
            ),
            cell=np.diag([WIDTH, 2 * HEIGHT, 3.6]),
            boundary_height=HEIGHT,
            grains=np.where(places[:, 1] > 0, 1, 2),
            regions=np.full(n, FREE),
        ),
        places,
    )


def residuals(places, *, few=(), many=(), seen=None) -> ColumnResiduals:
    """What an image of `seen` says; `few` the candidate lacks, `many` it has alone."""
    seen = places if seen is None else seen
    measured, simulated = np.full(len(places), 2.0), np.full(len(places), 2.0)
    measured[list(many)] = np.nan
    simulated[list(few)] = np.nan
    return ColumnResiduals(
        positions=np.vstack([seen + STEP + [k * WIDTH, 0] for k in (-1, 0, 1)]),
        measured=np.tile(measured, 3),
        simulated=np.tile(simulated, 3),
    )


def without(bicrystal: Bicrystal, index: int) -> Bicrystal:
    kept = np.arange(len(bicrystal.numbers)) != index
    return replace(
        bicrystal,
        numbers=bicrystal.numbers[kept],
        positions=bicrystal.positions[kept],
        grains=bicrystal.grains[kept],
        regions=bicrystal.regions[kept],
    )


def test_nothing_to_mend() -> None:
    bicrystal, places = boundary()
    assert column_edits(bicrystal, residuals(places)) == []


def test_a_missing_column_is_added_where_it_is_seen() -> None:
    bicrystal, places = boundary()
    (edit,) = column_edits(without(bicrystal, 21), residuals(places, few=[21]))
    assert edit.mutation == "add_column"
    found = [edit.parameters["x"], edit.parameters["y"]]
    assert found == pytest.approx(places[21], abs=1e-6)


def test_a_column_too_many_is_removed() -> None:
    bicrystal, places = boundary()
    (edit,) = column_edits(bicrystal, residuals(places, many=[18]))
    assert edit.mutation == "remove_column"
    found = [edit.parameters["x"], edit.parameters["y"]]
    assert found == pytest.approx(places[18], abs=1e-6)


def test_a_column_elsewhere_is_moved() -> None:
    bicrystal, places = boundary()
    seen = places.copy()
    seen[18] += [0.5, -0.4]
    (edit,) = column_edits(bicrystal, residuals(places, seen=seen))
    assert edit.mutation == "move_column"
    assert edit.parameters["dx"] == pytest.approx(0.5, abs=1e-6)
    assert edit.parameters["dy"] == pytest.approx(-0.4, abs=1e-6)
    assert edit.parameters["x"] == pytest.approx(places[18, 0], abs=1e-6)


def test_the_upper_grain_is_shifted_to_where_it_is_seen() -> None:
    bicrystal, places = boundary()
    seen = places + np.where(places[:, 1:] > 0, [[0.45, 0.0]], 0.0)
    first = column_edits(bicrystal, residuals(places, seen=seen))[0]
    assert first.mutation == "shift"
    assert first.parameters["dx"] == pytest.approx(0.45, abs=1e-6)


def test_wrong_species_are_converted() -> None:
    details = example_details()
    assert details.columns is not None
    converted = [
        e.parameters["rank"]
        for e in column_edits(details.bicrystal, details.columns)
        if e.mutation == "convert"
    ]
    assert len(converted) == 2
    assert all(0 <= rank < 1 for rank in converted)


def test_residuals_of_something_else_give_nothing() -> None:
    bicrystal, _ = boundary()
    rng = np.random.default_rng(0)
    noise = ColumnResiduals(
        positions=rng.uniform(-8, 8, (40, 2)),
        measured=np.ones(40),
        simulated=np.ones(40),
    )
    assert all(e.mutation != "add_column" for e in column_edits(bicrystal, noise))
    few = ColumnResiduals(
        positions=np.zeros((1, 2)), measured=np.ones(1), simulated=np.ones(1)
    )
    assert column_edits(bicrystal, few) == []


def test_details_of_the_example_are_details() -> None:
    assert isinstance(example_details(), Details)
