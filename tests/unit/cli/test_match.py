"""`autoloop library` and `autoloop match`: a small library, built and searched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from autoloop.cli import main
from autoloop.domain import Image
from autoloop.library.rendering import image_of
from autoloop.library.views import view
from autoloop.microscopy.writing import write_image_tif
from autoloop.structure.crystals import find_crystal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About twenty entries, from structure files."""
    crystals = tmp_path_factory.mktemp("crystals")
    for name, structure, a in (
        ("Cu", "fcc", 3.615),
        ("W", "bcc", 3.165),
        ("Si", "diamond", 5.431),
        ("CdTe", "zincblende", 6.482),
        ("MgO", "rocksalt", 4.213),
    ):
        bulk(name, structure, a, cubic=True).write(crystals / f"{name}.cif")
    place = crystals / "library"
    arguments = ["library", "build", "--no-prototypes", "--no-built-in"]
    arguments += ["--folder", str(crystals), "--library", str(place), "--workers", "1"]
    assert main(arguments) == 0
    return place


@pytest.fixture(scope="module")
def micrograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "cdte.tif"
    values = image_of(view(find_crystal("CdTe"), (1, 1, 0)), 200)
    noise = np.random.default_rng(0).normal(0.0, 0.1 * values.std(), values.shape)
    write_image_tif(path, Image(values=values + noise, pixel_size=0.25))
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "library", "info", "--library", str(folder))
    assert found["entries"] + found["alike"] == 15  # three views of each crystal
    assert found["prototypes"] == 5
    assert len(found["sha256"]) == 64


def test_match(
    folder: Path, micrograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "match.png"
    found = printed(
        capsys,
        *("match", str(micrograph), "--library", str(folder), "--top", "3"),
        *("--figure", str(figure)),
    )
    assert found["fits"] is True
    assert 0.0 <= found["confidence"] <= 1.0
    first = found["matches"][0]
    assert len(found["matches"]) == 3
    assert (first["prototype"], first["zone_axis"]) == ("CdTe", [1, 1, 0])
    assert first.keys() >= {
        "formula",
        "score",
        "ssim",
        "emd_angstrom_per_column",
        "mse",
    }
    assert first["pixel_size"] == pytest.approx(0.25, rel=0.005)
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_match_in_words(
    folder: Path, micrograph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["match", str(micrograph), "--library", str(folder), "--any-size"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "the first of these explains" in said.splitlines()[0]
    assert "[1 1 0]" in said.splitlines()[2]


def test_a_missing_library_is_named(
    micrograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["match", str(micrograph), "--library", str(tmp_path / "none")]
    assert main(arguments) == 4
    assert "autoloop library build" in capsys.readouterr().err
    crop = ["--crop", "5", "5", "0", "9", "--library"]
    assert main(["match", str(micrograph), *crop, str(tmp_path)]) == 4


def test_an_empty_crop_is_refused(
    folder: Path, micrograph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crop = ["--crop", "5", "5", "0", "9", "--library", str(folder)]
    assert main(["match", str(micrograph), *crop]) == 2
    assert "--crop" in capsys.readouterr().err
