"""`autoloop init`: a run file that validates, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autoloop.cli import main
from autoloop.cli.init import schema_line
from autoloop.config import check_campaign, load_campaign
from autoloop.errors import DataError
from autoloop.preparation import inspection
from autoloop.preparation.draft import run_name

COPPER = Path(__file__).parents[3] / "experiments" / "cu_s5_310" / "image.tif"


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written in another folder than that of the image, from a third one."""
    folder = tmp_path_factory.mktemp("init")
    (folder / "images").mkdir()
    image = folder / "images" / "Cu 310 (#1).tif"
    shutil.copyfile(COPPER, image)
    path = folder / "my boundary.yaml"
    assert main(["schema", "-o", str(folder / "autoloop.schema.json")]) == 0
    command = ["init", str(image), "--crystal=Cu", "--pixel-size=0.1734"]
    assert main([*command, "-o", str(path)]) == 0
    return path


def test_it_validates(run_file: Path) -> None:
    loaded = load_campaign(run_file)
    check_campaign(loaded)
    campaign = loaded.campaign
    assert campaign.name == "my_boundary"
    assert campaign.micrograph is not None
    assert campaign.micrograph.path == "images/Cu 310 (#1).tif"
    assert campaign.micrograph.pixel_size == 0.1734
    assert all(grain.oriented for grain in campaign.grains)
    assert [grain.up for grain in campaign.grains] == [(0, 1, 3), (0, -1, 3)]
    assert campaign.boundary.angle_deg == pytest.approx(6.0, abs=0.3)
    assert campaign.energy is not None
    assert campaign.energy.potential == "Cu_mishin1.eam.alloy"


def test_it_says_what_was_read_and_what_is_assumed(run_file: Path) -> None:
    text = run_file.read_text()
    assert "the lattices show 0.170" in text
    assert "beam_energy_kev: 200  # assumed (check)" in text
    assert "no image file has them. (check)" in text
    assert text.count("# Confidence 0.9") == 2
    assert max(map(len, text.splitlines())) <= 88


def test_it_names_the_schema_beside_it(run_file: Path, tmp_path: Path) -> None:
    first, *_ = run_file.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=autoloop.schema.json"
    assert schema_line(tmp_path) == ""


def test_a_crop_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    command = ["init", str(COPPER), "--crystal=Cu", "--pixel-size=0.1734"]
    assert main([*command, *["--crop", "0", "110", "30", "300"], "-o", str(path)]) == 0
    micrograph = load_campaign(path).campaign.micrograph
    assert micrograph is not None
    assert micrograph.crop == (0, 110, 30, 300)


def test_it_does_not_replace_a_file(
    run_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run_file.read_text()
    command = ["init", str(COPPER), "--crystal=Cu", "-o"]
    assert main([*command, str(run_file)]) == 2
    assert main([*command, str(run_file.parent / "gone" / "x.yaml")]) == 2
    exists, missing = capsys.readouterr().err.splitlines()
    assert "exists already; choose another name with -o" in exists
    assert "no folder" in missing
    assert run_file.read_text() == before


def test_without_a_crystal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(COPPER), "-o", str(tmp_path / "x.yaml")]) == 2
    assert "init needs to know the crystal: give --crystal" in capsys.readouterr().err


def test_nothing_is_written_when_the_image_cannot_be_read(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cannot(*_: object, **__: object) -> None:
        raise DataError("cannot index the lower grain; give zone_axis")

    monkeypatch.setattr(inspection, "read_boundary", cannot)
    path = tmp_path / "x.yaml"
    command = ["init", str(COPPER), "--crystal=Cu", "--pixel-size=0.1734"]
    assert main([*command, "-o", str(path)]) == 4
    message = capsys.readouterr().err
    assert "no run file can be written: cannot index the lower grain" in message
    assert not path.exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.yaml", "a"), ("Grenze Ø 3.yaml", "Grenze_3"), ("_.yaml", "boundary")],
)
def test_run_name(file: str, name: str) -> None:
    assert run_name(Path(file)) == name
