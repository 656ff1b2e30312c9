"""What counts as an image: a file, an array, a signal of HyperSpy, an image of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.microscopy.reading import Micrograph, micrograph_of, read_micrograph


@runtime_checkable
class Signal(Protocol):
    """What is used of a signal of HyperSpy, or of anything alike.

    Attributes
    ----------
    data : array
        NumPy or dask.
    axes_manager : object
        With `signal_axes` and `navigation_axes`, x before y; each axis with `size`,
        `scale` and `units`.
    """

    data: Any
    axes_manager: Any


ImageSource: TypeAlias = (
    str | os.PathLike[str] | NDArray[Any] | Signal | Image | Micrograph
)
"""A file, a two-dimensional array, a signal, or an image of autoloop."""


def as_micrograph(
    source: ImageSource, *, pixel_size: float | None = None, index: int | None = None
) -> Micrograph:
    """Return any source as a micrograph.

    Parameters
    ----------
    source : path, array, signal, Image or Micrograph
        Arrays are (row, column), row 0 at the top.
    pixel_size : float, optional
        Over that of the source [Å]; arrays have none of their own.
    index : int, optional
        Which image of a source that holds several.

    Raises
    ------
    DataError
        If it holds no usable image, or no pixel size is known.
    """
    if isinstance(source, str | os.PathLike):
        return read_micrograph(Path(source), pixel_size=pixel_size, index=index)
    if isinstance(source, Micrograph):
        if pixel_size is None:
            return source
        source = source.image
    if isinstance(source, Image):
        size = source.pixel_size if pixel_size is None else pixel_size
        return _in_memory({"data": source.values, "axes": []}, "image", size, index)
    if isinstance(source, Signal):
        return _in_memory(_as_read(source), "signal", pixel_size, index)
    return _in_memory(
        {"data": np.asarray(source), "axes": []}, "array", pixel_size, index
    )


def is_file(source: ImageSource) -> bool:
    """Whether the source is the name of a file."""
    return isinstance(source, str | os.PathLike)


def _in_memory(
    signal: Mapping[str, Any], name: str, pixel_size: float | None, index: int | None
) -> Micrograph:
    return micrograph_of(signal, name=name, pixel_size=pixel_size, index=index)


def _as_read(signal: Signal) -> dict[str, Any]:
    """Return a signal as RosettaSciIO would have read it from a file."""
    manager = signal.axes_manager
    # HyperSpy lists x before y; the array has them the other way round.
    axes = [*reversed(manager.navigation_axes), *reversed(manager.signal_axes)]
    return {
        "data": signal.data,
        "axes": [
            {"size": axis.size, "scale": axis.scale, "units": str(axis.units or "")}
            for axis in axes
        ],
        "metadata": _tree(getattr(signal, "metadata", None)),
        "original_metadata": _tree(getattr(signal, "original_metadata", None)),
    }


def _tree(metadata: Any) -> dict[str, Any]:
    as_dictionary = getattr(metadata, "as_dictionary", None)
    tree = as_dictionary() if as_dictionary is not None else metadata
    return tree if isinstance(tree, dict) else {}
