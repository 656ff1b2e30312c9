"""Coincidence boundaries: tables, determinants in integers, another program."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest
from ase import Atoms
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.domain import Grain
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.coincidence import (
    coincidence_boundary,
    coincidence_rotations,
    primitive_indices,
)
from autoloop.structure.crystals import _from_atoms, find_crystal
from autoloop.structure.lattices import equivalent
from autoloop.structure.template import build_template

Array = NDArray[np.float64]
Indices = tuple[int, int, int]

# Disorientations of cubic coincidence lattices, the usual table of textbooks (after
# H. Grimmer, W. Bollmann and D. H. Warrington, Acta Cryst. A 30, 197 (1974)).
TABLE = [
    ((1, 1, 1), 3, 60.00),
    ((1, 0, 0), 5, 36.87),
    ((1, 1, 1), 7, 38.21),
    ((1, 1, 0), 9, 38.94),
    ((1, 1, 0), 11, 50.48),
    ((1, 0, 0), 13, 22.62),
    ((1, 1, 1), 13, 27.80),
    ((2, 1, 0), 15, 48.19),
    ((1, 0, 0), 17, 28.07),
    ((2, 2, 1), 17, 61.93),
    ((1, 1, 0), 19, 26.53),
    ((1, 1, 1), 19, 46.83),
    ((1, 1, 1), 21, 21.79),
    ((2, 1, 1), 21, 44.42),
    ((3, 1, 1), 23, 40.46),
    ((1, 0, 0), 25, 16.26),
    ((3, 3, 1), 25, 51.68),
    ((1, 1, 0), 27, 31.59),
    ((2, 1, 0), 27, 35.43),
    ((1, 0, 0), 29, 43.60),
    ((2, 2, 1), 29, 46.40),
    ((1, 1, 1), 31, 17.90),
    ((2, 1, 1), 31, 52.20),
    ((1, 1, 0), 33, 20.05),
    ((3, 1, 1), 33, 33.56),
    ((1, 1, 0), 33, 58.99),
    ((2, 1, 1), 35, 34.05),
    ((3, 3, 1), 35, 43.23),
]


@pytest.mark.parametrize(("axis", "sigma", "angle"), TABLE)
def test_angles_of_the_tables(axis: Indices, sigma: int, angle: float) -> None:
    angles = [turn.angle_deg for turn in coincidence_rotations(axis, sigma)]
    assert min(abs(a - angle) for a in angles) < 0.006
    # To the other side just as well.
    assert min(abs(a + angle) for a in angles) < 0.006


# pymatgen 2026.10.24: GrainBoundaryGenerator.enum_sigma_cubic(35, axis).
PYMATGEN = {
    (1, 0, 0): {
        5: [36.87, 53.13, 126.87, 143.13],
        13: [22.62, 67.38, 112.62, 157.38],
        17: [28.07, 61.93, 118.07, 151.93],
        25: [16.26, 73.74, 106.26, 163.74],
        29: [43.60, 46.40, 133.60, 136.40],
    },
    (1, 1, 0): {
        3: [70.53, 109.47],
        9: [38.94, 141.06],
        11: [50.48, 129.52],
        17: [86.63, 93.37],
        19: [26.53, 153.47],
        27: [31.59, 148.41],
        33: [20.05, 58.99, 121.01, 159.95],
    },
    (1, 1, 1): {
        3: [60.00, 180.00],
        7: [38.21, 81.79, 158.21],
        13: [27.80, 92.20, 147.80],
        19: [46.83, 73.17, 166.83],
        21: [21.79, 98.21, 141.79],
        31: [17.90, 102.10, 137.90],
    },
}


@pytest.mark.parametrize("axis", PYMATGEN)
def test_another_program_lists_the_same_rotations(axis: Indices) -> None:
    ours = {}
    for sigma in range(3, 36, 2):
        turns = coincidence_rotations(axis, sigma)
        if turns:
            ours[sigma] = sorted({round(abs(t.angle_deg), 2) for t in turns})
    assert ours == PYMATGEN[axis]


@pytest.mark.parametrize(
    ("name", "axis", "sigma", "plane", "area", "cells"),
    [
        # Area of the cells that gb_from_parameters of the same version makes [Å²], and
        # how many of ours each holds: it does not look for primitive ones in fcc.
        ("Cu", (0, 0, 1), 5, (3, 1, 0), 41.3231, 2),
        ("Cu", (0, 0, 1), 5, (0, 0, 1), 65.3375, 2),
        ("Cu", (1, 1, 1), 7, (1, 1, 1), 158.435, 4),
        ("Cu", (1, 1, 0), 11, (1, -1, 3), 43.340, 2),
        ("W", (0, 0, 1), 5, (0, 0, 1), 50.0925, 1),
        # Hexagonal, as ours.
        ("W", (1, 1, 1), 7, (1, 1, 1), 121.4677, 1),
    ],
)
def test_cells_of_another_program_hold_ours(
    name: str, axis: Indices, sigma: int, plane: Indices, area: float, cells: float
) -> None:
    boundary = coincidence_boundary(find_crystal(name), axis, sigma, plane)
    template = build_template(boundary, boundary, cutoff=5.5)
    # Printed to six digits.
    assert area / (template.width * template.depth) == pytest.approx(cells, rel=1e-5)


def rotation(axis: Indices, angle_deg: float) -> Array:
    """Rodrigues' formula."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def smallest_denominator(matrix: Array, limit: int) -> int | None:
    """Return the least whole number that makes all elements whole."""
    for n in range(1, limit):
        if np.abs(n * matrix - np.round(n * matrix)).max() < 1e-7:
            return n
    return None


AXES = st.tuples(*[st.integers(-4, 4)] * 3).filter(lambda v: gcd(*v) == 1)


@settings(max_examples=80, deadline=None)
@given(axis=AXES, sigma=st.integers(1, 40).map(lambda n: 2 * n + 1))
def test_sigma_is_the_common_denominator_of_the_rotation(
    axis: Indices, sigma: int
) -> None:
    """Grimmer's criterion, which knows nothing of quaternions: Sigma R is whole."""
    for turn in coincidence_rotations(axis, sigma):
        matrix = rotation(axis, turn.angle_deg)
        assert smallest_denominator(matrix, 200) == turn.sigma == sigma
        for direction in ((1, 0, 0), (1, 2, -3)):
            there = np.array(turn.turned(direction))
            turned = matrix @ direction
            along = there / np.linalg.norm(there)
            np.testing.assert_allclose(
                turned / np.linalg.norm(turned), along, atol=1e-9
            )


@settings(max_examples=60, deadline=None)
@given(axis=AXES, m=st.integers(0, 9), n=st.integers(1, 5))
def test_no_rotation_is_missed(axis: Indices, m: int, n: int) -> None:
    """Any rational turn has a Sigma, and is found by it."""
    assume(gcd(m, n) == 1)
    angle = float(np.degrees(2 * np.arctan2(n * np.linalg.norm(axis), m)))
    sigma = smallest_denominator(rotation(axis, angle), 3000)
    assert sigma is not None
    found = [t.angle_deg for t in coincidence_rotations(axis, sigma)]
    assert min(abs((f - angle + 180) % 360 - 180) for f in found) < 1e-6


@pytest.mark.parametrize("name", ["Cu", "W", "SrTiO3"])
@pytest.mark.parametrize(
    ("axis", "sigma"), [((0, 0, 1), 5), ((1, 1, 0), 9), ((1, 1, 1), 7), ((2, 1, 0), 15)]
)
def test_sigma_is_the_volume_of_the_coincidence_cell(
    name: str, axis: Indices, sigma: int
) -> None:
    """Counted: of so many points of one lattice one is a point of the other."""
    crystal = find_crystal(name)
    turn = coincidence_rotations(axis, sigma)[0]
    back = rotation(axis, turn.angle_deg).T
    span = np.arange(sigma)
    cells = np.stack(np.meshgrid(span, span, span), -1).reshape(-1, 3)
    # Coincidence is periodic with sigma times the cell, so this block holds its share.
    shared = total = 0
    for start in crystal.translations:
        points = (cells + start) @ back.T
        steps = points[:, None] - crystal.translations
        shared += int(np.sum(np.abs(steps - np.round(steps)).max(2).min(1) < 1e-6))
        total += len(points)
    assert total == shared * sigma


# --- boundaries ---------------------------------------------------------------------


def parallel(upper: Grain, lower: Grain, axis: Indices) -> Array:
    """Return the turn between the grains' crystal axes; it must keep `axis`."""
    turn = orientation(lower).T @ orientation(upper)
    np.testing.assert_allclose(turn @ axis, axis, atol=1e-9)
    return np.asarray(turn)


SYMMETRIC = [
    ("Cu", (0, 0, 1), 5, (3, 1, 0), (3, -1, 0)),
    ("Cu", (0, 0, 1), 5, (2, 1, 0), (1, 2, 0)),
    ("Cu", (1, -1, 0), 3, (1, 1, 1), (1, 1, -1)),
    ("Cu", (1, -1, 0), 11, (1, 1, 3), (-1, -1, 3)),
    ("W", (1, -1, 0), 3, (1, 1, 2), (-1, -1, 2)),
    ("Si", (1, -1, 0), 9, (2, 2, 1), (2, 2, -1)),
    # Polar planes go on with the same side up: the twin with only unlike neighbours.
    ("CdTe", (1, -1, 0), 3, (1, 1, 1), (-1, -1, 1)),
]


@pytest.mark.parametrize(("name", "axis", "sigma", "plane", "other"), SYMMETRIC)
def test_symmetric_tilt_boundaries(
    name: str, axis: Indices, sigma: int, plane: Indices, other: Indices
) -> None:
    boundary = coincidence_boundary(find_crystal(name), axis, sigma, plane)
    assert boundary.upper.up == plane
    assert boundary.lower.up == other
    assert boundary.upper.zone_axis == boundary.lower.zone_axis == axis
    turn = parallel(boundary.upper, boundary.lower, axis)
    assert smallest_denominator(turn, 100) == sigma
    template = build_template(boundary, boundary, cutoff=5.5)
    assert template.exact
    assert template.strain < 1e-9
    assert template.upper.spacing == pytest.approx(template.lower.spacing)


def test_a_twin_of_the_other_polarity_is_asked_for_by_its_angle() -> None:
    crystal = find_crystal("CdTe")
    # (111) and (-1-11) are faces of one species, (11-1) of the other.
    for angle, side in ((109.47, (-1, -1, 1)), (-70.53, (1, 1, -1))):
        twin = coincidence_boundary(crystal, (1, -1, 0), 3, (1, 1, 1), angle_deg=angle)
        assert twin.lower.up == side
    with pytest.raises(
        ConfigError, match=r"by 50 degrees has sigma 3; these .* 70\.53"
    ):
        coincidence_boundary(crystal, (1, -1, 0), 3, (1, 1, 1), angle_deg=50)


@pytest.mark.parametrize(
    ("name", "axis", "sigma", "width", "depth"),
    [
        # Square cells of (001): a sqrt(Sigma/2) in fcc, a sqrt(Sigma) in sc and bcc.
        ("Cu", (0, 0, 1), 5, np.sqrt(2.5), np.sqrt(2.5)),
        ("Cu", (0, 0, 1), 29, np.sqrt(14.5), np.sqrt(14.5)),
        ("W", (0, 0, 1), 5, np.sqrt(5), np.sqrt(5)),
        ("SrTiO3", (0, 0, 1), 13, np.sqrt(13), np.sqrt(13)),
        # The hexagonal cell of (111), of edge a sqrt(Sigma/2) in fcc, and its height.
        ("Cu", (1, 1, 1), 7, np.sqrt(21 / 8), np.sqrt(3.5)),
        ("Si", (1, 1, 1), 13, np.sqrt(39 / 8), np.sqrt(6.5)),
        # Twice that: where it is small, the cell stays rectangular.
        ("CdTe", (1, 1, 1), 3, np.sqrt(1.5), np.sqrt(0.5)),
    ],
)
def test_twist_boundaries(
    name: str, axis: Indices, sigma: int, width: float, depth: float
) -> None:
    crystal = find_crystal(name)
    boundary = coincidence_boundary(crystal, axis, sigma, axis)
    assert boundary.upper.up == boundary.lower.up == axis
    assert boundary.upper.zone_axis != boundary.lower.zone_axis
    turn = parallel(boundary.upper, boundary.lower, axis)
    assert smallest_denominator(turn, 100) == sigma
    template = build_template(boundary, boundary, cutoff=5.5)
    a = crystal.cell[0, 0]
    assert template.width == pytest.approx(width * a)
    assert template.depth == pytest.approx(depth * a)
    assert template.strain < 1e-9


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["Cu", "W", "Si", "CdTe", "SrTiO3"]),
    axis=st.tuples(*[st.integers(-2, 2)] * 3).filter(lambda v: gcd(*v) == 1),
    plane=st.tuples(*[st.integers(-2, 2)] * 3).filter(any),
    sigma=st.sampled_from([3, 5, 7, 9, 11]),
)
def test_any_plane_of_a_coincidence_lattice_has_an_exact_cell(
    name: str, axis: Indices, plane: Indices, sigma: int
) -> None:
    """Tilt, twist and mixed: the cell is a whole cell of both lattices, unstrained."""
    assume(coincidence_rotations(axis, sigma))
    boundary = coincidence_boundary(find_crystal(name), axis, sigma, plane)
    assert boundary.upper.up == primitive_indices(plane)
    turn = parallel(boundary.upper, boundary.lower, axis)
    assert smallest_denominator(turn, 100) == sigma
    if equivalent(boundary.upper, boundary.lower):
        return
    template = build_template(
        boundary, boundary, cutoff=4.0, max_strain=1e-6, max_period=400, max_depth=400
    )
    area = template.width * template.depth
    for grain in (template.upper, template.lower):
        for vector in ([template.width, 0, template.shear], [0, 0, template.depth]):
            indices = np.linalg.solve(grain.lattice.T, vector)
            np.testing.assert_allclose(indices, np.round(indices), atol=1e-6)
    # A planar coincidence cell: its area over that of a plane's own is whole.
    cells = area / abs(np.linalg.det(template.shift_cell))
    assert cells == pytest.approx(round(cells), rel=1e-6)


def test_what_is_no_coincidence_boundary_is_refused() -> None:
    copper = find_crystal("Cu")
    with pytest.raises(ConfigError, match=r"\[0, 0, 1\] has sigma 7; .* 5, 13, 17"):
        coincidence_boundary(copper, (0, 0, 1), 7, (3, 1, 0))
    for sigma in (1, 4, -5):
        with pytest.raises(ConfigError, match="odd sigma from 3"):
            coincidence_boundary(copper, (0, 0, 1), sigma, (3, 1, 0))
    with pytest.raises(ConfigError, match="Mg is not cubic"):
        coincidence_boundary(find_crystal("Mg"), (0, 0, 1), 7, (1, 2, 0))
    with pytest.raises(ConfigError, match="give no direction"):
        coincidence_boundary(copper, (0, 0, 0), 5, (3, 1, 0))
    # Cubic by its edges, not by its atoms.
    sites = Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0)], cell=[4] * 3)
    sites.pbc = True
    with pytest.raises(ConfigError, match="layered is not cubic"):
        coincidence_boundary(_from_atoms("layered", sites), (0, 0, 1), 5, (3, 1, 0))
