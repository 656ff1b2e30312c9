"""`autoloop inspect`: its keys, its words, its exit status."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.errors import DataError
from autoloop.preparation import inspection

COPPER = Path(__file__).parents[3] / "experiments" / "cu_s5_310" / "image.tif"
ARGUMENTS = ["inspect", str(COPPER), "--pixel-size", "0.1734"]
KEYS = {
    "pixel_size",
    "pixel_size_nominal",
    "shear",
    "boundary",
    "grains",
    "translation_angstrom",
    "expansion_angstrom",
    "columns",
}
GRAIN_KEYS = {"crystal", "zone_axis", "up", "rotation_deg", "polarity", "confidence"}


@pytest.fixture(scope="module")
def figure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figure") / "copper.png"


@pytest.fixture(scope="module")
def copper(figure: Path) -> dict[str, Any]:
    """What is printed about a simulated image of Cu Sigma 5 (310)."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main([*ARGUMENTS, "--crystal=Cu", "--json", f"--figure={figure}"])
    assert status == 0
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


def test_promised_keys(copper: dict[str, Any]) -> None:
    assert copper.keys() >= KEYS
    assert copper["boundary"].keys() >= {"angle_deg", "point_px"}
    assert all(grain.keys() >= GRAIN_KEYS for grain in copper["grains"])
    assert copper["columns"][0].keys() >= {"x_px", "y_px", "intensity", "motif"}


def test_copper(copper: dict[str, Any]) -> None:
    """True: 0.17 Å, 6 degrees; tolerances as for every simulated image."""
    assert copper["pixel_size"] == pytest.approx(0.17, rel=0.003)
    assert copper["pixel_size_nominal"] == 0.1734
    assert copper["boundary"]["angle_deg"] == pytest.approx(6.0, abs=0.3)
    assert copper["boundary"]["source"] == "lattices"
    assert [grain["zone_axis"] for grain in copper["grains"]] == [[1, 0, 0]] * 2
    assert copper["misorientation_deg"] == pytest.approx(36.87, abs=0.3)
    assert copper["cannot_tell"] is None
    assert 340 <= len(copper["columns"]) <= 370
    assert {motif["region"] for motif in copper["motifs"]} == {0, 1, 2}
    assert sum(motif["columns"] for motif in copper["motifs"]) == len(copper["columns"])
    assert {column["motif"] for column in copper["columns"]} == {
        motif["name"] for motif in copper["motifs"]
    }


def test_columns_are_in_pixels_of_the_whole_image(
    capsys: pytest.CaptureFixture[str], copper: dict[str, Any]
) -> None:
    assert main([*ARGUMENTS, "--crop", "20", "110", "30", "290", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert part["crop"] == [20, 110, 30, 290]
    whole, cut = (
        np.array([[column["x_px"], column["y_px"]] for column in found["columns"]])
        for found in (copper, part)
    )
    assert cut[:, 0].min() > 29
    assert cut[:, 1].max() < 110.5
    inside = np.all((cut > [35, 25]) & (cut < [285, 105]), axis=1)
    away = np.linalg.norm(cut[inside, None] - whole, axis=2).min(axis=1)
    assert away.max() < 0.5  # an offset left out would be 20 and more


def test_figure_shows_the_image_in_colour(copper: dict[str, Any], figure: Path) -> None:
    from matplotlib.image import imread

    pixels = imread(figure)[..., :3]
    assert pixels.shape[1] == pytest.approx(2160, abs=2)  # 7.2 inch at 300 dpi
    coloured = np.ptp(pixels, axis=2) > 0.3
    assert coloured.mean() > 0.005  # 355 markers of 20 pixels across, on two panels


def test_without_a_crystal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ARGUMENTS) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line[:16].strip(): line[16:] for line in out.splitlines()}
    assert lines["lattices"].startswith("need a crystal: give --crystal")
    assert "from the columns alone" in lines["boundary"]
    assert lines["pixel size"] == "0.17340 Å (given; not checked by a lattice)"
    assert lines["beam energy"] == "not in the file"
    assert 340 <= int(lines["columns"].split(",")[0]) <= 370


def test_lattices_that_cannot_be_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns are printed all the same; the reason on stderr, status 4."""

    def cannot(*_: object, **__: object) -> None:
        raise DataError("cannot index the upper grain; give micrograph.pixel_size")

    monkeypatch.setattr(inspection, "read_boundary", cannot)
    assert main([*ARGUMENTS, "--crystal", "Cu", "--json"]) == 4
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert 340 <= len(found["columns"]) <= 370
    assert found["grains"] == []
    assert found["boundary"]["source"] == "columns"
    reason = "cannot index the upper grain; give --pixel-size"
    assert found["cannot_tell"] == reason
    assert err == f"autoloop: {reason}\n"


WRONG = {
    "no pixel size": (["inspect", str(COPPER)], 4, "give --pixel-size"),
    "no image": (["inspect", "gone.dm3"], 4, "no such file; check IMAGE"),
    "unknown crystal": ([*ARGUMENTS, "--crystal", "CdTo"], 2, "did you mean 'CdTe'"),
    "three crystals": (
        [*ARGUMENTS, "--crystal=Cu", "--crystal=Ni", "--crystal=Si"],
        2,
        "3 crystals are given (Cu, Ni, Si)",
    ),
    "empty crop": ([*ARGUMENTS, "--crop", "9", "9", "0", "50"], 2, "is empty; give"),
    "large crop": (
        [*ARGUMENTS, "--crop", "0", "900", "0", "50"],
        2,
        "--crop [0, 900, 0, 50] reaches beyond",
    ),
    "index": ([*ARGUMENTS, "--index", "1"], 4, "--index 1 is beyond its 1 image"),
    "length": (["inspect", "x.tif", "--pixel-size", "-1"], 2, "a length above 0 [Å]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, status, words = WRONG[case]
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_figure_does_not_replace_the_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image.tif"
    image.write_bytes(COPPER.read_bytes())
    command = ["inspect", str(image), "--pixel-size", "0.1734", "--figure"]
    assert main([*command, str(image)]) == 2
    assert main([*command, str(tmp_path / "gone" / "f.png")]) == 2
    assert image.read_bytes() == COPPER.read_bytes()
    replaced, missing = capsys.readouterr().err.splitlines()
    assert "is the image itself" in replaced
    assert "no folder" in missing
