"""The image of a finalist with its scale, and its columns, for microscopists' programs.

Through rosettasciio: TIFF for ImageJ and DigitalMicrograph, hspy for HyperSpy, and EMD
as the National Center for Electron Microscopy defines it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoloop import __version__
from autoloop.domain import Details, Evaluation
from autoloop.errors import DataError
from autoloop.journal import Journal
from autoloop.microscopy.writing import write_image_tif
from autoloop.report.status import journal_path

if TYPE_CHECKING:
    from autoloop.report.figures import ColumnTable, View

_NM: Final = 0.1
"""One Å in nm, the unit that these programs expect."""


def simulated_view(folder: Path, details: Details) -> View:
    """Compute the image of a structure again, as the run compared it.

    Raises
    ------
    DataError
        If the run has no micrograph.
    JournalError
        If another version of autoloop wrote what is needed for it.
    """
    from autoloop.evaluation import Context, Evaluator
    from autoloop.report.finalists import view_of

    with Journal.read(journal_path(folder)) as journal:
        evaluator = Evaluator(journal.get_document("context", Context))
    view = view_of(evaluator, details)
    if view is None:
        raise DataError(
            f"{folder}: a run by energy alone, it has no image; 'autoloop simulate' "
            "makes one of an exported structure"
        )
    return view


def write_columns(path: Path, table: ColumnTable) -> None:
    """Write columns as CSV: x_px, y_px in the whole image, element, mass."""
    rows = zip(table.positions_px, table.elements, table.masses, strict=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("x_px", "y_px", "element", "mass"))
        for (x, y), element, mass in rows:
            writer.writerow((f"{x:.4f}", f"{y:.4f}", element, f"{mass:.4f}"))


def _write_tiff(path: Path, view: View, evaluation: Evaluation) -> None:
    write_image_tif(path, view.simulated)


def _write_hspy(path: Path, view: View, evaluation: Evaluation) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(path), _signal(view, evaluation), show_progressbar=False)


def _write_emd(path: Path, view: View, evaluation: Evaluation) -> None:
    from rsciio.emd import file_writer

    file_writer(str(path), _signal(view, evaluation))


def _signal(view: View, evaluation: Evaluation) -> dict[str, Any]:
    """Return the simulated image as rosettasciio takes signals.

    The scale is the calibrated one; offsets place the first pixel in the whole image.
    """
    scale = view.simulated.pixel_size * _NM
    corner_x, corner_y = view.corner_px
    shape = view.simulated.values.shape
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "units": "nm",
            "scale": scale,
            "offset": corner * scale,
            "size": size,
            "navigate": False,
            "is_binned": False,
            "index_in_array": place,
        }
        for place, (name, size, corner) in enumerate(
            zip(("y", "x"), shape, (corner_y, corner_x), strict=True)
        )
    ]
    about = {"evaluation_id": evaluation.id, "cost": evaluation.cost}
    return {
        "data": np.asarray(view.simulated.values, np.float32),
        "axes": axes,
        "metadata": {
            "General": {"title": f"simulated HAADF-STEM image, {evaluation.id}"},
            "Signal": {"signal_type": "", "quantity": "Intensity"},
            "autoloop": about,
        },
        "original_metadata": {},
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "tmp_parameters": {},
        "models": {},
        "package_info": {"package": "autoloop", "package_version": __version__},
    }


IMAGE_WRITERS: Final[dict[str, Callable[[Path, View, Evaluation], None]]] = {
    "tiff": _write_tiff,
    "hspy": _write_hspy,
    "emd": _write_emd,
}
"""What writes each kind of image file."""
