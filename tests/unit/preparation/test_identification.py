"""Crystals found in a library: a boundary image made of two grains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray

from autoloop.cli import main
from autoloop.config import check_campaign, load_campaign
from autoloop.domain import Columns, Image
from autoloop.imaging.convolution import ColumnImager
from autoloop.library.build import build
from autoloop.library.views import MICROSCOPE, columns_within, view
from autoloop.microscopy.writing import write_image_tif
from autoloop.structure.crystals import find_crystal

Array = NDArray[np.float64]

SHARED = Path(__file__).parents[4] / "shared" / "data"
PIXEL = 0.2
N_PIXELS = 260


def boundary_image(name: str, half_angle_deg: float) -> Array:
    """A symmetric tilt boundary of perfect grains about [001], 26 Å of each."""
    seen = view(find_crystal(name), (1, 0, 0))
    columns = columns_within(seen, 0.75 * N_PIXELS * PIXEL)
    positions, weights = [], []
    for sign in (1, -1):
        angle = np.deg2rad(sign * half_angle_deg)
        c, s = np.cos(angle), np.sin(angle)
        turned = columns.positions @ np.array([[c, s], [-s, c]])
        side = sign * turned[:, 1] > 0.6
        positions.append(turned[side])
        weights.append(columns.intensities[side])
    half = N_PIXELS // 2
    matrix = np.diag([1.0, -1.0]) / PIXEL
    imager = ColumnImager(
        (N_PIXELS, N_PIXELS), matrix, (-float(half), -float(half)), MICROSCOPE, 0.4
    )
    image = imager.image(
        Columns(
            positions=np.concatenate(positions) @ matrix.T,
            intensities=np.concatenate(weights),
        )
    )
    rng = np.random.default_rng(0)
    return rng.poisson(60.0 * image / image.mean()).astype(float)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few crystals, one of them only as a file."""
    crystals = tmp_path_factory.mktemp("crystals")
    bulk("CsCl", "cesiumchloride", 4.123).write(crystals / "salt.cif")
    place = crystals / "library"
    note = {"folders": [str(crystals)]}
    names = ["Cu", "Ni", "Al", "Fe", "Si", "Mg", str(crystals / "salt.cif")]
    build(names, place, workers=1, note=note)
    return place


def written(folder: Path, name: str) -> Path:
    path = folder / f"{Path(name).stem}.tif"
    write_image_tif(path, Image(values=boundary_image(name, 18.43), pixel_size=PIXEL))
    return path


def test_the_crystal_is_proposed_and_others_are_named(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, path = written(tmp_path, "Cu"), tmp_path / "run.yaml"
    command = ["init", str(image), "--crystal", "auto", "--library", str(library)]
    assert main([*command, "-o", str(path)]) == 0
    said = capsys.readouterr().out
    assert "upper grain: Cu [1 0 0]" in said
    text = path.read_text(encoding="utf-8")
    # 2.5 % smaller: the next candidate by size
    assert "# It may as well be Ni" in text
    assert "does not tell elements" in " ".join(text.replace("#", "").split())
    loaded = load_campaign(path)
    check_campaign(loaded)
    assert [grain.crystal for grain in loaded.campaign.grains] == ["Cu", "Cu"]
    assert all(grain.zone_axis == (1, 0, 0) for grain in loaded.campaign.grains)


def test_a_crystal_of_a_folder_comes_along(library: Path, tmp_path: Path) -> None:
    file = library.parent / "salt.cif"
    image, path = written(tmp_path, str(file)), tmp_path / "run.yaml"
    command = ["init", str(image), "--crystal", "auto", "--library", str(library)]
    assert main([*command, "-o", str(path)]) == 0
    assert (tmp_path / "salt.cif").read_bytes() == file.read_bytes()
    loaded = load_campaign(path)
    check_campaign(loaded)
    assert [grain.crystal for grain in loaded.campaign.grains] == ["salt.cif"] * 2


def test_nothing_fits(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, path = written(tmp_path, "SrTiO3"), tmp_path / "run.yaml"
    command = ["init", str(image), "--crystal", "auto", "--library", str(library)]
    assert main([*command, "-o", str(path)]) == 4
    (message,) = capsys.readouterr().err.splitlines()
    assert "none of the" in message
    assert "give --crystal" in message
    assert not path.exists()


def test_what_is_wrong_is_said_first(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["init", "image.tif", "--crystal", "auto"]
    gone = ["--library", str(tmp_path / "none"), "-o", str(tmp_path / "run.yaml")]
    assert main([*command, *gone]) == 4
    assert "autoloop library build" in capsys.readouterr().err
    both = ["--crystal", "Cu", "--library", str(library)]
    assert main([*command, *both, "-o", str(tmp_path / "run.yaml")]) == 2
    assert "leave out Cu, or auto" in capsys.readouterr().err


@pytest.mark.realdata
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_narrow_grains_are_refused(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SHARED / "synthetic" / "cu_s5_310"
    known = json.loads((folder / "image.json").read_text())
    command = ["init", str(folder / "image.tif"), "--crystal", "auto"]
    command += ["--pixel-size", str(known["pixel_size_A"]), "--library", str(library)]
    assert main([*command, "-o", str(tmp_path / "run.yaml")]) == 4
    assert "16 Å are needed" in capsys.readouterr().err


def test_a_structure_file_is_copied_beside(tmp_path: Path) -> None:
    from autoloop.cli.automatic import beside
    from autoloop.preparation.identification import Identified

    (tmp_path / "library").mkdir()
    (tmp_path / "runs").mkdir()
    file = tmp_path / "library" / "phase.cif"
    file.write_text("a structure")
    found = Identified(sources=(str(file), "Cu"), lines=())
    target = tmp_path / "runs" / "phase.cif"
    with beside(found, tmp_path / "runs") as names:
        assert names == [str(target), "Cu"]
        assert target.read_text() == "a structure"
    target.unlink()
    with pytest.raises(KeyError), beside(found, tmp_path / "runs"):
        raise KeyError
    assert not target.exists()
