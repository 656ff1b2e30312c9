"""Reading a micrograph file: intensities, pixel size, and where the numbers came from.

What the image shows is not looked at; what formats there are is the matter of
`autoloop.microscopy.formats`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.microscopy.formats import (
    Signal,
    checked_suffix,
    chosen_image,
    guarded,
    loaded_data,
    read_signals,
)

PIXEL_SIZES: Final = (0.01, 2.0)
"""Pixel sizes between which columns could be seen [Å]."""
MAX_ANISOTROPY: Final = 0.02
"""Relative difference of the pixel's edges above which it is no square."""
BEAM_ENERGIES: Final = (10.0, 3000.0)
"""Believable beam energies [keV]."""
MAGNIFICATIONS: Final = (1e3, 1e10)
"""Believable magnifications of atomic columns."""
ANGSTROMS: Final = {
    "å": 1.0,
    "a": 1.0,
    "ang": 1.0,
    "angstrom": 1.0,
    "angstroms": 1.0,
    "nm": 10.0,
    "nanometer": 10.0,
    "nanometre": 10.0,
    "pm": 0.01,
    "μm": 1e4,
    "um": 1e4,
    "micron": 1e4,
    "m": 1e10,
}
"""Length units of calibrations in Å, after NFKC and lower case."""
PRINT_UNITS: Final = {"mm": 1e7, "cm": 1e8, "in": 2.54e8, "inch": 2.54e8}
"""Units in Å that mostly tell the size of a print, not of the sample."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Micrograph:
    """A measured image and its origin.

    Attributes
    ----------
    image : Image
        The whole image as read.
    path : str
        File it came from, as given.
    sha256 : str
        Of the file's bytes.
    sources : dict of str to str
        Where each number came from, by name: `pixel_size`, and `beam_energy_kev` if
        known.
    beam_energy_kev : float, optional
        As the file gives it.
    magnification : float, optional
        As the file gives it; of no use for lengths, but people know images by it.
    """

    image: Image
    path: str
    sha256: str
    sources: dict[str, str]
    beam_energy_kev: float | None
    magnification: float | None = None


def read_micrograph(
    path: Path, *, pixel_size: float | None = None, index: int | None = None
) -> Micrograph:
    """Read an image file.

    Parameters
    ----------
    path : Path
        File of one of the formats that `autoloop.microscopy.formats` lists.
    pixel_size : float, optional
        Pixel size [Å]; goes before what the file says.
    index : int, optional
        Which image of a file that holds several, counted from 0; a stack counts frame
        by frame.

    Returns
    -------
    Micrograph
        Its values are float64; colours are averaged to grey.

    Raises
    ------
    DataError
        If the file cannot be read, does not hold one image of finite numbers, or its
        pixel size is unknown or impossible.
    """
    suffix = checked_suffix(path)
    # The bytes first: what fails from here on is the content, not the access.
    sha256 = _sha256(path)
    signals = guarded(path, lambda: read_signals(path, suffix))
    return _micrograph(path, chosen_image(path, signals, index), pixel_size, sha256)


def micrograph_of(
    signal: Signal,
    *,
    name: str,
    pixel_size: float | None = None,
    index: int | None = None,
) -> Micrograph:
    """Return what is in memory already as if it had been read from a file.

    Parameters
    ----------
    signal : mapping
        `data`, an array, and `axes`, `metadata` as RosettaSciIO gives them; `axes` may
        be empty.
    name : str
        Stands for the file in messages.
    pixel_size, index : optional
        See `read_micrograph`.

    Returns
    -------
    Micrograph
        Its `sha256` is that of the float64 values, row by row.

    Raises
    ------
    DataError
        As `read_micrograph`.
    """
    path = Path(name)
    read = _micrograph(path, chosen_image(path, [signal], index), pixel_size, "")
    values = np.ascontiguousarray(read.image.values)
    return replace(read, sha256=hashlib.sha256(values.tobytes()).hexdigest())


def _micrograph(
    path: Path, signal: Signal, pixel_size: float | None, sha256: str
) -> Micrograph:
    values = _numbers(path, guarded(path, lambda: loaded_data(signal)))
    edges = guarded(path, lambda: _calibration(signal))
    size, size_source = _pixel_size(path, edges, pixel_size)
    sources = {"pixel_size": size_source}
    energy = guarded(path, lambda: _instrument(signal, "beam_energy", BEAM_ENERGIES))
    if energy is not None:
        sources["beam_energy_kev"] = "file metadata"
    magnification = guarded(
        path, lambda: _instrument(signal, "magnification", MAGNIFICATIONS)
    )
    if magnification is not None:
        sources["magnification"] = "file metadata"
    return Micrograph(
        image=Image(values=values, pixel_size=size),
        path=str(path),
        sha256=sha256,
        sources=sources,
        beam_energy_kev=energy,
        magnification=magnification,
    )


def _sha256(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; copy it again")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; check its permissions"
        ) from error


def _numbers(path: Path, data: NDArray[Any]) -> NDArray[np.float64]:
    """Return grey float64 values, checked."""
    if data.dtype.names:  # colours as RosettaSciIO gives them
        data = np.stack([data[name] for name in data.dtype.names if name != "A"], -1)
    if data.dtype.kind not in "uif":
        raise DataError(
            f"{path}: values of type {data.dtype} are no intensities; save the image "
            "with integer or real values"
        )
    values = data.astype(np.float64)
    if values.ndim == 3:
        values = values[:, :, :3].mean(axis=2)
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            f"{path}: {n_bad} of {values.size} values are NaN or infinite; replace "
            "them, or cut out a region without them"
        )
    if values.min() == values.max():
        raise DataError(
            f"{path}: all values are {values.flat[0]:g}; check that the right image "
            "was saved"
        )
    return values


def _pixel_size(
    path: Path, edges: tuple[float, float] | None, given: float | None
) -> tuple[float, str]:
    """Return the pixel size [Å] and where it came from."""
    in_file = "" if edges is None else f"{sum(edges) / 2.0:.5g} Å"
    if given is not None:
        _check_pixel_size(path, given, "as given in micrograph.pixel_size")
        return float(given), "given" + (in_file and f" (file metadata: {in_file})")
    if edges is None:
        raise DataError(
            f"image {path} has no pixel size; give micrograph.pixel_size [Å]"
        )
    for edge in edges:
        _check_pixel_size(path, edge, "of the file metadata")
    if abs(edges[0] - edges[1]) > MAX_ANISOTROPY * min(edges):
        raise DataError(
            f"{path}: pixels of {edges[1]:.5g} x {edges[0]:.5g} Å in the file metadata "
            "are not square; resample the image, or give micrograph.pixel_size [Å]"
        )
    return sum(edges) / 2.0, "file metadata"


def _check_pixel_size(path: Path, size: float, origin: str) -> None:
    low, high = PIXEL_SIZES
    if not low <= size <= high:
        raise DataError(
            f"{path}: pixel size {size:.5g} Å {origin} is not between {low:g} and "
            f"{high:g} Å; give micrograph.pixel_size [Å]"
        )


def _calibration(signal: Signal) -> tuple[float, float] | None:
    """Return the height and width of a pixel [Å], None without a calibration."""
    axes = [axis for axis in signal["axes"] if axis.get("size", 1) != 1][:2]
    edges = []
    for axis in axes:
        unit = str(axis.get("units") or _imagej_unit(signal))
        unit = unicodedata.normalize("NFKC", unit).strip().lower()
        scale = abs(float(axis.get("scale", 0.0)))
        printed = scale * PRINT_UNITS.get(unit, 0.0)
        if PIXEL_SIZES[0] <= printed <= PIXEL_SIZES[1]:
            edges.append(printed)
        elif unit in ANGSTROMS and scale > 0.0:
            edges.append(scale * ANGSTROMS[unit])
    return (edges[0], edges[1]) if len(edges) == 2 else None


def _imagej_unit(signal: Signal) -> str:
    """Return the unit of an ImageJ file, of which RosettaSciIO knows only microns."""
    text = str(signal.get("original_metadata", {}).get("ImageDescription", ""))
    if not text.startswith("ImageJ="):
        return ""
    entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    # ImageJ writes characters beyond ASCII as escapes.
    return entries.get("unit", "").replace("\\u00C5", "Å").replace("\\u00B5", "µ")


def _instrument(
    signal: Signal, name: str, believable: tuple[float, float]
) -> float | None:
    """Return a number about the microscope if the file gives a believable one."""
    found = [_entry(signal.get("metadata"), f"Acquisition_instrument.TEM.{name}")]
    for source, (target, convert) in (signal.get("mapping") or {}).items():
        if str(target).endswith(f"TEM.{name}"):
            value = _entry(signal.get("original_metadata"), source)
            found.append(value if value is None or convert is None else convert(value))
    for value in found:
        number = 0.0 if value is None else float(value)
        if believable[0] <= number <= believable[1]:
            return number
    return None


def _entry(tree: Any, dotted: str) -> Any:
    """Return a leaf of nested mappings, None if there is none."""
    for name in dotted.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree
