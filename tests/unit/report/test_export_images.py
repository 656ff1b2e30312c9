"""Images of finalists and their columns: what other programs read of the scale."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.errors import ConfigError, JournalError
from autoloop.report.best import Finalist
from autoloop.report.export import export, exporting, images
from autoloop.report.figures import View


@pytest.fixture
def exported(
    run_folder: Path, view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Export the best of a run whose images need not be simulated."""
    monkeypatch.setattr(exporting, "simulated_view", lambda folder, details: view)
    return lambda format: export(
        run_folder, format=format, output=tmp_path / f"image.{format}"
    )


def readers() -> dict[str, Callable[[str], list[dict[str, Any]]]]:
    import rsciio.emd
    import rsciio.hspy
    import rsciio.tiff

    return {
        "hspy": rsciio.hspy.file_reader,
        "emd": rsciio.emd.file_reader,
        "tiff": rsciio.tiff.file_reader,
    }


@pytest.mark.parametrize("format", ["hspy", "emd", "tiff"])
def test_values_and_scale_come_back(
    format: str, exported: Callable[[str], Path], view: View
) -> None:
    (found,) = readers()[format](str(exported(format)))
    # Written as float32, which holds a value to 6e-8 of itself.
    np.testing.assert_allclose(found["data"], view.simulated.values, rtol=1e-6)
    vertical, horizontal = found["axes"]
    for axis, size in ((vertical, 40), (horizontal, 64)):
        assert axis["units"] == "nm"
        assert axis["scale"] == pytest.approx(0.02, rel=1e-6)  # 0.2 Å
        assert axis["size"] == size
    assert found["metadata"]["Signal"]["signal_type"] == ""


@pytest.mark.parametrize("format", ["hspy", "emd"])
def test_offsets_place_the_image_in_the_whole_one(
    format: str, exported: Callable[[str], Path]
) -> None:
    (found,) = readers()[format](str(exported(format)))
    vertical, horizontal = found["axes"]
    # Its first pixel is x 100, y 50 of the whole image, of 0.02 nm each.
    assert horizontal["offset"] == pytest.approx(2.0)
    assert vertical["offset"] == pytest.approx(1.0)


def test_hspy_says_what_it_shows(exported: Callable[[str], Path]) -> None:
    (found,) = readers()["hspy"](str(exported("hspy")))
    assert found["metadata"]["autoloop"]["evaluation_id"] == "0000-02"
    assert found["metadata"]["autoloop"]["cost"] == pytest.approx(0.3)


def test_imagej_reads_the_scale(exported: Callable[[str], Path]) -> None:
    """ImageJ takes pixels per unit from XResolution, the unit from the description."""
    import tifffile

    with tifffile.TiffFile(exported("tiff")) as file:
        assert file.is_imagej
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "nm"
        for tag in ("XResolution", "YResolution"):
            pixels, unit = file.pages[0].tags[tag].value
            assert unit / pixels == pytest.approx(0.02, rel=1e-6)


def test_columns_become_a_table(exported: Callable[[str], Path], view: View) -> None:
    with exported("csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["element"] for row in rows] == ["Cd", "Te", "CdTe"]
    positions = [(float(row["x_px"]), float(row["y_px"])) for row in rows]
    np.testing.assert_allclose(positions, view.columns.positions_px, atol=1e-4)


def test_a_journal_of_another_version_is_refused(
    run_folder: Path, tmp_path: Path
) -> None:
    """What images are made from is missing in it; nothing is left behind."""
    with pytest.raises(JournalError):
        export(run_folder, format="hspy", output=tmp_path / "image.hspy")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_an_existing_image_is_left_alone(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "image.emd").write_text("precious")
    with pytest.raises(ConfigError, match=r"image\.emd: exists already"):
        exported("emd")
    assert (tmp_path / "image.emd").read_text() == "precious"


def test_writers_take_what_a_finalist_has(finalist: Finalist, tmp_path: Path) -> None:
    """With best/ and with `export` the same image comes out."""
    assert finalist.view is not None
    path = tmp_path / "i.tif"
    images.IMAGE_WRITERS["tiff"](path, finalist.view, finalist.evaluation)
    (found,) = readers()["tiff"](str(path))
    np.testing.assert_allclose(found["data"], finalist.view.simulated.values, rtol=1e-6)
