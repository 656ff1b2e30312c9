"""`autoloop score`: its keys, what it compensates, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from autoloop.cli import main
from autoloop.domain import Image
from autoloop.microscopy.writing import write_image_tif

KEYS = {
    "ssim",
    "ssim_7",
    "ssim_35",
    "emd_angstrom_per_column",
    "mse",
    "shift_px",
    "confidence",
}
PIXEL_SIZE = 0.17
SHAPE = (110, 150)


def boundary(shift: tuple[float, float] = (0.0, 0.0), gone: int | None = None) -> Any:
    """Columns of two lattices; one of them may be gone."""
    orders = np.stack(np.meshgrid(*[np.arange(-20, 21)] * 2), -1).reshape(-1, 2)
    above = orders @ np.array([[12.3, 0.0], [3.0, 13.1]]) + [70.0, 47.0]
    below = orders @ np.array([[14.0, 1.0], [0.0, 12.0]]) + [70.0, 61.0]
    points = np.vstack((above[above[:, 1] < 50], below[below[:, 1] > 56]))
    if gone is not None:
        points = np.delete(points, np.argmin(np.hypot(*(points - [75, 55]).T)), axis=0)
    rows, columns = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for x, y in points + shift:
        image += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.3**2))
    return image


def written(
    folder: Path, name: str, values: Any, pixel_size: float = PIXEL_SIZE
) -> str:
    path = folder / name
    write_image_tif(path, Image(values=values, pixel_size=pixel_size))
    return str(path)


def score(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["score", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_image_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "a.tif", boundary())
    found = score(capsys, path, path)
    assert found.keys() >= KEYS
    for name in ("ssim", "ssim_7", "ssim_35"):
        assert found[name] == pytest.approx(1.0, abs=1e-9)
    assert found["emd_angstrom_per_column"] == pytest.approx(0.0, abs=1e-9)
    assert found["mse"] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found["shift_px"], 0.0, atol=1e-6)
    assert found["confidence"] > 0.9


def test_shift_gain_and_offset_are_taken_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path, "a.tif", 400 * boundary((2.4, -1.3)) + 60)
    second = written(tmp_path, "b.tif", 3 * boundary() + 1)
    found = score(capsys, first, second)
    np.testing.assert_allclose(found["shift_px"], (2.4, -1.3), atol=0.02)
    assert found["gain"] == pytest.approx(400 / 3, rel=0.01)
    assert found["offset"] == pytest.approx(60 - 400 / 3, abs=2)
    assert found["ssim"] > 0.999  # float32 files, and a shift by Fourier transform
    assert found["emd_angstrom_per_column"] < 0.01
    assert found["mse"] < 4.0  # of 400 squared


def test_a_missing_column_costs_what_the_definition_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path, "a.tif", boundary())
    second = written(tmp_path, "b.tif", boundary(gone=1))
    found = score(capsys, first, second)
    whole = found["emd_angstrom_per_column"]
    # 1.5 Å over the columns that count: all but free ones at the edge, 50 to 100 here
    assert 1.5 / 100 < whole < 1.5 / 50 + 0.01
    assert found["ssim"] < 0.99


def test_pixel_sizes_need_not_be_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = boundary()
    coarse = np.indices((90, 122)) * (0.2 / 0.17)
    other = map_coordinates(image, coarse, order=3)
    found = score(
        capsys,
        written(tmp_path, "a.tif", image),
        written(tmp_path, "b.tif", other, 0.2),
    )
    assert found["pixel_size"] == pytest.approx(PIXEL_SIZE)
    np.testing.assert_allclose(found["shift_px"], 0.0, atol=0.02)
    assert found["ssim"] > 0.995  # two interpolations
    # the other way round the first image's pixels are the larger ones
    back = score(capsys, str(tmp_path / "b.tif"), str(tmp_path / "a.tif"))
    assert back["pixel_size"] == pytest.approx(0.2)
    assert back["ssim"] > 0.98  # and what larger pixels cannot carry


def test_images_of_different_things_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(0, 1, SHAPE)
    first = written(tmp_path, "a.tif", boundary())
    second = written(tmp_path, "noise.tif", noise)
    assert main(["score", first, second, "--json"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "cannot be registered" in said.err
    assert "noise.tif" in said.err


def test_the_window_is_a_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "a.tif", boundary())
    # nearest neighbours are 12 px apart, odd 13, or 11 where the lattices meet
    assert score(capsys, path, path)["window"] in (11, 13)
    assert score(capsys, path, path, "--window", "3.5")["window"] == 21
    assert main(["score", path, path, "--window", "0"]) == 2


def test_a_missing_pixel_size_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.npy"
    np.save(path, boundary())
    assert main(["score", str(path), str(path)]) == 4
    assert "--pixel-size" in capsys.readouterr().err
    assert main(["score", str(path), str(path), "--pixel-size", "0.17"]) == 0
    said = capsys.readouterr().out
    assert "Å per column" in said
    assert "confidence" in said
