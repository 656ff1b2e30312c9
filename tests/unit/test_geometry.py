"""Frames and transforms against hand computation, neighbours against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Crystal, Grain
from autoloop.geometry import (
    Frame,
    minimum_image,
    orientation,
    periodic_pairs,
    project_columns,
    reduced_cell,
    reduced_shear,
    shortest_basis,
    window_weights,
    wrapped,
)

Array = NDArray[np.float64]

ROUNDING = 1e-9  # lengths here are below 1e3, so errors of float64 are below 1e-12

CELLS = {
    "cubic": np.eye(3) * 3.6,
    "hexagonal": np.array([[3.2, 0, 0], [-1.6, 1.6 * np.sqrt(3), 0], [0, 0, 5.2]]),
    "triclinic": np.array([[4.0, 0, 0], [1.1, 5.0, 0], [-0.7, 0.9, 6.0]]),
}
INDICES = st.tuples(*[st.integers(-4, 4)] * 3)


def crystal(cell: Array) -> Crystal:
    return Crystal(
        name="test",
        cell=cell,
        numbers=np.array([29]),
        scaled_positions=np.zeros((1, 3)),
        translations=np.zeros((1, 3)),
        rotations=np.eye(3)[None],
    )


def atoms(
    positions: Array, cell: Array, grains: Array | None = None, height: float = 0.0
) -> Bicrystal:
    n = len(positions)
    return Bicrystal(
        numbers=np.full(n, 29),
        positions=positions,
        cell=cell,
        boundary_height=height,
        grains=np.ones(n, int) if grains is None else grains,
        regions=np.zeros(n, int),
    )


def random_positions(seed: int, n: int, box: Array) -> Array:
    """Points in a box and some way outside it."""
    return np.random.default_rng(seed).uniform(-0.5, 1.5, (n, 3)) * box


# --- orientation --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(CELLS)),
    zone=INDICES.filter(any),
    up=INDICES.filter(any),
    angle=st.floats(-180, 180),
)
def test_orientation_is_a_proper_rotation_that_lays_the_axes_right(
    kind: str, zone: tuple[int, int, int], up: tuple[int, int, int], angle: float
) -> None:
    cell = CELLS[kind]
    if not np.any(np.cross(zone, up)):
        return
    grain = Grain(crystal=crystal(cell), zone_axis=zone, up=up, rotation_deg=angle)
    turn = orientation(grain)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=ROUNDING)
    assert np.linalg.det(turn) == pytest.approx(1.0, abs=ROUNDING)
    beam = turn @ (np.array(zone, float) @ cell)
    np.testing.assert_allclose(beam[:2], 0, atol=ROUNDING)
    assert beam[2] > 0
    # `up` lies in the plane of y and z, turned counterclockwise about z.
    x, y, _ = turn @ (np.array(up, float) @ cell)
    seen = np.rad2deg(np.arctan2(y, x)) - angle - 90
    assert (seen + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_orientation_of_310_has_the_row_along_x() -> None:
    grain = Grain(crystal=crystal(CELLS["cubic"]), zone_axis=(0, 0, 1), up=(3, 1, 0))
    x, y, z = orientation(grain)
    np.testing.assert_allclose(x, np.array([1, -3, 0]) / np.sqrt(10), atol=ROUNDING)
    np.testing.assert_allclose(y, np.array([3, 1, 0]) / np.sqrt(10), atol=ROUNDING)
    np.testing.assert_allclose(z, [0, 0, 1], atol=ROUNDING)
    turned = orientation(replace(grain, rotation_deg=90.0))
    # What pointed along x points up now.
    np.testing.assert_allclose(turned @ x, [0, 1, 0], atol=ROUNDING)


def test_up_along_the_beam_is_refused() -> None:
    grain = Grain(crystal=crystal(CELLS["cubic"]), zone_axis=(1, 1, 0), up=(-2, -2, 0))
    with pytest.raises(ValueError, match="parallel to zone axis"):
        orientation(grain)


# --- frame --------------------------------------------------------------------------

FRAMES = st.builds(
    Frame,
    origin_px=st.tuples(*[st.floats(-500, 500)] * 2),
    pixel_size=st.floats(0.02, 2.0),
    angle_deg=st.floats(-90, 90),
    shear=st.floats(-0.3, 0.3),
)


def test_frame_by_hand() -> None:
    frame = Frame(origin_px=(100.0, 50.0), pixel_size=0.5, angle_deg=30.0, shear=0.1)
    # (2, 1) Å turned by 30 degrees: (√3 - 1/2, 1 + √3/2); y down; x moves by 0.1 of the
    # height; two pixels for an ångström.
    x, y = np.sqrt(3) - 0.5, 1 + np.sqrt(3) / 2
    expected = [[100 + 2 * (x + 0.1 * y), 50 - 2 * y]]
    found = frame.to_pixels(np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


@given(frame=FRAMES)
def test_the_first_grain_lies_on_the_plus_90_side(frame: Frame) -> None:
    # Without the slant of the scan, along and up are a right-handed pair as seen.
    plain = replace(frame, shear=0.0).matrix * frame.pixel_size
    along, up = plain[:, 0] * [1, -1], plain[:, 1] * [1, -1]  # y of the image is down
    assert np.rad2deg(np.arctan2(along[1], along[0])) == pytest.approx(
        frame.angle_deg, abs=1e-6
    )
    assert along[0] * up[1] - along[1] * up[0] == pytest.approx(1.0)


@given(frame=FRAMES, x=st.floats(-200, 200), y=st.floats(-200, 200))
def test_frame_and_back(frame: Frame, x: float, y: float) -> None:
    point = np.array([[x, y], [0.0, 0.0]])
    pixels = frame.to_pixels(point)
    np.testing.assert_allclose(pixels[1], frame.origin_px)
    # 200 Å are up to 1e4 pixels; their rounding comes back times 2 Å a pixel.
    np.testing.assert_allclose(frame.to_boundary(pixels), point, atol=1e-8)


# --- periodic images ----------------------------------------------------------------


@given(seed=st.integers(0, 1000))
def test_minimum_image_is_the_shortest_of_all(seed: int) -> None:
    cell = np.diag([5.0, 40.0, 3.0])
    vectors = np.random.default_rng(seed).uniform(-12, 12, (20, 3))
    found = minimum_image(vectors, cell)
    steps = np.array(list(itertools.product(range(-5, 6), repeat=2)))
    images = vectors[:, None] + steps[:, :1] * cell[0] + steps[:, 1:] * cell[2]
    shortest = np.linalg.norm(images, axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), shortest, atol=ROUNDING)
    np.testing.assert_allclose(found[:, 1], vectors[:, 1])


@given(seed=st.integers(0, 1000))
def test_wrapped_moves_by_whole_cells_into_the_cell(seed: int) -> None:
    cell = np.diag([5.0, 40.0, 3.0])
    before = random_positions(seed, 30, np.array([20.0, 40.0, 9.0]))
    after = wrapped(before, cell)
    cells = (after - before) / np.diag(cell)
    np.testing.assert_allclose(cells, np.round(cells), atol=ROUNDING)
    np.testing.assert_allclose(after[:, 1], before[:, 1])
    assert np.all(after[:, [0, 2]] >= -1e-8)
    assert np.all(after[:, [0, 2]] < [5.0, 3.0])


def brute_pairs(positions: Array, cell: Array, radius: float) -> dict[Array, float]:
    found = {}
    for i, j in itertools.combinations(range(len(positions)), 2):
        lengths = [
            np.linalg.norm(positions[j] - positions[i] + a * cell[0] + c * cell[2])
            for a in range(-6, 7)
            for c in range(-6, 7)
        ]
        if min(lengths) <= radius:
            found[i, j] = min(lengths)
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 14),
    radius=st.floats(0.3, 4.0),
    width=st.floats(2.0, 9.0),
)
def test_pairs_are_those_of_brute_force(
    seed: int, n: int, radius: float, width: float
) -> None:
    # The cell may be narrower than the radius: the shortest of several images counts.
    cell = np.diag([width, 30.0, 2.5])
    positions = random_positions(seed, n, np.array([width, 6.0, 2.5]))
    pairs, distances = periodic_pairs(positions, cell, radius)
    expected = brute_pairs(positions, cell, radius)
    assert {(int(i), int(j)) for i, j in pairs} == set(expected)
    assert len(pairs) == len(expected)
    for (i, j), distance in zip(pairs, distances, strict=True):
        assert distance == pytest.approx(expected[int(i), int(j)], abs=1e-6)
    assert np.all(np.diff(np.round(distances, 6)) >= 0)


def test_atoms_on_top_of_each_other_are_a_pair() -> None:
    # In one place, and in one place but for a whole cell.
    positions = np.array([[0.0, 5, 0], [0.0, 5, 0], [6.0, 5, 0], [3.0, 5, 0]])
    pairs, distances = periodic_pairs(positions, np.diag([6.0, 20.0, 4.0]), 1.0)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(distances, 0, atol=ROUNDING)


def test_no_atoms_have_no_pairs() -> None:
    pairs, distances = periodic_pairs(np.empty((0, 3)), np.eye(3), 1.0)
    assert pairs.shape == (0, 2)
    assert distances.shape == (0,)


sheared = st.builds(
    lambda width, depth, shear: np.array(
        [[width, 0.0, shear], [0.0, 30.0, 0.0], [0.0, 0.0, depth]]
    ),
    st.floats(2.0, 9.0),
    st.floats(2.0, 9.0),
    st.floats(-40.0, 40.0),
)


@given(cell=sheared)
def test_the_reduced_cell_is_the_shortest_of_the_same_lattice(cell: Array) -> None:
    short = reduced_cell(cell)
    steps = np.linalg.solve(cell.T, short.T).T
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert abs(np.linalg.det(steps)) == pytest.approx(1.0)
    a, c = short[0], short[2]
    assert abs(a @ c) <= (0.5 + 1e-8) * min(a @ a, c @ c)
    # The same cell with its shear reduced spans the same lattice again.
    other = cell.copy()
    other[0, 2] = reduced_shear(cell[0, 2], cell[2, 2])
    assert abs(other[0, 2]) <= cell[2, 2] / 2 * (1 + 1e-8)
    whole = (cell[0, 2] - other[0, 2]) / cell[2, 2]
    assert whole == pytest.approx(round(whole), abs=1e-9)


@given(
    length=st.floats(0.5, 50.0),
    turn=st.floats(0.0, 2 * np.pi),
    steps=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    off=st.floats(-4e-16, 4e-16),
)
def test_a_hexagonal_lattice_is_reduced_whatever_rounding_makes_of_it(
    length: float, turn: float, steps: tuple[int, int], off: float
) -> None:
    c, s = np.cos(turn), np.sin(turn)
    hexagonal = length * np.array([[1.0, 0.0], [-0.5 * (1 + off), np.sqrt(0.75)]])
    n, m = steps
    spanning = np.array([[1, n], [m, n * m + 1]]) @ hexagonal
    a, b = shortest_basis(*(spanning @ np.array([[c, s], [-s, c]])))
    assert np.linalg.norm([a, b], axis=1) == pytest.approx(length, rel=1e-9)
    assert abs(a[0] * b[1] - a[1] * b[0]) == pytest.approx(
        np.sqrt(0.75) * length**2, rel=1e-9
    )


def test_equally_short_vectors_do_not_change_places_for_ever() -> None:
    # one step on, rounding gives a share of a half and one bit again, and so on
    a = np.array([1.0, 0.0])
    b = np.array([0.5 + 2e-16, np.sqrt(0.75)])
    first, second = shortest_basis(a, b)
    assert np.linalg.norm([first, second], axis=1) == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), cell=sheared)
def test_minimum_image_in_a_sheared_cell(seed: int, cell: Array) -> None:
    vectors = np.random.default_rng(seed).uniform(-12, 12, (20, 3))
    found = minimum_image(vectors, cell)
    cells = (found - vectors) @ np.linalg.inv(cell)
    np.testing.assert_allclose(cells, np.round(cells), atol=ROUNDING)
    shortest = brute_shortest(vectors, cell)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), shortest, atol=ROUNDING)
    np.testing.assert_allclose(found[:, 1], vectors[:, 1])


def brute_shortest(vectors: Array, cell: Array) -> Array:
    """Along z the nearest of every row of cells, of all rows within reach."""
    lengths = []
    for i in range(-24, 25):
        images = vectors + i * cell[0]
        images[:, 2] -= cell[2, 2] * np.round(images[:, 2] / cell[2, 2])
        lengths.append(np.linalg.norm(images, axis=1))
    return np.min(lengths, axis=0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 14),
    radius=st.floats(0.3, 4.0),
    cell=sheared,
)
def test_pairs_in_a_sheared_cell(seed: int, n: int, radius: float, cell: Array) -> None:
    positions = random_positions(seed, n, np.array([20.0, 6.0, 12.0]))
    pairs, distances = periodic_pairs(positions, cell, radius)
    i, j = np.triu_indices(n, 1)
    shortest = brute_shortest(positions[j] - positions[i], cell)
    expected = {
        (int(a), int(b)): d
        for a, b, d in zip(i, j, shortest, strict=True)
        if d <= radius
    }
    assert {(int(a), int(b)) for a, b in pairs} == set(expected)
    assert len(pairs) == len(expected)
    for (a, b), distance in zip(pairs, distances, strict=True):
        assert distance == pytest.approx(expected[int(a), int(b)], abs=1e-6)


@given(seed=st.integers(0, 1000), cell=sheared)
def test_wrapped_into_a_sheared_cell(seed: int, cell: Array) -> None:
    before = random_positions(seed, 30, np.array([40.0, 40.0, 30.0]))
    after = wrapped(before, cell)
    cells = (after - before) @ np.linalg.inv(cell)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-7)
    inside = (after @ np.linalg.inv(cell))[:, [0, 2]]
    # An atom on a face may lie outside by rounding.
    assert np.all(inside >= -1e-8)
    assert np.all(inside < 1.0)


# --- columns ------------------------------------------------------------------------


def test_a_column_across_the_seam_is_one() -> None:
    # Three atoms of one column on both sides of x = 0, one column elsewhere.
    positions = np.array(
        [[0.1, 3.0, 0.0], [9.9, 3.1, 1.0], [10.05, 3.0, 2.0], [5.0, 3.0, 0.0]]
    )
    weights = np.array([1.0, 2.0, 1.0, 7.0])
    columns, labels = project_columns(atoms(positions, np.diag([10.0, 20, 3])), weights)
    assert labels[0] == labels[1] == labels[2] != labels[3]
    assert len(columns) == 2
    # Unwrapped: 0.1, -0.1 and 0.05 with weights 1, 2 and 1.
    x, y = columns.positions[labels[0]]
    assert (x + 5) % 10 - 5 == pytest.approx(-0.05 / 4)
    assert y == pytest.approx(3.05)
    np.testing.assert_allclose(columns.intensities[labels], [4.0, 4.0, 4.0, 7.0])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000), dx=st.floats(-30, 30), dy=st.floats(-8, 8), n=st.just(24)
)
def test_columns_do_not_care_where_the_cell_begins(
    seed: int, dx: float, dy: float, n: int
) -> None:
    # Columns 1.5 Å apart, atoms within 0.1 Å of them: no doubt which belongs where.
    period, rng = 9.0, np.random.default_rng(seed)
    grid = np.array([[1.5 * i, 1.5 * j] for i in range(6) for j in range(4)])
    where = np.concatenate((np.arange(n), rng.integers(0, n, n)))
    flat = grid[where] + rng.uniform(-0.1, 0.1, (2 * n, 2))
    positions = np.column_stack((flat, rng.uniform(0, 4, 2 * n)))
    weights = rng.uniform(1, 2, 2 * n)
    cell = np.diag([period, 30.0, 4.0])
    columns, labels = project_columns(atoms(positions, cell), weights)
    there = positions + np.array([dx, dy, 0.0])
    moved, moved_labels = project_columns(atoms(there, cell), weights)
    assert len(columns) == len(moved) == n
    # The same atoms are together, and together they have moved by (dx, dy).
    same = labels[:, None] == labels
    np.testing.assert_array_equal(same, moved_labels[:, None] == moved_labels)
    step = moved.positions[moved_labels] - columns.positions[labels] - [dx, dy]
    step[:, 0] -= period * np.round(step[:, 0] / period)
    np.testing.assert_allclose(step, 0, atol=1e-7)
    assert moved.intensities.sum() == pytest.approx(weights.sum())


# --- window -------------------------------------------------------------------------


@given(
    offset=st.floats(0, 0.999),
    margin=st.floats(2.5, 4.0),
    spacing=st.floats(0.5, 2.0),
    n_planes=st.integers(25, 40),
)
def test_planes_of_one_period_count_alike_wherever_they_lie(
    offset: float, margin: float, spacing: float, n_planes: int
) -> None:
    """The reason for the ramp: no plane of the stack is preferred."""
    first = np.arange(n_planes) * spacing
    y = np.concatenate((first, first + offset * spacing))
    positions = np.column_stack((np.zeros_like(y), y, np.zeros_like(y)))
    slab = atoms(positions, np.diag([3.0, 200.0, 3.0]))
    weights = window_weights(slab, (spacing, spacing), margin)
    assert weights.min() >= 0
    assert weights.max() == 1
    assert weights[:n_planes].sum() == pytest.approx(weights[n_planes:].sum())
    # A window of sharp ends in the middle of both ramps holds as much.
    inside = np.ptp(y) - 2 * margin - spacing
    assert weights[:n_planes].sum() == pytest.approx(inside / spacing)


def test_window_ends_by_each_grain_s_own_planes() -> None:
    y = np.arange(0.0, 40.01, 0.5)
    positions = np.column_stack((np.zeros_like(y), y, np.zeros_like(y)))
    slab = atoms(positions, np.diag([3.0, 90, 3]), np.where(y > 20, 1, 2), 20.0)
    weights = dict(zip(y, window_weights(slab, (4.0, 2.0), 5.0), strict=True))
    # Below: from 5 to 7 Å; above: from 35 down to 31 Å.
    assert [weights[h] for h in (5.0, 6.0, 7.0, 8.0)] == [0.0, 0.5, 1.0, 1.0]
    assert [weights[h] for h in (31.0, 32.0, 34.0, 35.0)] == [1.0, 0.75, 0.25, 0.0]


def test_a_slab_without_room_for_a_window_is_refused() -> None:
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    slab = atoms(positions, np.diag([3.0, 40.0, 3.0]))
    with pytest.raises(ValueError, match=r"10\.0 Å thick has no room"):
        window_weights(slab, (1.0, 1.0), 4.5)
