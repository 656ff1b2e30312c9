"""`autoloop simulate`: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoloop.cli import main


@pytest.fixture
def structure(tmp_path: Path) -> Path:
    """Gold low on the left and silicon high on the right, as autoloop exports."""
    from autoloop.domain import Bicrystal
    from autoloop.report.export import write_structure

    path = tmp_path / "structure.extxyz"
    bicrystal = Bicrystal(
        numbers=np.array([79, 14]),
        positions=np.array([[2.0, 11.0, 0.0], [9.0, 20.0, 0.0]]),
        cell=np.diag([12.0, 40.0, 4.0]),
        boundary_height=15.0,
        grains=np.array([2, 1]),
        regions=np.array([0, 0]),
    )
    write_structure(path, bicrystal, "extxyz")
    return path


def read(path: Path) -> tuple[np.ndarray, float]:
    from autoloop.microscopy.reading import read_micrograph

    image = read_micrograph(path).image
    return image.values, image.pixel_size


def test_an_exported_structure_has_its_upper_grain_above(
    structure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "image.tif"
    assert main(["simulate", str(structure), "-o", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    values, pixel_size = read(output)
    # 12 Å wide; 9 Å between the atoms and 2 Å of rim
    assert values.shape == (87, 80) == tuple(said["shape"])
    assert pixel_size == pytest.approx(0.15, abs=1e-6)
    assert (said["thickness"], said["n_atoms"], said["warning"]) == (4.0, 2, None)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (row, column) == (pytest.approx(73, abs=1), pytest.approx(13, abs=1))
    assert values[13, 59] > 5 * values[13, 30]


def test_the_settings_of_the_microscope_count(structure: Path, tmp_path: Path) -> None:
    images = {}
    for name, options in {
        "plain": [],
        "sharp": ["--source-size", "0", "--vibration", "0"],
        "defocus": ["--defocus", "-60"],
        "c3": ["--c3", "0.05"],
        "energy": ["--beam-energy", "80"],
        "wide": ["--convergence", "30"],
        "low": ["--detector", "50", "200"],
        "thick": ["--thickness", "40"],
    }.items():
        output = tmp_path / f"{name}.tif"
        assert main(["simulate", str(structure), "-o", str(output), *options]) == 0
        images[name] = read(output)[0]
    peak = {name: image.max() for name, image in images.items()}
    assert peak["sharp"] > 1.5 * peak["plain"] > 1.5 * peak["defocus"]
    assert peak["c3"] < 0.9 * peak["plain"]
    # electrons of 80 keV scatter more, but their probe is wider
    assert images["energy"].sum() > 2 * images["plain"].sum()
    assert peak["wide"] > peak["plain"]
    assert images["low"].sum() > 1.5 * images["plain"].sum()
    # ten cells; the sum but for what the wider probe takes beyond the rim
    assert images["thick"].sum() == pytest.approx(10 * images["plain"].sum(), rel=0.1)


def test_size_pixel_repeat_and_angle(structure: Path, tmp_path: Path) -> None:
    for name, options, shape in (
        ("a", ["--size", "31", "52"], (31, 52)),
        ("b", ["--repeat", "2", "--pixel-size", "0.3"], (43, 80)),
        ("c", ["--angle", "90"], (80, 87)),
    ):
        output = tmp_path / f"{name}.tif"
        assert main(["simulate", str(structure), "-o", str(output), *options]) == 0
        assert read(output)[0].shape == shape


def test_a_thick_specimen_is_warned_of(
    structure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["simulate", str(structure), "-o", str(tmp_path / "a.tif")]
    assert main([*command, "--thickness", "200"]) == 0
    out, err = capsys.readouterr()
    assert "200.0 Å thick" in out
    assert err.startswith("autoloop: warning: ")
    assert "--engine abtem" in err
    assert len(err.splitlines()) == 1


def test_the_abtem_engine_shows_the_same_atoms(
    structure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = []
    for engine in ("convolution", "abtem"):
        output = tmp_path / f"{engine}.tif"
        command = ["simulate", str(structure), "-o", str(output), "--engine", engine]
        options = ["--phonons", "1", "--vibration", "0.01", "--detector", "60", "100"]
        assert main([*command, *options]) == 0
        images.append(read(output)[0])
    assert capsys.readouterr().err == ""
    assert images[0].shape == images[1].shape
    # thin, and still: as in tests/physics/test_abtem.py
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.995


REFUSED = {
    "no file": (["nothing.cif", "-o", "a.tif"], 4, "no such file"),
    "no structure": (["text.cif", "-o", "a.tif"], 4, "not a structure file"),
    "no tiff": (["structure.extxyz", "-o", "a.png"], 2, "end its name in .tif"),
    "there": (["structure.extxyz", "-o", "there.tif"], 2, "not overwritten"),
    "no folder": (["structure.extxyz", "-o", "no/a.tif"], 2, "does not exist"),
    "detector": (
        ["structure.extxyz", "-o", "a.tif", "--detector", "90", "60"],
        2,
        "the outer angle must exceed the inner one",
    ),
    "immense": (
        ["structure.extxyz", "-o", "a.tif", "--pixel-size", "1e-4"],
        2,
        "take a pixel size above 0.0001 Å",
    ),
    "negative": (
        ["structure.extxyz", "-o", "a.tif", "--source-size", "-1"],
        2,
        "below",
    ),
    "zero": (["structure.extxyz", "-o", "a.tif", "--beam-energy", "0"], 2, "above 0"),
    "text": (["structure.extxyz", "-o", "a.tif", "--c3", "x"], 2, "must be a number"),
    "both": (
        ["structure.extxyz", "-o", "a.tif", "--size", "9", "9", "--repeat", "2"],
        2,
        "not allowed with",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_one_line(
    case: str,
    structure: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(structure.parent)
    (structure.parent / "text.cif").write_text("no structure\n")
    (structure.parent / "there.tif").write_bytes(b"")
    arguments, status, words = REFUSED[case]
    assert main(["simulate", *arguments]) == status
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert words in err
    assert not (structure.parent / "a.tif").exists()
