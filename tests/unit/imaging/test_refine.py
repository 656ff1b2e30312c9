"""The joint refit finds what was planted, within the uncertainty that it states."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.distortion import (
    Field,
    line_steps,
    slopes,
    with_shifted_lines,
)
from autoloop.imaging.noise import autocovariance, covariance
from autoloop.imaging.probe import Microscope
from autoloop.imaging.refine import PlacedStructure, refine, render

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 135.0)
)
PIXEL = 0.17  # [Å]
SHAPE = (220, 130)
CORNER = (40, 25)
LINE = 133.0  # row of the boundary, of the whole image
MATRIX = np.diag([1.0, -1.0]) / PIXEL
GAINS = {"upper": 30.0, "lower": 20.0}
BLURS = {"upper": 0.45, "lower": 0.35}


def lattice(turn_deg: float, side: int) -> np.ndarray:
    """Return dumbbells of one grain on its side of the line (n, 2) [pixels]."""
    turn = np.deg2rad(turn_deg)
    c, s = np.cos(turn), np.sin(turn)
    cells = np.stack(np.meshgrid(np.arange(-30, 31), np.arange(-30, 31)), -1)
    points = cells.reshape(-1, 2) @ np.array([[3.8, 0.0], [1.9, 2.7]])
    basis = np.array([0.0, 1.3])
    points = np.vstack((points, points + basis)) @ np.array([[c, s], [-s, c]])
    points = points[side * points[:, 1] > 0.4]
    middle = np.array([CORNER[0] + SHAPE[1] / 2, LINE])
    return points @ MATRIX.T + middle


UPPER, LOWER = lattice(4.0, 1), lattice(-3.0, -1)
WEIGHT = 300.0


def scene(measured: np.ndarray, upper=UPPER, lower=LOWER) -> PlacedStructure:
    rows = np.arange(SHAPE[0])[:, None] + CORNER[1] + np.zeros(SHAPE)
    positions = np.vstack((upper, lower))
    return PlacedStructure(
        measured=measured,
        mask=np.ones(SHAPE, bool),
        corner=CORNER,
        heights=(LINE - rows) * PIXEL,
        atoms=Columns(positions=positions, intensities=np.full(len(positions), WEIGHT)),
        atom_heights=(LINE - positions[:, 1]) * PIXEL,
        matrix=MATRIX,
        microscope=SCOPE,
        blur_sigma=0.5,
    )


# What the microscope did to the lattices: each grain's own map about its middle, and a
# drift that only depends on the row.
STRAIN = {
    "upper": np.array([[0.006, -0.004], [0.003, -0.008]]),
    "lower": np.array([[-0.005, 0.002], [-0.004, 0.004]]),
}
SHIFT = {"upper": np.array([0.7, -0.5]), "lower": np.array([-0.3, 0.4])}


def middle(side: int) -> np.ndarray:
    """Return the middle of the pixels more than 6 Å from the line."""
    rows = np.arange(SHAPE[0]) + CORNER[1]
    rows = rows[side * (LINE - rows) * PIXEL > 6.0]
    return np.array([CORNER[0] + (SHAPE[1] - 1) / 2, rows.mean()])


def moved(points: np.ndarray, name: str, side: int) -> np.ndarray:
    return points + (points - middle(side)) @ STRAIN[name].T + SHIFT[name]


def drift(rows: np.ndarray) -> np.ndarray:
    t = (rows - CORNER[1]) / SHAPE[0]
    return np.stack((0.6 * np.sin(2 * np.pi * t), 0.5 * np.cos(5 * t)), -1)


def picture(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    out = 500.0 + 0.3 * np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE)
    for name, points in (("upper", upper), ("lower", lower)):
        imager = ColumnImager(SHAPE, MATRIX, CORNER, SCOPE, BLURS[name])
        columns = Columns(positions=points, intensities=np.full(len(points), WEIGHT))
        out = out + GAINS[name] * imager.image(columns)
    return out


@pytest.fixture(scope="module")
def strained() -> np.ndarray:
    """Each grain with its own map, no drift, no noise."""
    return picture(moved(UPPER, "upper", 1), moved(LOWER, "lower", -1))


def correlated_noise(seed: int, sigma: float = 60.0) -> np.ndarray:
    """White noise, and as much again that neighbours within 0.3 Å share."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(rng.normal(size=SHAPE), 2.0)
    return sigma * (rng.normal(size=SHAPE) + shared / shared.std()) / np.sqrt(2)


def truth() -> dict[str, float]:
    found = {}
    for name in ("upper", "lower"):
        m = STRAIN[name]
        found |= {
            f"{name}.shift_x": SHIFT[name][0],
            f"{name}.shift_y": SHIFT[name][1],
            f"{name}.pixel_size": -(m[0, 0] + m[1, 1]) / 2,
            # counterclockwise as seen, rows running down
            f"{name}.rotation_deg": np.degrees(m[0, 1] - m[1, 0]) / 2,
            f"{name}.stretch": (m[0, 0] - m[1, 1]) / 2,
            f"{name}.shear": (m[0, 1] + m[1, 0]) / 2,
            f"{name}.blur": BLURS[name],
            f"{name}.gain": GAINS[name],
        }
    apart = (SHIFT["upper"] - SHIFT["lower"]) * PIXEL
    found |= {"offset_x": apart[0], "offset_y": -apart[1]}
    return found | {"gain_ratio": GAINS["upper"] / GAINS["lower"]}


def test_planted_maps_blurs_and_gains_come_back(strained):
    found = refine(scene(strained))
    assert found.n_simulations <= 30
    for name, value in truth().items():
        error = 2e-3 * max(1.0, abs(value)) if "gain" in name else 2e-3
        error = 0.02 if "shift" in name else error  # [px], what the prior pulls
        error = 0.02 if "rotation" in name else error  # [degrees]
        assert found.estimates[name].value == pytest.approx(value, abs=error), name
    # the step at the line, where the grains' maps meet, stays unmodelled
    assert found.rms < 0.02 * np.ptp(strained)


def test_uncertainties_cover_what_correlated_noise_does(strained):
    clean = refine(scene(strained))
    pulls = []
    for seed in range(8):
        found = refine(scene(strained + correlated_noise(seed)), start=clean)
        # against the fit without noise: its own bias is judged above
        pulls.append(
            [
                (found.estimates[name].value - clean.estimates[name].value)
                / found.estimates[name].error
                for name in truth()
            ]
        )
    rms = np.sqrt(np.mean(np.square(pulls)))
    # eight draws of some ten independent numbers: 8 %. The tapered covariance misses
    # some of the correlation (1.2); independent pixels would have given 3.3.
    assert 0.8 < rms < 1.3
    assert np.mean(np.abs(pulls) < 2.0) > 0.88


def test_drift_comes_back():
    upper, lower = (p + drift(p[:, 1]) for p in (UPPER, LOWER))
    found = refine(scene(picture(upper, lower) + correlated_noise(1)))
    rows = np.arange(SHAPE[0])
    heights = (LINE - rows - CORNER[1]) * PIXEL
    seen = np.abs(heights) > 6.0
    points = np.stack((np.full(len(rows), 100.0), rows + CORNER[1]), -1)[seen]
    share = (heights[seen] > 0).astype(float)
    field = found.field.displacement(points, share, found.displacement)
    left = field - drift(points[:, 1])
    # 0.15 px are 0.025 Å; the planted drift swings by 1.2 px
    assert np.sqrt(np.mean(left**2)) < 0.15


def test_line_jitter_comes_back(strained):
    rng = np.random.default_rng(3)
    shifts = rng.normal(0, 0.4, SHAPE[0])
    shaken = with_shifted_lines(strained, shifts) + correlated_noise(2, sigma=30.0)
    found = refine(scene(shaken))
    rows = np.arange(SHAPE[0]) + CORNER[1]
    bulk = np.abs(LINE - rows) * PIXEL > 6.0
    assert np.corrcoef(found.line_shifts[bulk], shifts[bulk])[0, 1] > 0.9
    # where nothing was fitted nothing is claimed
    assert not found.line_shifts[~bulk].any()
    assert found.estimates["line_jitter"].value > 0.2


def test_no_jitter_is_seen_where_there_is_none():
    clean = picture(UPPER, LOWER) + correlated_noise(5)
    assert refine(scene(clean)).estimates["line_jitter"].value < 0.05


def test_rendering_shows_a_wrong_translation_and_the_refit_measures_it(strained):
    """Fitted on the bulk, the parameters hide nothing of a structure."""
    bulk = refine(scene(strained))
    wrong = scene(
        strained, upper=UPPER + np.array([3.0, 0.0])
    )  # 0.5 Å along the boundary
    assert np.allclose(render(bulk, scene(strained)), bulk.simulated)
    far = np.abs(wrong.heights) > 6.0
    upper = far & (wrong.heights > 0)
    left = (render(bulk, wrong) - strained)[upper]
    assert np.std(left) > 10 * bulk.rms
    own = refine(wrong, start=bulk)
    moved_by = own.estimates["offset_x"].value - bulk.estimates["offset_x"].value
    assert moved_by == pytest.approx(-3.0 * PIXEL, abs=0.02)


def test_a_dim_core_is_told_from_a_bright_one():
    image = picture(UPPER, LOWER)
    plain = scene(image)
    dim = 1 - 0.4 * np.exp(-0.5 * (plain.heights / 4.0) ** 2)
    level = 500.0 + 0.3 * np.arange(SHAPE[0])[:, None]
    dimmed = scene(level + (image - level) * dim)
    gains = [refine(s, core="fitted").estimates["core_gain"] for s in (plain, dimmed)]
    # the overlap of both grains' gains at the line is not quite the planted step
    assert gains[0].value == pytest.approx(1.0, abs=0.1)
    assert gains[1].value - gains[0].value == pytest.approx(-0.4, abs=0.06)


def test_a_start_from_other_pixels_is_refused(strained):
    found = refine(scene(strained))
    other = replace(scene(strained), corner=(41, 25))
    with pytest.raises(ValueError, match="own pixels only"):
        refine(other, start=found)


def test_too_few_pixels_are_refused(strained):
    small = scene(strained)
    mask = np.zeros(SHAPE, bool)
    mask[:4, :30] = True
    with pytest.raises(DataError, match="120 pixels are too few"):
        refine(replace(small, mask=mask))


def test_a_dark_grain_is_refused(strained):
    """Half a cell away every column lies between those that are seen."""
    level = strained.mean()
    with pytest.raises(DataError, match="grain is not positive"):
        refine(scene(2 * level - strained))


def test_slopes_and_shifts_of_lines_agree_with_waves():
    x = np.arange(90.0)
    wave = np.sin(2 * np.pi * x / 12)[None] + np.zeros((40, 1))
    exact = 2 * np.pi / 12 * np.cos(2 * np.pi * x / 12)
    inner = np.s_[:, 6:-6]
    along, across = slopes(wave)
    assert np.abs(along - exact)[inner].max() < 0.005 * np.abs(exact).max()
    assert np.abs(across).max() < 1e-12
    shifts = np.linspace(-0.8, 0.8, 40)
    shifted = with_shifted_lines(wave, shifts)
    expected = np.sin(2 * np.pi * (x[None] - shifts[:, None]) / 12)
    assert np.abs(shifted - expected)[inner].max() < 0.005
    found = line_steps(along, expected - wave, np.ones((40, 90), bool), np.zeros(40))
    # a ramp is drift, not jitter
    assert np.abs(found[10:-10]).max() < 0.1


def test_displacements_stay_bounded_beyond_the_image():
    field = Field(centre=(50.0, 60.0), half=(40.0, 50.0), n_line=4, n_drift=10)
    points = np.array([[50.0, 110.0], [50.0, 190.0]])
    values = field.functions(points, np.ones(2))
    assert values.shape == (2, field.n_functions)
    np.testing.assert_allclose(values[0, 7:], values[1, 7:])


def test_autocovariance_of_white_noise_is_a_spike():
    noise = np.random.default_rng(0).normal(0, 3.0, (120, 90))
    mask = np.ones(noise.shape, bool)
    mask[50:60] = False
    found = autocovariance(noise, mask, reach=8)
    assert found[0, 0] == pytest.approx(9.0, rel=0.05)  # 9900 pixels: 1.4 %
    assert np.abs(found[0, 1:]).max() < 0.5
    assert not found[10:-10].any()


def test_what_little_bulk_leaves_open_is_not_filled_with_noise():
    """5 Å of bulk on either side, placed right: nothing is extrapolated to the line.

    A prior of fixed width leaves 0.01 to 0.06 Å there.
    """
    rows = slice(45, 175)
    whole = scene(picture(UPPER, LOWER) + correlated_noise(0))
    few = replace(
        whole,
        measured=whole.measured[rows],
        mask=whole.mask[rows],
        heights=whole.heights[rows],
        corner=(CORNER[0], CORNER[1] + rows.start),
    )
    found = refine(few)
    points = np.stack((np.linspace(45.0, 165.0, 30), np.full(30, LINE)), -1)
    for share in (0.0, 1.0):
        field = found.field.displacement(points, np.full(30, share), found.displacement)
        assert np.sqrt(np.mean(field**2)) * PIXEL < 0.005


def test_what_only_a_prior_holds_is_uncertain_by_the_prior():
    """One parameter that no pixel shows, beside one that each pixel shows."""
    rng = np.random.default_rng(1)
    mask = np.ones((40, 30), bool)
    jacobian = np.stack((np.ones(mask.size), np.zeros(mask.size)))
    noise = autocovariance(rng.normal(0.0, 2.0, mask.shape), mask, 1)
    variance, spread = 4.0, 0.3
    precision = np.array([0.0, spread**-2.0])
    curvature = jacobian @ jacobian.T + variance * np.diag(precision)
    found = covariance(jacobian, curvature, mask, noise, variance**2 * precision)
    assert found[1, 1] == pytest.approx(spread**2)
    # the mean of 1200 pixels; their variance is drawn, too
    assert found[0, 0] == pytest.approx(4.0 / mask.size, rel=0.15)
