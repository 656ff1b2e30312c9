"""The library on disk: plain arrays, mapped into memory when they are read.

    library.json       what it is: version, hash, sources, the names of all entries
    cells.npy          (n, 2, 2) projected cells [Å]
    starts.npy         (n + 1,) where the columns of each entry begin
    columns.npy        (m, 3) x, y [Å] and weight of the columns
    descriptors.npy    (n, d) what is compared first
    rings.npy          (n, r, a) half precision: what tells the turn

Images are not kept: each is drawn from its columns when it is wanted, in 1.5 ms, with
the sharpness, turn and strain of the query.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError
from autoloop.library.spectra import (
    FIELD,
    N_ANGLES,
    N_ORDERS,
    N_RINGS,
    PIXEL,
    Single,
)
from autoloop.library.views import Axis, View

VERSION: Final = 1
"""Raised when what is stored, or how it is computed, changes."""
INDEX: Final = "library.json"
_ARRAYS: Final = ("cells", "starts", "columns", "descriptors", "rings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What an entry is.

    Attributes
    ----------
    prototype, formula, zone_axis, depth
        As of `View`.
    alike : tuple of str
        Other views, within 4 % of its size, that an image cannot tell from it.
    """

    prototype: str
    formula: str
    zone_axis: Axis
    depth: float
    alike: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Prototype and direction, for people."""
        return f"{self.prototype} [{' '.join(map(str, self.zone_axis))}]"

    @property
    def prototypes(self) -> tuple[str, ...]:
        """All crystals that it may be: its own, and those that look alike."""
        others = (text.rsplit(" [", 1)[0] for text in self.alike)
        return tuple(dict.fromkeys((self.prototype, *others)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Library:
    """Entries, and what they are found by.

    Attributes
    ----------
    names : tuple of Name
        n entries.
    cells, starts, columns : (n, 2, 2), (n + 1,), (m, 3) array
        As on disk.
    descriptors : (n, d) float array
        As of `autoloop.library.spectra.descriptor`.
    rings : (n, r, a) float array
        As of `autoloop.library.spectra.polar`.
    sources : dict
        Where the crystals came from, JSON.
    sha256 : str
        Of all of it.
    """

    names: tuple[Name, ...]
    cells: NDArray[np.float64]
    starts: NDArray[np.int64]
    columns: NDArray[np.float32]
    descriptors: Single
    rings: NDArray[np.float16]
    sources: dict[str, Any]
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def view(self, index: int) -> View:
        """Return an entry as a view."""
        name = self.names[index]
        own = self.columns[self.starts[index] : self.starts[index + 1]]
        rows: NDArray[np.float64] = own.astype(np.float64)
        return View(
            prototype=name.prototype,
            formula=name.formula,
            zone_axis=name.zone_axis,
            cell=np.asarray(self.cells[index], np.float64),
            positions=rows[:, :2],
            weights=rows[:, 2],
            depth=name.depth,
        )

    def chosen(self, indices: Sequence[int]) -> Library:
        """Return a library of some of the entries, in that order."""
        rows = [self.columns[self.starts[i] : self.starts[i + 1]] for i in indices]
        order = np.asarray(indices, np.int64)
        return Library(
            names=tuple(self.names[i] for i in indices),
            cells=self.cells[order],
            starts=np.cumsum([0, *(len(row) for row in rows)]),
            columns=np.concatenate([self.columns[:0], *rows]),
            descriptors=self.descriptors[order],
            rings=self.rings[order],
            sources=self.sources,
        )


def default_folder() -> Path:
    """Return where the library lies: ``$XDG_DATA_HOME/autoloop/library``."""
    base = os.environ.get("XDG_DATA_HOME", "")
    # the XDG specification: a relative path is to be ignored
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local/share"
    return root / "autoloop" / "library"


def assembled(
    views: Sequence[View],
    alike: Sequence[tuple[str, ...]],
    descriptors: Single,
    rings: NDArray[np.float16],
    sources: dict[str, Any],
) -> Library:
    """Return a library of views, with what belongs to each."""
    columns = [np.column_stack((v.positions, v.weights)) for v in views]
    return Library(
        names=tuple(
            Name(
                prototype=v.prototype,
                formula=v.formula,
                zone_axis=v.zone_axis,
                depth=v.depth,
                alike=others,
            )
            for v, others in zip(views, alike, strict=True)
        ),
        cells=np.array([v.cell for v in views]).reshape(-1, 2, 2),
        starts=np.cumsum([0, *(len(rows) for rows in columns)]),
        columns=np.concatenate([np.empty((0, 3)), *columns]).astype(np.float32),
        descriptors=descriptors,
        rings=rings,
        sources=sources,
    )


def save(library: Library, folder: Path) -> Library:
    """Write a library; its index last, so that half of one is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    for name in _ARRAYS:
        # who has the old file mapped keeps it
        with (folder / f".{name}.npy").open("wb") as stream:
            np.save(stream, np.ascontiguousarray(getattr(library, name)))
        os.replace(folder / f".{name}.npy", folder / f"{name}.npy")
    record = {
        "version": VERSION,
        "sha256": _digest(library),
        "sources": library.sources,
        "form": _form(),
        "entries": [_to_row(name) for name in library.names],
    }
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    temporary = folder / f".{INDEX}"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, folder / INDEX)
    return load(folder)


def load(folder: Path | None = None, *, check: bool = False) -> Library:
    """Map a library into memory.

    Parameters
    ----------
    folder : Path, optional
        By default that of `default_folder`.
    check : bool
        Whether to read all of it and compare its hash.

    Raises
    ------
    DataError
        If there is none, it is damaged, or another version of the program made it.
    """
    folder = default_folder() if folder is None else folder
    again = "autoloop library build"
    if not (folder / INDEX).is_file():
        raise DataError(f"{folder}: no library here; make one with '{again}'")
    try:
        record = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if record["version"] != VERSION or record["form"] != _form():
            raise DataError(
                f"{folder}: a library of version {record['version']}, of another "
                f"program; version {VERSION} is needed: run '{again}'"
            )
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS
        }
        found = Library(
            names=tuple(_from_row(row) for row in record["entries"]),
            sources=record["sources"],
            sha256=record["sha256"],
            **arrays,
        )
        whole = len(found.rings) == len(found) == len(found.starts) - 1
        if not whole or (check and _digest(found) != found.sha256):
            raise ValueError("its hash is another")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: a damaged library ({error}); delete it and run '{again}'"
        ) from error
    return found


def _to_row(name: Name) -> list[Any]:
    return [
        name.prototype,
        name.formula,
        list(name.zone_axis),
        name.depth,
        list(name.alike),
    ]


def _from_row(row: list[Any]) -> Name:
    h, k, m = row[2]
    return Name(
        prototype=row[0],
        formula=row[1],
        zone_axis=(h, k, m),
        depth=row[3],
        alike=tuple(row[4]),
    )


def _form() -> dict[str, float]:
    """Return what makes two libraries comparable."""
    return {
        "field": FIELD,
        "pixel_size": PIXEL,
        "rings": N_RINGS,
        "angles": N_ANGLES,
        "orders": N_ORDERS,
    }


def _digest(library: Library) -> str:
    digest = hashlib.sha256()
    rows = [_to_row(name) for name in library.names]
    digest.update(json.dumps([VERSION, _form(), rows]).encode())
    for name in _ARRAYS:
        digest.update(np.ascontiguousarray(getattr(library, name)).tobytes())
    return digest.hexdigest()
