"""The README's first run: a known structure, found in a simulated image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoloop.cli import main

from .judging import judge

TRUTH = Path(__file__).parents[1] / "data" / "cu_s5_310"


def test_quickstart_finds_the_structure_behind_the_image(
    experiments: Path, tmp_path: Path, hidden: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quickstart"
    assert main(["run", str(experiments / "quickstart.yaml"), "--out", str(out)]) == 0
    assert str(out / "best") in capsys.readouterr().out

    score = json.loads((out / "best/1/score.json").read_text())
    assert score["energy_j_per_m2"] == pytest.approx(0.905, abs=0.005)
    assert score["ssim"] > 0.95  # 0.975 is what noise leaves; others stay below 0.75

    truth = json.loads((TRUTH / "truth.json").read_text())
    verdict = judge(
        out / "best/1/columns.csv",
        TRUTH / "columns.csv",
        truth["pixel_size_A"],
        (126, 323),
    )
    assert verdict.n_true > 100
    assert verdict.recall == 1.0
    assert verdict.precision == 1.0
    # sub-pixel (0.17 Å): lattices are measured to some hundredths of an ångström
    assert verdict.rms < 0.10

    second = json.loads((out / "best/2/score.json").read_text())
    assert second["energy_j_per_m2"] > 1.0  # a different structure, not a copy
    for name in ("structure.extxyz", "structure.cif", "structure.vasp"):
        assert (out / "best/1" / name).stat().st_size > 1000
    assert (out / "best/1/overlay.png").stat().st_size > 50_000


def test_the_judge_tells_a_wrong_structure(tmp_path: Path) -> None:
    """The true columns pass; with the upper grain shifted by 1 Å they do not."""
    lines = (TRUTH / "columns.csv").read_text().splitlines()
    good = judge(TRUTH / "columns.csv", TRUTH / "columns.csv", 0.17, (126, 323))
    assert (good.recall, good.precision, good.rms) == (1.0, 1.0, 0.0)
    moved = [lines[0]]
    for line in lines[1:]:
        x, *rest = line.split(",")
        shift = 6.0 if float(rest[-1]) < 0 else 0.0
        moved.append(",".join([f"{float(x) + shift:.3f}", *rest]))
    shifted = tmp_path / "columns.csv"
    shifted.write_text("\n".join(moved))
    bad = judge(shifted, TRUTH / "columns.csv", 0.17, (126, 323))
    assert bad.recall < 0.7
