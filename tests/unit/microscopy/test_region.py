"""The part of an image file that is a micrograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.microscopy.reading import read_micrograph
from autoloop.microscopy.region import BENT, find_region

DATA = Path(__file__).parents[4] / "shared" / "data"
SIZE = 0.15


def lattice(n_y: int = 180, n_x: int = 240, seed: int = 3) -> NDArray[np.float64]:
    """Columns on an oblique lattice, as counts with noise."""
    y, x = np.indices((n_y, n_x)).astype(float)
    waves = np.cos(0.31 * x + 0.09 * y) + np.cos(0.12 * x - 0.33 * y)
    return np.random.default_rng(seed).poisson(60 + 20 * waves).astype(float)


def image(values: NDArray[np.float64]) -> Image:
    return Image(values=values, pixel_size=SIZE)


def test_a_whole_micrograph_stays_whole() -> None:
    region = find_region(image(lattice()))
    assert region.crop == (0, 180, 0, 240)
    assert region.notes == ()


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_info_bar_with_letters(value: float) -> None:
    values = lattice()
    values[160:] = value
    letters = np.random.default_rng(1).random((12, 90)) < 0.5
    values[164:176, 20:110] = np.where(letters, 255.0 - value, value)
    region = find_region(image(values))
    assert region.crop == (0, 160, 0, 240)
    assert "rows 160 to 179" in region.notes[0]


def test_frame_and_lines_never_scanned() -> None:
    values = lattice()
    values[:5] = values[-7:] = 0.0
    values[:, :3] = values[:, -11:] = 99.0
    assert find_region(image(values)).crop == (5, 173, 3, 229)


def test_blurred_bar_of_a_compressed_picture() -> None:
    values = lattice()
    values[150:] = 20 + np.random.default_rng(2).normal(0, 0.3, (30, 240))
    assert find_region(image(values)).crop == (0, 150, 0, 240)


def test_saturated_spots_and_a_dark_strip_are_image() -> None:
    """What a detector clips, and a boundary that is dim, are not cut off."""
    values = np.clip(lattice(), None, 80)
    values[:40] = lattice()[:40] * 0.3
    assert find_region(image(values)).crop == (0, 180, 0, 240)


def test_dim_image_of_few_counts() -> None:
    counts = np.random.default_rng(4).poisson(lattice() / 20).astype(float)
    assert find_region(image(counts)).crop == (0, 180, 0, 240)


def test_filtered_edges() -> None:
    """A low-pass filter by Fourier transform makes opposite edges join on."""
    values = lattice()
    frequency = np.hypot(
        *np.meshgrid(*map(np.fft.fftfreq, values.shape), indexing="ij")
    )
    smooth = np.exp(-((frequency / 0.07) ** 4))
    filtered = np.fft.ifft2(np.fft.fft2(values) * smooth).real
    region = find_region(image(filtered))
    margin = round(BENT / SIZE)
    assert region.crop == (margin, 180 - margin, margin, 240 - margin)
    assert "Fourier" in region.notes[0]


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name", ["cdte_s5_310", "cu_s5_310", "si_s9_221", "si_s9_221_noisy"]
)
def test_simulated_micrographs_are_whole(name: str) -> None:
    path = DATA / "synthetic" / name / "image.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    micrograph = read_micrograph(path, pixel_size=0.17)
    n_y, n_x = micrograph.image.values.shape
    assert find_region(micrograph.image).crop == (0, n_y, 0, n_x)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "margin"), [("cdte_tilt/HAADF149", 19), ("si_tilt/HAADF85", 0)]
)
def test_measured_micrographs(name: str, margin: int) -> None:
    """The first was filtered: its spectrum ends at 1e-15; the second is raw."""
    path = DATA / "real" / f"{name}.dm3"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    crop = find_region(read_micrograph(path).image).crop
    assert crop == (margin, 512 - margin, margin, 512 - margin)
