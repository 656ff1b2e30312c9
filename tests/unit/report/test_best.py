from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest

from autoloop.microscopy.reading import read_micrograph
from autoloop.report import best as best_module
from autoloop.report.best import Finalist, write_best
from autoloop.report.mu_figure import MuDiagram, MuLine

SCORE_KEYS = [
    "ssim",
    "ssim_7",
    "ssim_35",
    "emd_angstrom_per_column",
    "mse",
    "energy_j_per_m2",
    "energy_limits_j_per_m2",
    "gamma_excess_per_nm2",
    "cost",
    "evaluation_id",
    "flags",
    "weight",
    "refit",
]


def test_a_finalist_becomes_the_promised_files(
    finalist: Finalist, tmp_path: Path
) -> None:
    folder = write_best(tmp_path, [finalist]) / "1"
    assert sorted(path.name for path in folder.iterdir()) == [
        "columns.csv",
        "image.tif",
        "overlay.png",
        "score.json",
        "structure.cif",
        "structure.extxyz",
        "structure.lmp",
        "structure.vasp",
    ]
    atoms = ase.io.read(folder / "structure.extxyz")
    assert atoms.info["id"] == finalist.evaluation.id
    np.testing.assert_allclose(
        atoms.positions, finalist.details.bicrystal.positions, atol=1e-4
    )


def test_score_has_exactly_the_promised_keys(
    finalist: Finalist, tmp_path: Path
) -> None:
    table = json.loads((write_best(tmp_path, [finalist]) / "1/score.json").read_text())
    assert list(table) == SCORE_KEYS
    assert table["cost"] == finalist.evaluation.cost
    assert table["evaluation_id"] == "0000-02"
    assert table["mse"] is None  # not measured
    assert table["flags"] == list(finalist.evaluation.flags) != []


def test_columns_are_in_pixels_of_the_whole_image(
    finalist: Finalist, tmp_path: Path
) -> None:
    path = write_best(tmp_path, [finalist]) / "1/columns.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["x_px", "y_px", "element", "mass"]
    assert [row["element"] for row in rows] == ["Cd", "Te", "CdTe"]
    assert [float(row["x_px"]) for row in rows] == [112.25, 120.0, 130.0]
    assert [float(row["mass"]) for row in rows] == [719.5, 826.4, 1545.9]


def test_image_keeps_its_values_and_pixel_size(
    finalist: Finalist, tmp_path: Path
) -> None:
    assert finalist.view is not None
    found = read_micrograph(write_best(tmp_path, [finalist]) / "1/image.tif").image
    expected = finalist.view.simulated
    # float32 holds 24 bits.
    np.testing.assert_allclose(found.values, expected.values, rtol=2**-23)
    # TIFF keeps the size as a ratio of integers.
    assert found.pixel_size == pytest.approx(expected.pixel_size, rel=1e-6)


def test_without_a_micrograph_there_are_structures_only(
    finalist: Finalist, tmp_path: Path
) -> None:
    folder = write_best(tmp_path, [replace(finalist, view=None)]) / "1"
    names = {path.name for path in folder.iterdir()}
    assert "score.json" in names
    assert not names & {"image.tif", "columns.csv", "overlay.png"}


def test_a_diagram_stands_beside_the_finalists(
    finalist: Finalist, tmp_path: Path
) -> None:
    line = MuLine(label="no excess", limits_j_per_m2=(0.5, 0.5))
    diagram = MuDiagram(lines=(line,), species=("Cd", "Te"), width_ev=1.0)
    best = write_best(tmp_path, [replace(finalist, view=None)], diagram)
    assert sorted(path.name for path in best.iterdir()) == [
        "1",
        "chemical_potential.png",
        "chemical_potential.svg",
    ]


def test_a_second_writing_replaces_the_first_whole(
    finalist: Finalist, tmp_path: Path
) -> None:
    energy_only = replace(finalist, view=None)
    write_best(tmp_path, [energy_only, replace(energy_only, rank=2)])
    write_best(tmp_path, [energy_only])
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["1"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_no_finalist_leaves_an_empty_folder(tmp_path: Path) -> None:
    assert list(write_best(tmp_path, []).iterdir()) == []


def test_a_crash_while_writing_leaves_the_old_folder(
    finalist: Finalist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_only = replace(finalist, view=None)
    write_best(tmp_path, [energy_only])
    before = {p: p.read_bytes() for p in (tmp_path / "best").rglob("*") if p.is_file()}

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(best_module, "_sync", crash)
        with pytest.raises(KeyboardInterrupt):
            write_best(tmp_path, [energy_only, replace(energy_only, rank=2)])
    after = {p: p.read_bytes() for p in (tmp_path / "best").rglob("*") if p.is_file()}
    assert after == before

    write_best(tmp_path, [energy_only, replace(energy_only, rank=2)])
    assert sorted(p.name for p in (tmp_path / "best").iterdir()) == ["1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
