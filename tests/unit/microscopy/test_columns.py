"""Columns found in drawn images, and in simulated ones whose columns are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.microscopy.columns import find_columns, fit_columns

Array = NDArray[np.float64]
DATA = Path(__file__).parents[4] / "shared/data"
PIXEL_SIZE = 0.15
SIGMA_PX = 2.6  # 0.39 Å, a usual probe


def drawn(
    positions: Array,
    heights: Array,
    shape: tuple[int, int] = (120, 180),
    sigma_px: float = SIGMA_PX,
    background: float = 20.0,
    seed: int | None = 0,
) -> Image:
    """Gaussian columns with counting noise, none when `seed` is None."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    values = np.full(shape, background)
    for (x, y), height in zip(positions, heights, strict=True):
        distance2 = (cols - x) ** 2 + (rows - y) ** 2
        values += height * np.exp(-distance2 / (2 * sigma_px**2))
    if seed is not None:
        values = np.random.default_rng(seed).poisson(values).astype(float)
    return Image(values=values, pixel_size=PIXEL_SIZE)


def lattice(
    spacing_px: float, shape: tuple[int, int] = (120, 180), angle_deg: float = 17.0
) -> Array:
    """Points of a square lattice that lie at least 8 px inside the frame."""
    steps = np.arange(-40, 41) * spacing_px
    points = np.array([(a, b) for a in steps for b in steps])
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = points @ turn.T + (90.3, 60.7)
    inside = (points > 8).all(axis=1) & (points < np.array(shape[::-1]) - 9).all(axis=1)
    return points[inside]


def matched(found: Array, true: Array, radius: float) -> tuple[Array, Array, Array]:
    """Indices of found and true columns that pair up within `radius`, and distances."""
    distances = cdist(found, true)
    i, j = linear_sum_assignment(np.where(distances < radius, distances - radius, 0.0))
    close = distances[i, j] < radius
    return i[close], j[close], distances[i, j][close]


def test_every_column_is_found_and_no_other() -> None:
    true = lattice(14.0)
    fit = fit_columns(drawn(true, np.full(len(true), 200.0)))
    i, _, distances = matched(fit.columns.positions, true, 3.0)
    assert len(i) == len(true) == len(fit.columns)
    # Counting noise allows sigma / sqrt(counts of a column) = 2.6 / sqrt(8500) = 0.03
    # px along each axis; the finite window and the free background add to it.
    assert np.sqrt(np.mean(distances**2)) < 0.08
    # One width from about 90 columns; the window of 2.2 sigma leaves a bias below 3 %.
    assert fit.width_px == pytest.approx(SIGMA_PX, rel=0.03)


def test_positions_are_those_of_pixel_centres() -> None:
    true = lattice(15.0, angle_deg=0.0)
    found = find_columns(drawn(true, np.full(len(true), 200.0), seed=None))
    _, _, distances = matched(found.positions, true, 3.0)
    # Without noise only the tails of the neighbours, 5 sigma away, are left.
    assert distances.max() < 0.01


def test_dumbbells_are_two_columns_each_in_place() -> None:
    centres = lattice(22.0)
    half = np.array([4.5, 1.0])  # 9.2 px = 1.38 Å, 3.5 sigma
    true = np.vstack((centres - half, centres + half))
    heights = np.repeat([200.0, 120.0], len(centres))
    found = find_columns(drawn(true, heights))
    i, j, distances = matched(found.positions, true, 3.0)
    assert len(i) == len(true) == len(found)
    assert np.sqrt(np.mean(distances**2)) < 0.15
    bright = found.intensities[i][j < len(centres)]
    dim = found.intensities[i][j >= len(centres)]
    # The bright column does not leak into its partner: 200 / 120 to a tenth of it.
    assert np.median(bright) / np.median(dim) == pytest.approx(200 / 120, rel=0.1)


def test_an_unresolved_dumbbell_is_split() -> None:
    true = lattice(16.0)
    pair = true[len(true) // 2] + np.array([[-2.9, 0.0], [2.9, 0.0]])
    others = np.delete(true, len(true) // 2, axis=0)
    image = drawn(np.vstack((others, pair)), np.full(len(others) + 2, 200.0))
    found = find_columns(image, spacing=2.4)
    i, _, distances = matched(found.positions, pair, 3.0)
    assert len(i) == 2
    assert len(found) == len(others) + 2
    # 2.2 sigma apart the two pull each other: ten times less certain than one alone.
    assert distances.max() < 0.6


def test_dim_core_and_ramp_lose_no_column() -> None:
    true = lattice(14.0)
    heights = np.where(np.abs(true[:, 1] - 60) < 15, 50.0, 200.0)
    image = drawn(true, heights)
    ramp = 0.5 * np.arange(image.values.shape[1]) + np.arange(120)[:, None]
    found = find_columns(Image(values=image.values + ramp, pixel_size=PIXEL_SIZE))
    i, j, _ = matched(found.positions, true, 3.0)
    assert len(i) == len(true) == len(found)
    low = heights[j] == 50.0
    ratio = np.median(found.intensities[i][low]) / np.median(found.intensities[i][~low])
    assert ratio == pytest.approx(0.25, rel=0.1)


def test_vacuum_holds_no_column() -> None:
    true = lattice(14.0)
    true = true[true[:, 1] < 60]
    found = find_columns(drawn(true, np.full(len(true), 200.0)))
    assert found.positions[:, 1].max() < 70
    assert len(found) == len(true)


@pytest.mark.parametrize("factor", [1e-6, 1e5])
def test_unit_of_the_intensities_changes_nothing_else(factor: float) -> None:
    true = lattice(14.0)
    image = drawn(true, np.full(len(true), 200.0))
    scaled = Image(values=image.values * factor + 3 * factor, pixel_size=PIXEL_SIZE)
    found, other = find_columns(image), find_columns(scaled)
    np.testing.assert_allclose(other.positions, found.positions, atol=1e-6)
    np.testing.assert_allclose(other.intensities, found.intensities * factor, rtol=1e-6)


def test_transposed_image_gives_transposed_columns() -> None:
    true = lattice(14.0)
    image = drawn(true, np.full(len(true), 200.0))
    found = find_columns(image).positions
    flipped = find_columns(Image(values=image.values.T, pixel_size=PIXEL_SIZE))
    i, _, distances = matched(flipped.positions[:, ::-1], found, 1.0)
    assert len(i) == len(found)
    # Lines are put back along x only, and found to need nothing here.
    assert distances.max() < 1e-3


def pulls(
    true: Array, heights: Array, poisson: bool, n_images: int = 6
) -> tuple[Array, Array]:
    """Errors of positions and intensities in units of what the fit says they are."""
    sizes = 2 * np.pi * heights
    of_positions, of_intensities = [], []
    for seed in range(n_images):
        image = drawn(true, heights, seed=seed if poisson else None)
        if not poisson:
            noise = np.random.default_rng(seed).normal(0, 8, image.values.shape)
            image = Image(values=image.values + noise, pixel_size=PIXEL_SIZE)
        fit = fit_columns(image)
        i, j, _ = matched(fit.columns.positions, true, 3.0)
        assert len(i) == len(true)
        offsets = fit.columns.positions[i] - true[j]
        of_positions.append(offsets / fit.position_errors[i])
        excess = fit.columns.intensities[i] - sizes[j] * fit.width_px**2
        of_intensities.append(excess / fit.intensity_errors[i])
    return np.vstack(of_positions), np.concatenate(of_intensities)


@pytest.mark.parametrize("poisson", [False, True])
@pytest.mark.parametrize("dumbbells", [False, True])
def test_errors_are_as_large_as_they_are_said_to_be(
    poisson: bool, dumbbells: bool
) -> None:
    true = lattice(20.0)
    heights = np.full(len(true), 200.0)
    if dumbbells:  # 2.6 sigma apart: each one's error depends on the other's
        true = np.vstack([true + np.array([side, 0.0]) for side in (-3.4, 3.4)])
        heights = np.concatenate((heights, 0.6 * heights))
    positions, intensities = pulls(true, heights, poisson)
    # Some 300 to 600 columns: the scatter of the pulls is known to 4 %. The background
    # and the common width are fitted but not counted, and in a bright dumbbell shot
    # noise is largest between the two, where it hurts most.
    most = 1.6 if poisson and dumbbells else 1.25
    assert 0.85 < np.sqrt(np.mean(positions**2)) < min(most, 1.35)
    assert 0.8 < np.std(intensities) < most


def test_columns_are_told_by_quality() -> None:
    true = lattice(16.0)
    centre = np.argmin(np.hypot(*(true - (90, 60)).T))
    heights = np.full(len(true), 200.0)
    heights[centre] = 60.0
    lone = true[np.argmin(np.hypot(*(true - (40, 60)).T))]
    pair = lone + np.array([4.6, 0.0])  # 1.8 sigma: one maximum
    cut = np.array([90.0, 2.0])
    image = drawn(np.vstack((true, pair, cut)), np.append(heights, [200.0, 200.0]))
    fit = fit_columns(image)
    i, j, _ = matched(fit.columns.positions, np.vstack((true, pair, cut)), 2.0)
    assert len(i) == len(true) + 2 == len(fit.columns)
    quality = dict(zip(j.tolist(), fit.quality[i].tolist(), strict=True))
    assert quality[int(centre)] == "dim"
    assert quality[len(true)] == "overlapping"
    assert quality[len(true) + 1] == "edge"
    assert list(quality.values()).count("good") == len(true) - 2


def test_faint_columns_are_doubtful_or_left_out_by_the_threshold() -> None:
    true = lattice(14.0)
    heights = np.full(len(true), 200.0)
    heights[::9] = 14.0  # about 5 standard errors in noise of sqrt(20)
    image = drawn(true, heights)
    fits = [fit_columns(image, threshold=t) for t in (2.0, 3.0, 12.0)]
    n_faint = []
    for fit in fits:
        i, j, _ = matched(fit.columns.positions, true, 3.0)
        faint = heights[j] == 14.0
        assert np.count_nonzero(~faint) == np.count_nonzero(heights == 200.0)
        assert set(fit.quality[i[faint]]) <= {"doubtful", "dim", "edge"}
        n_faint.append(np.count_nonzero(faint))
    assert n_faint[0] >= n_faint[1] >= n_faint[2] == 0
    assert n_faint[0] > 0


@pytest.mark.parametrize("seed", range(3))
def test_strong_ramp_and_two_fold_contrast_change_nothing(seed: int) -> None:
    true = lattice(14.0)
    heights = np.where(true[:, 0] < 90, 200.0, 100.0)
    rows, cols = np.mgrid[:120, :180]
    # The ramp rises by 390 across the image, twice the brighter columns.
    clean = drawn(true, heights, seed=None).values + 1.5 * cols + 1.0 * rows
    values = np.random.default_rng(seed).poisson(clean).astype(float)
    fit = fit_columns(Image(values=values, pixel_size=PIXEL_SIZE))
    i, j, distances = matched(fit.columns.positions, true, 3.0)
    assert len(i) == len(true) == len(fit.columns)
    # Noise of up to sqrt(400) on columns of 100: 0.2 to 0.3 px for the dim ones.
    assert np.sqrt(np.mean(distances**2)) < 0.35
    bright = heights[j] == 200.0
    intensities = fit.columns.intensities[i]
    ratio = np.median(intensities[bright]) / np.median(intensities[~bright])
    assert ratio == pytest.approx(2.0, rel=0.1)


def test_jittering_scan_lines_are_put_back() -> None:
    true = np.vstack([lattice(18.0)] * 2)
    true[len(true) // 2 :] += (5.5, 2.0)  # a dim column 2.3 sigma from a bright one
    heights = np.repeat([200.0, 80.0], len(true) // 2)
    rng = np.random.default_rng(1)
    shifts = rng.normal(0.0, 0.8, 120)
    rows, cols = np.mgrid[:120, :180]
    values = np.full((120, 180), 20.0)
    for (x, y), height in zip(true, heights, strict=True):
        distance2 = (cols - shifts[:, None] - x) ** 2 + (rows - y) ** 2
        values += height * np.exp(-distance2 / (2 * SIGMA_PX**2))
    image = Image(values=rng.poisson(values).astype(float), pixel_size=PIXEL_SIZE)
    found = find_columns(image)
    i, _, distances = matched(found.positions, true, 3.0)
    assert len(i) > 0.97 * len(true)
    assert len(i) > 0.97 * len(found)
    # Of the lines' shifts the mean over a column's lines stays: 0.8 / sqrt(9) px.
    assert np.sqrt(np.mean(distances**2)) < 0.4


def test_line_ends_without_data_hold_no_column() -> None:
    true = lattice(14.0)
    image = drawn(true, np.full(len(true), 200.0), background=100.0)
    values = image.values.copy()
    values[::3, 0], values[1::4, -2:] = 0.0, 0.0
    found = find_columns(Image(values=values, pixel_size=PIXEL_SIZE))
    i, _, _ = matched(found.positions, true, 3.0)
    assert len(i) == len(true) == len(found)


def test_image_without_columns_is_refused() -> None:
    flat = Image(values=np.full((40, 50), 7.0), pixel_size=PIXEL_SIZE)
    with pytest.raises(DataError, match="no columns found in the image of 50 x 40"):
        find_columns(flat)


SYNTHETIC = {
    # name: least recall and precision, largest RMS error [Å]. The clean images leave
    # 0.013 to 0.015 Å, which is their scan-line jitter; the noisy one, with column
    # sigma 0.47 Å in dumbbells of 1.36 Å and 35 electrons/Å², about 0.05 Å.
    "cdte_s5_310": (0.99, 0.03),
    "cu_s5_310": (0.99, 0.03),
    "si_s9_221": (0.99, 0.03),
    "si_s9_221_metastable_b": (0.99, 0.03),
    "si_s9_221_noisy": (0.98, 0.08),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", SYNTHETIC)
def test_simulated_micrographs(name: str) -> None:
    folder = DATA / "synthetic" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    from tifffile import imread

    values = imread(folder / "image.tif").astype(float)
    nominal = json.loads((folder / "image.json").read_text())["pixel_size_A"]
    truth = json.loads((folder / "truth/truth.json").read_text())
    with (folder / "truth/columns.csv").open() as file:
        rows = list(csv.DictReader(file))
    true = np.array([(float(row["x_px"]), float(row["y_px"])) for row in rows])
    found = find_columns(Image(values=values, pixel_size=nominal)).positions

    size = truth["pixel_size_A"]
    i, j, distances = matched(found, true, 0.5 / size)
    end = np.array(values.shape[::-1]) - 1 - 5
    framed_true = ((true >= 5) & (true <= end)).all(axis=1)
    framed_found = ((found >= 5) & (found <= end)).all(axis=1)
    recall = np.isin(np.flatnonzero(framed_true), j).mean()
    precision = np.isin(np.flatnonzero(framed_found), i).mean()
    rms = np.sqrt(np.mean((distances[framed_true[j]] * size) ** 2))
    least, largest = SYNTHETIC[name]
    assert recall >= least
    assert precision >= least
    assert rms <= largest


@pytest.mark.realdata
def test_dumbbells_of_a_measured_image() -> None:
    path = DATA / "real/cdte_tilt/HAADF149.dm3"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    from autoloop.microscopy.reading import read_micrograph

    image = read_micrograph(path).image
    cropped = Image(values=image.values[350:470, :470], pixel_size=image.pixel_size)
    found = find_columns(cropped).positions
    inner = found[((found > 12) & (found < np.array([457, 107]))).all(axis=1)]
    distances = np.sort(cdist(inner, found), axis=1)[:, 1] * image.pixel_size
    # The lower grain is bulk CdTe along <110>: every column has its partner at a/4
    # [-> 1.62 Å], seen 3 % off in scale; 0.2 Å is what the noise leaves.
    assert np.mean(np.abs(distances - 1.66) < 0.2) > 0.97
    # 4 columns in each projected cell of 29.7 Å².
    area = 445 * 95 * (image.pixel_size / 1.03) ** 2
    assert len(inner) == pytest.approx(4 * area / 29.7, rel=0.08)


@pytest.mark.realdata
def test_dumbbells_that_run_together_are_two_columns() -> None:
    path = DATA / "real/cdte_tilt/HAADF149.dm3"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    from autoloop.microscopy.reading import read_micrograph

    image = read_micrograph(path).image
    cropped = Image(values=image.values[:470, :470], pixel_size=image.pixel_size)
    fit = fit_columns(cropped)
    # By eye: dumbbells of the upper grain with one maximum only, at x, y.
    for place in ((362, 22), (349, 227)):
        near = np.hypot(*(fit.columns.positions - place).T) * image.pixel_size
        assert np.count_nonzero(near < 1.66) == 2, place
    # None is invented: the bulk of both grains has dumbbells alone, never a triple.
    inner = fit.columns.positions
    bulk = (inner[:, 1] < 150) | (inner[:, 1] > 300)
    inside = ((inner > 12) & (inner < 457)).all(axis=1)
    close = (cdist(inner, inner) * image.pixel_size < 2.1).sum(axis=1) - 1
    assert np.mean(close[bulk & inside] == 1) > 0.98


ATOMAGINED = {
    # name, kind: least precision, least recall, largest RMS error [px]
    ("020790.010100", "clean"): (0.97, 0.97, 0.7),
    ("020790.000201", "blbk1"): (0.95, 0.55, 1.2),
    ("052227.010102", "blbk1"): (0.97, 0.99, 0.8),
}


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "kind"), ATOMAGINED)
def test_dense_simulated_images(name: str, kind: str) -> None:
    path = DATA / "atomagined" / f"{name}.h5"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    h5py = pytest.importorskip("h5py")
    from scipy.cluster.hierarchy import fcluster, linkage

    with h5py.File(path) as file:
        atoms = np.asarray(file["projection/full_coords"], dtype=float)
        values = np.asarray(file[f"haadf/stem00-{kind}"], dtype=float)
        pixel_size = float(file.attrs["angstrom_xy"]) / values.shape[1]
    # Atoms nearer than 3 px on average are one column; all of it is measured in
    # experiments/benchmarks/columns.py, whose figures these bounds are, with a margin.
    labels = fcluster(linkage(atoms, "average"), 3.0, "distance")
    true = np.array([atoms[labels == k].mean(axis=0) for k in np.unique(labels)])
    found = find_columns(Image(values=values, pixel_size=pixel_size)).positions
    i, _, distances = matched(found, true, 3.0)
    precision, recall, rms = ATOMAGINED[name, kind]
    assert len(i) >= precision * len(found)
    assert len(i) >= recall * len(true)
    assert np.sqrt(np.mean(distances**2)) <= rms
