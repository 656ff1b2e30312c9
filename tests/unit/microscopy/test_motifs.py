"""Motifs of columns laid out on two lattices, and of images with known columns."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from autoloop.domain import Columns, Image
from autoloop.errors import DataError
from autoloop.microscopy.columns import fit_columns
from autoloop.microscopy.motifs import Motifs, segment_motifs
from autoloop.microscopy.reading import read_micrograph

Array = NDArray[np.float64]
DATA = Path(__file__).parents[4] / "shared/data"
PIXEL_SIZE = 0.16
SIZE = np.array([60.0, 44.0])  # Å
SQUARE = (np.array([[2.3, 0.0], [0.0, 2.3]]), np.zeros((1, 2)))
# Silicon along <110>: cell 3.84 x 5.43 Å, centred, dumbbells of 1.36 Å.
DUMBBELLS = (
    np.array([[3.84, 0.0], [1.92, 2.715]]),
    np.array([[0.0, 0.0], [0.0, 1.36]]),
)
CHECKERS = (
    np.array([[2.3, 2.3], [2.3, -2.3]]),
    np.array([[0.0, 0.0], [2.3, 0.0]]),
)
CROP = (0, 276, 0, 376)


def turn(positions: Array, degrees: float) -> Array:
    """Turn counterclockwise as seen, y down."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return positions @ np.array([[c, -s], [s, c]])


def grain(crystal: tuple[Array, Array], degrees: float) -> tuple[Array, Array]:
    """Columns around the origin, turned, and the site of each."""
    cell, basis = crystal
    steps = np.array([(i, j) for i in range(-40, 41) for j in range(-40, 41)])
    points = [turn(steps @ cell + shift, degrees) for shift in basis]
    return np.vstack(points), np.repeat(np.arange(len(basis)), len(steps))


def bicrystal(
    crystal: tuple[Array, Array] = DUMBBELLS,
    angles: tuple[float, float] = (60.0, 10.0),
    tilt: float = 4.0,
    noise: float = 0.05,
    brightness: tuple[float, ...] = (1.0, 1.0),
    seed: int = 0,
) -> tuple[Columns, Array, Array]:
    """Two grains that meet on a line through the middle.

    Returns the columns, their heights above the line [Å] and their sites.
    """
    rng = np.random.default_rng(seed)
    parts, sites = [], []
    for degrees, side in zip(angles, (1.0, -1.0), strict=True):
        positions, site = grain(crystal, degrees)
        heights = -turn(positions, -tilt)[:, 1] * side
        kept = heights > (0.0 if side > 0 else 0.8)  # no two columns on one spot
        parts.append(positions[kept])
        sites.append(site[kept])
    positions, site = np.vstack(parts), np.concatenate(sites)
    heights = -turn(positions, -tilt)[:, 1]
    inside = (np.abs(positions) < SIZE / 2.0 - 0.3).all(axis=1)
    positions = positions[inside] + SIZE / 2.0
    positions = positions + rng.normal(0.0, noise, positions.shape)
    values = np.array(brightness)[site[inside]] * rng.normal(1.0, 0.04, len(positions))
    columns = Columns(positions=positions / PIXEL_SIZE, intensities=1e4 * values)
    return columns, heights[inside], site[inside]


def shares(motifs: Motifs, heights: Array) -> tuple[float, float]:
    """Share of columns beyond 8 Å in their grain, and of those within 3 Å in none."""
    regions = motifs.regions
    far, near = np.abs(heights) > 8.0, np.abs(heights) < 3.0
    right = regions == np.where(heights > 0.0, 1, 2)
    return float(right[far].mean()), float((regions[near] == 0).mean())


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("crystal", [SQUARE, DUMBBELLS])
def test_grains_and_core(crystal: tuple[Array, Array], noise: float) -> None:
    columns, heights, _ = bicrystal(crystal, noise=noise)
    motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
    far, near = shares(motifs, heights)
    # Asked for are 0.95 and 0.9.
    assert far >= 0.98
    assert near >= 0.9
    # Over seeds the angle scatters by 0.4 degrees, by 1.2 with most noise.
    assert motifs.angle_deg == pytest.approx(4.0, abs=1.2 if noise < 0.1 else 3.5)
    assert motifs.point_px is not None
    middle = SIZE / 2.0 - np.array(motifs.point_px) * PIXEL_SIZE
    assert abs(turn(middle[None], -4.0)[0, 1]) < 1.5
    assert ((motifs.confidence > 0.0) & (motifs.confidence <= 1.0)).all()
    assert len(motifs.names) == len(columns) == len(motifs.amiss)


def test_columns_alone_suffice() -> None:
    columns, heights, _ = bicrystal()
    far, near = shares(segment_motifs(columns, PIXEL_SIZE), heights)
    assert far >= 0.98
    assert near >= 0.9


def test_both_columns_of_dumbbells_are_sites_in_reading_order() -> None:
    columns, heights, site = bicrystal()
    motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
    names = np.array(motifs.names)
    far = np.abs(heights) > 8.0
    for region, lattice in (("A", 60.0), ("B", 10.0)):
        there = far & np.char.startswith(names, f"grain {region}")
        # The first of the basis points to its partner down the image before the turn.
        left = turn(np.array([[0.0, 1.36]]), lattice)[0]
        first = 0 if left @ np.array([np.cos(0.26), np.sin(0.26)]) > 0.0 else 1
        expected = np.where(site[there] == first, "site 1", "site 2")
        expected = np.char.add(f"grain {region}, ", expected)
        assert (names[there] == expected).all()


def test_the_bright_site_is_the_first() -> None:
    for brightness, first in (((1.0, 1.2), 1), ((1.2, 1.0), 0)):
        columns, heights, site = bicrystal(brightness=brightness)
        motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
        names = np.array(motifs.names)[np.abs(heights) > 8.0]
        bright = np.char.endswith(names, "site 1")
        assert (bright == (site[np.abs(heights) > 8.0] == first)).all()


def test_sites_that_differ_in_brightness_alone() -> None:
    columns, heights, site = bicrystal(CHECKERS, brightness=(1.0, 1.15))
    motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
    far = np.abs(heights) > 8.0
    bright = np.char.endswith(np.array(motifs.names)[far], "site 1")
    # 15 % against noise of 4 %; a lone column would be wrong in 3 of 100 cases.
    assert (bright == (site[far] == 1)).mean() > 0.99


def test_equal_columns_are_one_site() -> None:
    columns, _, _ = bicrystal(CHECKERS)
    names = {m.name for m in segment_motifs(columns, PIXEL_SIZE, crop=CROP).motifs}
    assert {"grain A", "grain B"} <= names
    assert not any(name.startswith("grain A, site") for name in names)


def test_upright_boundary_has_grain_a_on_the_left() -> None:
    columns, heights, _ = bicrystal(tilt=88.0)
    motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
    assert shares(motifs, heights)[0] >= 0.98
    left = columns.positions[:, 0] < 100
    assert (motifs.regions[left & (np.abs(heights) > 8.0)] == 1).all()


def test_a_distorted_scan_makes_no_core() -> None:
    columns, heights, _ = bicrystal()
    # Shear that changes from 0 to 8 % over the height of the image, as drift does.
    y = columns.positions[:, 1] * PIXEL_SIZE
    bent = columns.positions.copy()
    bent[:, 0] += 0.04 * y**2 / SIZE[1] / PIXEL_SIZE
    bent_columns = Columns(positions=bent, intensities=columns.intensities)
    motifs = segment_motifs(bent_columns, PIXEL_SIZE)
    far, near = shares(motifs, heights)
    assert far >= 0.95
    assert near >= 0.9


def test_one_crystal_is_one_grain_without_a_line() -> None:
    positions, site = grain(DUMBBELLS, 20.0)
    inside = (np.abs(positions) < 20.0).all(axis=1)
    noise = np.random.default_rng(1).normal(0.0, 0.05, (inside.sum(), 2))
    columns = Columns(
        positions=(positions[inside] + 20.0 + noise) / PIXEL_SIZE,
        intensities=np.ones(inside.sum()),
    )
    motifs = segment_motifs(columns, PIXEL_SIZE)
    assert motifs.angle_deg is None
    assert motifs.point_px is None
    assert {m.name for m in motifs.motifs} == {"grain A, site 1", "grain A, site 2"}
    labels = motifs.labels == motifs.labels[0]
    assert (labels == (site[inside] == site[inside][0])).all()


def test_a_vacancy_is_no_boundary() -> None:
    columns, heights, _ = bicrystal(SQUARE)
    middle = np.array([188.0, 60.0])
    lost = np.argsort(np.hypot(*(columns.positions - middle).T))[:3]
    kept = np.setdiff1d(np.arange(len(columns)), lost)
    motifs = segment_motifs(
        Columns(
            positions=columns.positions[kept], intensities=columns.intensities[kept]
        ),
        PIXEL_SIZE,
        crop=CROP,
    )
    far, _ = shares(motifs, heights[kept])
    assert far >= 0.98
    hole = np.hypot(*(columns.positions[kept] - middle).T) * PIXEL_SIZE < 3.0
    assert hole.any()
    assert motifs.amiss[hole].min() > 1.0


def test_places_that_repeat_along_the_boundary_are_motifs() -> None:
    # Sigma 5 (310): both grains have the boundary's period of 2.3 sqrt(10) = 7.27 Å.
    columns, heights, _ = bicrystal(SQUARE, (18.435 + 4.0, -18.435 + 4.0))
    motifs = segment_motifs(columns, PIXEL_SIZE, crop=CROP)
    core = [m for m in motifs.motifs if m.region == 0 and m.site]
    assert len(core) >= 4
    members_of = [motifs.labels == motifs.motifs.index(motif) for motif in core]
    # Farther out, where one column of the other grain is seen, places look alike.
    close = [m for m in members_of if np.abs(heights[m]).mean() < 3.0]
    assert len(close) >= 4
    for members in close:
        along = turn(columns.positions[members] * PIXEL_SIZE, -4.0)[:, 0]
        phase = np.exp(2j * np.pi * along / (2.3 * np.sqrt(10.0)))
        # Noise of 0.05 Å is 0.04 rad; another place would be 1 rad or more away.
        assert np.abs(phase.mean()) > 0.99


def test_names_carry_over_to_a_turned_noisier_image() -> None:
    angles = (18.435 + 4.0, -18.435 + 4.0)
    first, _, _ = bicrystal(CHECKERS, angles, brightness=(1.0, 1.2))
    known = segment_motifs(first, PIXEL_SIZE, crop=CROP)
    # Turned by 9 degrees, magnified by 2 %, with other noise.
    second, _, _ = bicrystal(CHECKERS, angles, brightness=(1.0, 1.2), seed=5, noise=0.1)
    centre = SIZE / 2.0 / PIXEL_SIZE
    moved = 1.02 * turn(second.positions - centre, 9.0) + centre
    moved_columns = Columns(positions=moved, intensities=second.intensities)
    found = segment_motifs(moved_columns, PIXEL_SIZE, known=known.motifs)
    expected = np.array(known.names)
    _, same = cKDTree(first.positions).query(second.positions)
    sites = np.char.find(np.array(found.names), "site") >= 0
    regular = sites & (np.char.find(expected[same], "site") >= 0)
    agree = np.array(found.names)[regular] == expected[same][regular]
    # Columns where core and grain meet may go either way.
    assert agree.mean() > 0.95
    assert {m.name for m in found.motifs if m.region} == {
        m.name for m in known.motifs if m.region
    }


def test_unknown_motifs_get_new_numbers() -> None:
    angles = (18.435 + 4.0, -18.435 + 4.0)
    first, _, _ = bicrystal(DUMBBELLS, (60.0, 10.0))
    second, _, _ = bicrystal(CHECKERS, angles, brightness=(1.0, 1.2))
    known = segment_motifs(first, PIXEL_SIZE, crop=CROP).motifs
    found = segment_motifs(second, PIXEL_SIZE, crop=CROP, known=known).motifs
    numbers = {m.site for m in found if m.region == 1}
    assert numbers == {3, 4}


def test_a_given_line_is_used() -> None:
    columns, heights, _ = bicrystal(SQUARE)
    point = tuple(SIZE / 2.0 / PIXEL_SIZE)
    motifs = segment_motifs(
        columns, PIXEL_SIZE, crop=CROP, angle_deg=0.0, point_px=(point[0], point[1])
    )
    assert shares(motifs, heights)[0] >= 0.98
    with pytest.raises(ValueError, match="together"):
        segment_motifs(columns, PIXEL_SIZE, angle_deg=0.0)


def test_disorder_is_refused() -> None:
    rng = np.random.default_rng(0)
    columns = Columns(positions=400 * rng.random((500, 2)), intensities=np.ones(500))
    with pytest.raises(DataError, match="no lattice"):
        segment_motifs(columns, PIXEL_SIZE)


@pytest.mark.parametrize("n_columns", [0, 1, 2, 20])
def test_too_few_columns_are_refused(n_columns: int) -> None:
    rng = np.random.default_rng(0)
    columns = Columns(
        positions=100 * rng.random((n_columns, 2)), intensities=np.ones(n_columns)
    )
    with pytest.raises(DataError):
        segment_motifs(columns, PIXEL_SIZE)


def test_the_same_columns_give_the_same_motifs() -> None:
    columns, _, _ = bicrystal()
    a, b = (segment_motifs(columns, PIXEL_SIZE) for _ in range(2))
    assert a.names == b.names
    np.testing.assert_array_equal(a.confidence, b.confidence)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "sites"),
    [
        ("cdte_s5_310", 2),
        ("si_s9_221", 2),
        ("si_s9_221_metastable_b", 2),
        ("si_s9_221_noisy", 2),
        ("cu_s5_310", None),  # columns at two heights look different in one grain
    ],
)
def test_simulated_boundary(name: str, sites: int | None) -> None:
    folder = DATA / "synthetic" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    pixel_size = json.loads((folder / "image.json").read_text())["pixel_size_A"]
    image = read_micrograph(folder / "image.tif", pixel_size=pixel_size).image
    columns = fit_columns(image).columns
    n_y, n_x = image.values.shape
    motifs = segment_motifs(columns, pixel_size, crop=(0, n_y, 0, n_x))
    with (folder / "truth/columns.csv").open() as file:
        rows = list(csv.DictReader(file))
    true = np.array([[float(row["x_px"]), float(row["y_px"])] for row in rows])
    heights = -np.array([float(row["distance_to_boundary_A"]) for row in rows])
    distance, nearest = cKDTree(true).query(columns.positions)
    height = np.where(distance < 3.0, heights[nearest], np.nan)
    far, near = shares(motifs, height)
    # The targets; measured are 1.00 and 1.00.
    assert far >= 0.95
    assert near >= 0.9
    for region in (1, 2):
        found = [m for m in motifs.motifs if m.region == region and m.site]
        assert sites is None or len(found) == sites


@pytest.mark.realdata
def test_measured_boundary() -> None:
    path = DATA / "real/cdte_tilt/HAADF149.dm3"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    image = read_micrograph(path).image
    part = Image(values=image.values[:470, :470], pixel_size=0.16388)
    columns = fit_columns(part).columns
    motifs = segment_motifs(columns, part.pixel_size, crop=(0, 470, 0, 470))
    assert {m.name for m in motifs.motifs if m.region} == {
        "grain A, site 1",
        "grain A, site 2",
        "grain B, site 1",
        "grain B, site 2",
    }
    names = np.array(motifs.names)
    # A dumbbell is 1.62 Å; its two columns are of both sites, in both grains.
    pairs = cKDTree(columns.positions * part.pixel_size).query_pairs(2.1)
    i, j = np.array(sorted(pairs)).T
    within = (motifs.regions[i] > 0) & (motifs.regions[i] == motifs.regions[j])
    assert within.sum() > 250
    assert (names[i] != names[j])[within].mean() > 0.99
    # The dim band is seen at about row 250 by eye, 40 px (6.5 Å) wide.
    rows = columns.positions[motifs.regions == 0, 1]
    assert 200 < np.median(rows) < 275
    assert (motifs.regions[columns.positions[:, 1] < 170] == 1).mean() > 0.98
    assert (motifs.regions[columns.positions[:, 1] > 290] == 2).mean() > 0.98
