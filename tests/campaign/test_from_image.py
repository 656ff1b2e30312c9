"""From an image and the crystal's name alone: init, validate, run."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.config import Campaign, load_campaign
from autoloop.preparation import prepare

GAPS = """\
name: gaps
seed: 1
micrograph: {path: image.tif, pixel_size: 0.1734}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
grains: [{crystal: Cu}, {crystal: Cu}]
budget: {evaluations: 8}
"""


@pytest.fixture
def folder(
    experiments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: None
) -> Path:
    shutil.copyfile(experiments / "cu_s5_310" / "image.tif", tmp_path / "image.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_validate_run(folder: Path) -> None:
    command = ["init", "image.tif", "--crystal", "Cu", "--pixel-size", "0.1734"]
    assert main([*command, "-o", "cu.yaml"]) == 0
    assert main(["validate", "cu.yaml"]) == 0
    assert main(["run", "cu.yaml", "--evaluations", "8"]) == 0
    score = json.loads((folder / "runs/cu/best/1/score.json").read_text())
    # Eight candidates need not be enough, but what was read starts the search at the
    # translation that the image shows; a misread frame gives below 0.75.
    assert score["ssim"] > 0.9


def test_gaps_are_filled_as_init_does_and_written_down(folder: Path) -> None:
    (folder / "gaps.yaml").write_text(GAPS)
    loaded = load_campaign(folder / "gaps.yaml")
    prepared = prepare(loaded)
    assert any("read from the image" in note for note in prepared.notes)
    resolved = prepared.campaign
    assert all(grain.oriented for grain in resolved.grains)

    command = ["init", "image.tif", "--crystal", "Cu", "--pixel-size", "0.1734"]
    assert main([*command, "-o", "cu.yaml"]) == 0
    written = load_campaign(folder / "cu.yaml").campaign
    assert written.grains == resolved.grains
    assert written.boundary == resolved.boundary

    again = prepare(load_campaign(folder / _dumped(folder, resolved)))
    assert again.campaign == resolved
    first, second = prepared.context.target, again.context.target
    assert first is not None
    assert second is not None
    assert asdict(first.reading) == asdict(second.reading)
    np.testing.assert_array_equal(first.columns.positions, second.columns.positions)


def _dumped(folder: Path, campaign: Campaign) -> str:
    from autoloop.config import dump_campaign

    (folder / "campaign.yaml").write_text(dump_campaign(campaign))
    return "campaign.yaml"
