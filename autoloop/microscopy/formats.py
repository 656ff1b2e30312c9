"""Image files: the formats that are known, and what one file holds.

Formats and calibration come from RosettaSciIO; whatever it raises on a damaged file
becomes one line here. What the numbers mean is left to `autoloop.microscopy.reading`.
"""

from __future__ import annotations

import gc
import glob
import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError

T = TypeVar("T")
Signal = Mapping[str, Any]
"""One data set of a file: `data`, `axes`, `metadata`, as RosettaSciIO gives it."""

PLUGINS: Final = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".emi": "tia",
    ".hspy": "hspy",
    ".mrc": "mrc",
    ".ser": "tia",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""RosettaSciIO plugin for each suffix."""
HDF5: Final = (".emd", ".hspy")
"""Suffixes of files whose data sets HDF5 describes."""
PICTURES: Final = (".bmp", ".jpeg", ".jpg", ".png")
"""Suffixes read through Pillow: RosettaSciIO loses a channel of some of them."""
LARGEST: Final = 64_000_000
"""Most pixels that are read: 0.5 GB as float64, four times a frame of 4096 x 4096."""
SHORTEST_SIDE: Final = 16
"""Fewest pixels along a side of an image; a thumbnail has more."""


def checked_suffix(path: Path) -> str:
    """Return the suffix of a file that exists and whose format is known."""
    if not path.exists():
        raise DataError(f"{path}: no such file; check micrograph.path")
    if not path.is_file():
        raise DataError(f"{path}: not a file; micrograph.path must name an image file")
    suffix = path.suffix.lower()
    known = sorted((*PLUGINS, *PICTURES, ".npy"))
    if suffix not in known:
        raise DataError(
            f"{path}: unknown image format {path.suffix or '(no suffix)'!r}; "
            f"convert it to one of {' '.join(known)}"
        )
    return suffix


def guarded(path: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns, any of its failures being one about the file.

    Readers of binary formats fail on damaged files with whatever their parsing meets,
    from `KeyError` to `struct.error`, so nothing narrower than `Exception` would do.
    """
    with _silence():
        try:
            return read()
        except DataError:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [""])[0][:120]
            problem = f"{type(error).__name__}: {text}" if text else f"{error!r}"
        # What the reader left open would warn whenever it is collected.
        gc.collect()
    raise DataError(
        f"{path}: not readable as a {path.suffix} file ({problem}); check that it is "
        "complete and that its suffix is right"
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Hold back what the readers log and warn about: the error says it once."""
    loggers = [logging.getLogger(name) for name in ("rsciio", "tifffile", "PIL")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def read_signals(path: Path, suffix: str) -> list[Signal]:
    """Return what the file holds, as RosettaSciIO describes it.

    Sizes are checked before anything large is allocated.
    """
    if suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return [{"data": array, "axes": []}]
    if suffix in PICTURES:
        return [{"data": _picture(path), "axes": []}]
    reader = importlib.import_module(f"rsciio.{PLUGINS[suffix]}").file_reader
    if PLUGINS[suffix] == "tiff":
        # Its lazy mode leaves the file open.
        from tifffile import TiffFile

        with TiffFile(path) as tiff:
            for series in tiff.series:
                _check_size(path, series.shape)
        return list(reader(str(path)))
    if suffix == ".emi" and not list(
        path.parent.glob(f"{glob.escape(path.stem)}_*.ser")
    ):
        raise ValueError("no .ser file with its data lies beside it")
    try:
        return list(reader(str(path), lazy=True))
    except ValueError:
        # HDF5 without chunks cannot be read lazily. What was never written takes no
        # room on the disk, so that the size of the file says nothing.
        if suffix in HDF5:
            _check_data_sets(path)
        _check_size(path, (path.stat().st_size // 8,))
        return list(reader(str(path)))


def _check_data_sets(path: Path) -> None:
    import h5py

    def check(_: str, found: h5py.Dataset | h5py.Group) -> None:
        if isinstance(found, h5py.Dataset):
            _check_size(path, found.shape or ())

    with h5py.File(path, "r") as file:
        file.visititems(check)


def _picture(path: Path) -> NDArray[Any]:
    from PIL import Image as Picture

    with Picture.open(path) as picture:
        _check_size(path, picture.size)
        if picture.mode in ("LA", "La"):
            return np.asarray(picture.convert("L"))
        plain = picture.mode in ("L", "F", "RGB") or picture.mode.startswith("I")
        return np.asarray(picture if plain else picture.convert("RGB"))


def chosen_image(path: Path, signals: list[Signal], index: int | None) -> Signal:
    """Return one two-dimensional image of a file.

    Without an index it must be the only one, or the only one called HAADF; an index
    counts images from 0, the frames of a stack one by one.
    """
    images = [s for s in signals if _is_image(_shape(s))]
    if index is not None:
        frames = list(_frames(signals))
        if index >= len(frames):
            raise DataError(
                f"{path}: micrograph.index {index} is beyond its {len(frames)} "
                f"image(s); counting begins with 0"
            )
        _check_size(path, _shape(frames[index]))
        return frames[index]
    if len(images) > 1:
        haadf = [s for s in images if "haadf" in _title(s).lower()]
        images = haadf if len(haadf) == 1 else images
    if len(images) == 1:
        _check_size(path, _shape(images[0]))
        return images[0]
    if images:
        listed = ", ".join(f"{_title(s) or 'untitled'} {_shape(s)}" for s in images)
        raise DataError(
            f"{path}: holds {len(images)} images ({listed[:200]}); choose one with "
            "micrograph.index, counted from 0, or save the HAADF image as a file of "
            "its own"
        )
    listed = ", ".join(str(_shape(s)) for s in signals) or "nothing"
    n_frames = sum(1 for _ in _frames(signals))
    remedy = (
        f"choose one of {n_frames} frames with micrograph.index, counted from 0, or "
        if n_frames
        else ""
    )
    raise DataError(
        f"{path}: holds no image of at least {SHORTEST_SIDE} x {SHORTEST_SIDE} pixels, "
        f"but {listed[:200]}; {remedy}save one two-dimensional image as a file of its "
        "own"
    )


def _frames(signals: list[Signal]) -> Iterator[Signal]:
    """Give every image, and every frame of a stack, in the order of the file."""
    for signal in signals:
        shape = _shape(signal)
        if _is_image(shape):
            yield signal
        elif len(shape) == 3 and min(shape[1:]) >= SHORTEST_SIDE:
            # Squeezed later anyway; here only axis 0 must be that of the frames.
            data = signal["data"].reshape(shape)
            for k in range(shape[0]):
                axes = [a for a in signal["axes"] if a.get("size", 1) != 1]
                yield {**signal, "data": data[k], "axes": axes[1:]}


def _shape(signal: Signal) -> tuple[int, ...]:
    """Return the shape of the data without axes of length one."""
    return tuple(int(n) for n in signal["data"].shape if n != 1)


def _title(signal: Signal) -> str:
    return str(signal.get("metadata", {}).get("General", {}).get("title", ""))


def _is_image(shape: tuple[int, ...]) -> bool:
    coloured = len(shape) == 3 and shape[2] in (3, 4)
    return (len(shape) == 2 or coloured) and min(shape[:2]) >= SHORTEST_SIDE


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    n_values = math.prod(shape)
    if n_values > LARGEST:
        raise DataError(
            f"{path}: {n_values / 1e6:.0f} million values {tuple(shape)} are more than "
            f"{LARGEST / 1e6:.0f} million; cut out the boundary, or bin the image"
        )


def loaded_data(signal: Signal) -> NDArray[Any]:
    """Return the data in memory, without axes of length one."""
    data = signal["data"]
    if hasattr(data, "compute"):
        data = data.compute(scheduler="synchronous")
    return np.squeeze(np.asarray(data))
