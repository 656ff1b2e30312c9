"""Periods, spacings and repeats of oriented lattices: theory and brute force."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from math import gcd

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.domain import Grain
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.beam import common_depth
from autoloop.structure.crystals import crystal_names, find_crystal
from autoloop.structure.lattices import (
    bulk_atoms,
    common_period,
    equivalent,
    primitive_basis,
    primitive_vectors,
    rows_near_x,
    zone_period,
)
from autoloop.structure.planes import generated_cell, in_plane_fractions, plane_spacing

Array = NDArray[np.float64]
Indices = tuple[int, int, int]

EXACT = 1e-6  # [Å]: arithmetic with numbers below 100 Å leaves 1e-12


def grain(name: str, zone: Indices, up: Indices, rotation_deg: float = 0.0) -> Grain:
    return Grain(
        crystal=find_crystal(name), zone_axis=zone, up=up, rotation_deg=rotation_deg
    )


@pytest.mark.parametrize("name", crystal_names())
def test_primitive_cell_holds_its_share(name: str) -> None:
    tilted = grain(name, (0, 0, 1), (1, 0, 0), 17.0)
    crystal = tilted.crystal
    vectors = primitive_vectors(tilted)
    positions, numbers = primitive_basis(tilted)
    share = len(crystal.translations)
    volume = abs(np.linalg.det(crystal.cell)) / share
    assert abs(np.linalg.det(vectors)) == pytest.approx(volume)
    assert len(numbers) == len(positions) == len(crystal.numbers) // share
    # No two atoms of the basis are one atom.
    steps = (positions[:, None] - positions) @ np.linalg.inv(vectors)
    steps -= np.round(steps)
    apart = np.abs(steps).max(axis=2) + np.eye(len(positions))
    assert apart.min() > 0.1


@pytest.mark.parametrize(
    ("name", "zone", "in_units_of_a"),
    [
        ("Cu", (0, 0, 1), 1),
        ("Cu", (1, 1, 0), np.sqrt(0.5)),
        ("Cu", (1, 1, 1), np.sqrt(3)),
        ("Cu", (1, 1, 2), np.sqrt(1.5)),
        ("Cu", (2, 0, 0), 1),
        ("Cu", (1, 1, 10), np.sqrt(102) / 2),
        ("W", (1, 1, 0), np.sqrt(2)),
        ("W", (1, 1, 1), np.sqrt(0.75)),
        ("Si", (1, 1, 0), np.sqrt(0.5)),
        ("CdTe", (1, -1, 0), np.sqrt(0.5)),
        ("SrTiO3", (1, 1, 0), np.sqrt(2)),
        ("Mg", (1, 0, 0), 1),
        ("Mg", (1, 2, 0), np.sqrt(3)),
        ("Mg", (0, 0, 1), 5.2107 / 3.2094),
    ],
)
def test_period_along_the_beam(name: str, zone: Indices, in_units_of_a: float) -> None:
    up = (0, 0, 1) if zone[0] or zone[1] else (1, 0, 0)
    g = grain(name, zone, up)
    a = np.linalg.norm(g.crystal.cell[0])
    assert zone_period(g) == pytest.approx(in_units_of_a * a)


HKL = st.tuples(*[st.integers(-7, 7)] * 3).filter(lambda v: gcd(*v) == 1)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["Cu", "W", "Si", "CdTe", "SrTiO3"]),
    hkl=HKL,
    beam=st.tuples(*[st.integers(-2, 2)] * 3),
)
def test_spacing_of_planes_in_cubic_crystals(
    name: str, hkl: Indices, beam: Indices
) -> None:
    zone = np.cross(hkl, beam)
    assume(np.any(zone))
    along = np.cross(hkl, zone)
    g = grain(name, tuple(zone.tolist()), hkl)
    a = g.crystal.cell[0, 0]
    width, depth = (float(a * np.linalg.norm(v)) for v in (along, zone))
    odd = [i % 2 for i in hkl]
    halved = {4: sum(odd) != 3, 2: sum(odd) % 2 == 1, 1: False}
    d = a / np.linalg.norm(hkl) / (2 if halved[len(g.crystal.translations)] else 1)
    assert plane_spacing(primitive_vectors(g), width, depth) == pytest.approx(d)


@pytest.mark.parametrize(
    ("up", "along", "spacing"),
    [
        ((0, 0, 1), (1, 2, 0), 5.2107),  # basal planes of the lattice, two atoms high
        ((1, 2, 0), (0, 0, 1), 3.2094 * np.sqrt(3) / 2),  # prism planes
    ],
)
def test_spacing_of_planes_in_a_hexagonal_crystal(
    up: Indices, along: Indices, spacing: float
) -> None:
    g = grain("Mg", (1, 0, 0), up)
    width = float(np.linalg.norm(np.array(along) @ g.crystal.cell))
    found = plane_spacing(primitive_vectors(g), width, 3.2094)
    assert found == pytest.approx(spacing)


def test_a_plane_without_the_vectors_given_is_refused() -> None:
    vectors = primitive_vectors(grain("Cu", (0, 0, 1), (3, 1, 0)))
    with pytest.raises(ValueError, match="no vector of the lattice"):
        plane_spacing(vectors, 5.0, 3.6149)


# --- common periods -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "zone", "upper", "lower", "in_units_of_a"),
    [
        ("Cu", (0, 0, 1), (3, 1, 0), (3, -1, 0), np.sqrt(10) / 2),
        ("Cu", (0, 0, 1), (2, 1, 0), (2, -1, 0), np.sqrt(5)),
        # Long, and exact: before an approximant of 13.8 Å that errs by 1.2 degrees.
        ("Cu", (0, 0, 1), (12, 5, 0), (12, -5, 0), 13),
        ("Cu", (1, -1, 0), (1, 1, 1), (1, 1, -1), np.sqrt(1.5)),
        ("Cu", (1, -1, 0), (1, 1, 3), (1, 1, -3), np.sqrt(5.5)),
        ("Si", (1, -1, 0), (2, 2, 1), (2, 2, -1), np.sqrt(4.5)),
        ("W", (0, 0, 1), (3, 1, 0), (3, -1, 0), np.sqrt(10)),
        ("W", (1, -1, 0), (1, 1, 2), (1, 1, -2), np.sqrt(3) / 2),
    ],
)
def test_coincidence_periods(
    name: str, zone: Indices, upper: Indices, lower: Indices, in_units_of_a: float
) -> None:
    period = common_period(
        grain(name, zone, upper),
        grain(name, zone, lower),
        max_strain=0.02,
        max_period=60,
    )
    a = find_crystal(name).cell[0, 0]
    assert period.width == pytest.approx(in_units_of_a * a)
    assert period.strain() < 1e-9
    assert abs(period.turn_deg()) < 1e-6


def test_a_boundary_without_coincidence_gets_an_approximant() -> None:
    """CdTe <110>, 82.8 degrees: 5 rows of one grain on 7 of the other."""
    upper = grain("CdTe", (1, 1, 0), (-1, 1, 0), 7.2)
    lower = grain("CdTe", (1, 1, 0), (0, 0, 1))
    period = common_period(upper, lower, max_strain=0.02, max_period=60)
    assert period.width == pytest.approx(32.408, abs=1e-3)
    assert period.strain() == pytest.approx(0.0101, abs=1e-4)
    assert abs(period.turn_deg()) < 1.0
    # Each grain carries half, and gives a vector of its own lattice.
    lengths = [np.linalg.norm(v) for v in (period.upper, period.lower)]
    assert np.mean(lengths) == pytest.approx(period.width)
    for g, row in ((upper, period.upper), (lower, period.lower)):
        indices = np.linalg.solve(primitive_vectors(g).T, [*row, 0.0])
        np.testing.assert_allclose(indices, np.round(indices), atol=EXACT)


def test_limits_of_a_period_are_kept() -> None:
    upper = grain("CdTe", (1, 1, 0), (-1, 1, 0), 7.2)
    lower = grain("CdTe", (1, 1, 0), (0, 0, 1))
    with pytest.raises(ConfigError, match=r"up to 30 Å .* below 1 %; allow more with"):
        common_period(upper, lower, max_strain=0.01, max_period=30)
    tight = common_period(upper, lower, max_strain=0.005, max_period=120)
    assert tight.strain() <= 0.005
    assert tight.width <= 120


def test_a_refusal_names_what_would_do() -> None:
    """The limit that it offers is enough, and no larger than it needs to be."""
    upper = grain("CdTe", (1, 1, 0), (-1, 1, 0), 8.15)
    lower = grain("CdTe", (1, 1, 0), (0, 0, 1))
    with pytest.raises(ConfigError, match=r"best is 32\.41 Å .* 1\.01 % ") as refusal:
        common_period(upper, lower, max_strain=0.009, max_period=60)
    offered = re.search(r"cell\.max_strain of ([\d.]+) allows", str(refusal.value))
    assert offered is not None
    limit = float(offered[1])
    period = common_period(upper, lower, max_strain=limit, max_period=60)
    assert period.width == pytest.approx(32.408, abs=1e-3)
    assert limit - 1e-4 <= period.strain() <= limit
    # What is printed as 1.01 % passes a limit of 1.01 %.
    assert common_period(upper, lower, max_strain=0.0101, max_period=60).strain() > 0.01
    # Of a turn that no cell has there is nothing to offer.
    lonely = grain("CdTe", (1, 1, 0), (-1, 1, 0), 25.0)
    with pytest.raises(ConfigError) as bare:
        common_period(lonely, lower, max_strain=0.001, max_period=8)
    assert "the best" not in str(bare.value)


@settings(max_examples=60, deadline=None)
@given(
    names=st.tuples(*[st.sampled_from(["Cu", "W", "CdTe", "Mg", "GaN"])] * 2),
    zones=st.tuples(*[st.sampled_from([(0, 0, 1), (1, 0, 0), (1, 1, 0)])] * 2),
    max_strain=st.sampled_from([0.001, 0.01, 0.05]),
)
def test_the_depth_is_the_best_of_brute_force(
    names: tuple[str, str], zones: tuple[Indices, Indices], max_strain: float
) -> None:
    pair = [
        grain(name, zone, (0, 0, 1) if zone[2] == 0 else (1, 0, 0))
        for name, zone in zip(names, zones, strict=True)
    ]
    periods = [zone_period(g) for g in pair]
    least = min(
        max(
            abs((m * periods[0] + n * periods[1]) / (2 * k * p) - 1)
            for k, p in zip((m, n), periods, strict=True)
        )
        for m in range(1, int(40 / periods[0]) + 1)
        for n in range(1, int(80 / periods[1]) + 1)
    )
    if least > 1.005 * max_strain:
        with pytest.raises(ConfigError, match=f"with {100 * least:.2f} %"):
            common_depth(*pair, max_strain=max_strain, max_depth=40)
        return
    found = common_depth(*pair, max_strain=max_strain, max_depth=40)
    for n, period, strain in zip(
        (found.n_upper, found.n_lower), periods, found.strains, strict=True
    ):
        assert n * period * (1 + strain) == pytest.approx(found.depth)
        assert abs(strain) <= max_strain * 1.005
    # Both share it: one is stretched, the other pressed, alike to second order.
    assert sum(found.strains) == pytest.approx(0, abs=2 * max_strain**2)
    # Nothing shallower fits better.
    largest = max(map(abs, found.strains))
    for m in range(1, found.n_upper):
        n = max(1, round(m * periods[0] / periods[1]))
        mean = (m * periods[0] + n * periods[1]) / 2
        worst = max(abs(mean / (m * periods[0]) - 1), abs(mean / (n * periods[1]) - 1))
        assert worst > largest - 1e-9


@pytest.mark.parametrize(
    ("name", "zone"), [("Mg", (1, 0, 1)), ("GaN", (1, 1, 1))], ids=str
)
def test_a_zone_without_a_plane_normal_to_it_is_an_error_of_the_user(
    name: str, zone: Indices
) -> None:
    pair = [grain(name, zone, (0, 1, 0), turn) for turn in (5.0, -5.0)]
    with pytest.raises(ConfigError, match=r"zone_axis \[1, .*no lattice plane"):
        common_period(*pair, max_strain=0.02, max_period=60)


@pytest.mark.parametrize("zone", [(52, 5, -105), (17, -23, 29)])
def test_a_plane_across_high_indices_is_found(zone: Indices) -> None:
    """Every row there is, counted by the area of the plane's own cell."""
    g = grain("SrTiO3", zone, (1, 0, 0))
    rows = rows_near_x(g, 400.0, np.pi)
    areas = np.abs(rows[:, None, 0] * rows[:, 1] - rows[:, None, 1] * rows[:, 0])
    smallest = areas[areas > 1e-3].min()
    assert smallest == pytest.approx(3.905**2 * np.linalg.norm(zone))


# --- repeats in the plane -----------------------------------------------------------


@settings(max_examples=80)
@given(
    n=st.integers(1, 12),
    rows=st.lists(st.tuples(*[st.integers(0, 200)] * 2), max_size=4),
)
def test_generated_cell_is_that_of_brute_force(
    n: int, rows: list[tuple[int, int]]
) -> None:
    width, depth = 7.0, 3.0
    rows = [(a % n, b % n) for a, b in rows]
    fractions = np.array(rows, float).reshape(-1, 2) / n
    cell = generated_cell(fractions, width, depth) / (width, depth)
    # All sums of the fractions, modulo the cell: a finite group.
    group = {(0, 0)}
    while True:
        sums = {((a + c) % n, (b + d) % n) for (a, b) in group for (c, d) in rows}
        if sums <= group:
            break
        group |= sums
    assert abs(np.linalg.det(cell)) == pytest.approx(1 / len(group))
    # Both basis vectors are among them, and every one is made of both.
    assert {tuple(np.rint(v * n).astype(int) % n) for v in cell} <= group
    made = np.array(sorted(group)) / n @ np.linalg.inv(cell)
    np.testing.assert_allclose(made, np.round(made), atol=EXACT)
    assert cell[1, 0] == 0.0  # only the first moves columns in an image
    assert np.all(np.diag(cell) > 0)


@pytest.mark.parametrize("angle", [0.0, 3.1, 11.3, 18.4349488, 30.0, 40.2])
@pytest.mark.parametrize(
    ("name", "zone", "up"),
    [
        ("Cu", (0, 0, 1), (0, 1, 0)),
        ("Cu", (1, 1, 0), (0, 0, 1)),
        ("W", (1, 1, 1), (1, -1, 0)),
        ("GaN", (0, 0, 1), (1, 0, 0)),
        ("Mg", (1, 0, 0), (0, 0, 1)),
    ],
)
def test_repeats_in_the_plane_are_as_many_as_the_spacing_says(
    name: str, zone: Indices, up: Indices, angle: float
) -> None:
    """Two ways to the same number: a search, and integer arithmetic."""
    tilted = [grain(name, zone, up, t) for t in (angle + 5, -angle - 5)]
    period = common_period(*tilted, max_strain=0.03, max_period=70)
    row = period.upper / np.linalg.norm(period.upper)
    turn = np.array([[row[0], row[1], 0], [-row[1], row[0], 0], [0, 0, 1]])
    vectors = primitive_vectors(tilted[0]) @ turn.T
    width, depth = float(np.linalg.norm(period.upper)), zone_period(tilted[0])
    fractions = in_plane_fractions(vectors, width, depth)
    volume = abs(np.linalg.det(vectors))
    spacing = plane_spacing(vectors, width, depth)
    assert len(fractions) == round(spacing * width * depth / volume)
    points = np.column_stack(
        (fractions[:, 0] * width, np.zeros(len(fractions)), fractions[:, 1] * depth)
    )
    indices = np.linalg.solve(vectors.T, points.T)
    np.testing.assert_allclose(indices, np.round(indices), atol=1e-4)  # 1e-6 of 70 Å


def test_repeats_of_known_planes() -> None:
    # (111) of fcc is centred in its cell [11-2]/2 by [1-10]/2; (310) is primitive.
    cases = {
        (1, 1, 1): (np.sqrt(1.5), (1, -1, 0)),
        (3, 1, 0): (np.sqrt(2.5), (0, 0, 1)),
    }
    found = {}
    for up, (width, zone) in cases.items():
        g = grain("Cu", zone, up)
        found[up] = in_plane_fractions(
            primitive_vectors(g), width * 3.6149, zone_period(g)
        )
    np.testing.assert_allclose(found[1, 1, 1], [[0, 0], [0.5, 0.5]], atol=EXACT)
    np.testing.assert_allclose(found[3, 1, 0], [[0, 0]], atol=EXACT)
    assert Fraction(1, 2) == Fraction(float(found[1, 1, 1][1, 0]))


# --- bulk and symmetry --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "zone", "up", "angle"),
    [
        ("Cu", (0, 0, 1), (3, 1, 0), 0.0),
        ("CdTe", (1, 1, 0), (-1, 1, 0), 7.2),
        ("Mg", (1, 0, 0), (0, 0, 1), 12.0),
        ("SrTiO3", (1, 1, 1), (1, -1, 0), 3.0),
    ],
)
def test_bulk_atoms_are_those_of_brute_force(
    name: str, zone: Indices, up: Indices, angle: float
) -> None:
    g = grain(name, zone, up, angle)
    low, high = np.array([-7.3, 4.1]), np.array([9.2, 16.7])
    positions, numbers, depth = bulk_atoms(g, low, high)
    crystal = g.crystal
    cells = np.array(list(itertools.product(range(-11, 12), repeat=3)))
    everything = (cells[:, None] + crystal.scaled_positions).reshape(-1, 3)
    points = everything @ crystal.cell @ orientation(g).T
    species = np.tile(crystal.numbers, len(cells))
    # One period deep, from a height at which no atom lies.
    inside = np.all((points[:, :2] >= low) & (points[:, :2] <= high), axis=1)
    inside &= (points[:, 2] > -0.0123) & (points[:, 2] < depth - 0.0123)
    expected = np.column_stack((points[inside, :2], species[inside]))
    found = np.column_stack((positions, numbers))
    order, other = (np.lexsort(np.round(v, 5).T) for v in (expected, found))
    assert len(found) == len(expected) > 20
    np.testing.assert_allclose(found[other], expected[order], atol=EXACT)


@pytest.mark.parametrize(
    ("name", "zone", "upper", "lower", "same"),
    [
        ("Cu", (0, 0, 1), (3, 1, 0), (3, 1, 0), True),
        ("Cu", (0, 0, 1), (3, 1, 0), (-1, 3, 0), True),
        ("Cu", (1, -1, 0), (1, 1, 1), (-1, -1, -1), True),
        ("Si", (1, -1, 0), (1, 1, 1), (-1, -1, -1), True),
        # Zincblende has no twofold axis along <110>: the polarity turns over.
        ("CdTe", (1, -1, 0), (1, 1, 1), (-1, -1, -1), False),
        ("CdTe", (0, 0, 1), (1, 0, 0), (-1, 0, 0), True),
        ("CdTe", (0, 0, 1), (1, 0, 0), (0, 1, 0), False),
        ("Cu", (0, 0, 1), (3, 1, 0), (3, -1, 0), False),
        ("Cu", (1, -1, 0), (1, 1, 1), (1, 1, -1), False),
        ("Mg", (0, 0, 1), (1, 0, 0), (0, 1, 0), True),
        ("Mg", (0, 0, 1), (1, 0, 0), (1, 2, 0), False),
    ],
)
def test_equivalent_orientations(
    name: str, zone: Indices, upper: Indices, lower: Indices, same: bool
) -> None:
    pair = grain(name, zone, upper), grain(name, zone, lower)
    assert equivalent(*pair) is same
    assert equivalent(*pair[::-1]) is same


def test_equivalence_by_angle() -> None:
    here = grain("Cu", (0, 0, 1), (1, 0, 0))
    # 0.01 degrees are nothing, a degree is a low-angle boundary.
    assert equivalent(here, grain("Cu", (0, 0, 1), (1, 0, 0), 90.01))
    assert not equivalent(here, grain("Cu", (0, 0, 1), (1, 0, 0), 91.0))
    assert not equivalent(here, grain("Al", (0, 0, 1), (1, 0, 0)))
