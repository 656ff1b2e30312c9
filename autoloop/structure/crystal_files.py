"""Structure files, read within limits: they may come from anywhere.

What a file claims is not believed before memory is taken: a line that promises a
thousand million atoms would otherwise be enough to take all there is.
"""

from __future__ import annotations

import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoloop.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

LARGEST_BYTES: Final = 50_000_000
"""Of a file: about a million atoms."""
SPARE_BYTES: Final = 2_000_000_000
"""Memory that reading may take: forty times the largest file."""


def read_atoms(path: Path, *, largest_bytes: int = LARGEST_BYTES) -> Atoms:
    """Read the last structure of a file of any kind that ASE knows.

    Parameters
    ----------
    path : Path
        A CIF, POSCAR, extxyz or any other file that ASE tells by name or content;
        ``.lmp`` is LAMMPS data of style atomic in metal units.
    largest_bytes : int
        Size beyond which it is not opened.

    Raises
    ------
    DataError
        If it cannot be read within limits, or its numbers are not finite.
    """
    import ase.io

    # ASE does not tell this kind by its name.
    lammps = {"format": "lammps-data", "units": "metal", "atom_style": "atomic"}
    options: dict[str, Any] = lammps if path.suffix == ".lmp" else {}
    try:
        size = path.stat().st_size
        if size > largest_bytes:
            raise DataError(
                f"{path}: {size / 1e6:.0f} MB are more than the {largest_bytes / 1e6:g}"
                " MB that a structure file may have; give one cell"
            )
        with _bounded_memory(SPARE_BYTES), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_empty_promise(path, size)
            atoms = ase.io.read(path, **options)
    except DataError:
        raise
    except MemoryError:
        raise DataError(
            f"{path}: claims more atoms than memory is given for; check its counts"
        ) from None
    except Exception as error:  # ASE's readers raise whatever they stumble over
        what = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{path}: not a structure file: ASE cannot read this ({what}); give a "
            "CIF, POSCAR or extxyz file"
        ) from error
    last: Atoms = atoms[-1] if isinstance(atoms, list) else atoms
    for name, values in (("positions", last.positions), ("cell", last.cell[:])):
        if not np.all(np.isfinite(values)):
            raise DataError(
                f"{path}: numbers of its {name} are NaN or infinite; correct them"
            )
    return last


def _refuse_empty_promise(path: Path, size: int) -> None:
    """Refuse a file that claims more atoms than it has bytes.

    ASE's reader of POSCAR, for one, makes a list of them before it reads the first.
    """
    from ase.io.formats import filetype

    kind = "lammps-data" if path.suffix == ".lmp" else filetype(str(path))
    with path.open("rb") as file:
        lines = [file.readline(10_000).split() for _ in range(12)]
    counts = {
        "vasp": [lines[5], lines[6]],
        "extxyz": [lines[0]],
        "xyz": [lines[0]],
        "lammps-data": [line[:1] for line in lines if line[1:2] == [b"atoms"]],
    }.get(kind, [])
    claimed = max((_sum(words) for words in counts), default=0)
    if claimed > size:
        raise DataError(
            f"{path}: claims {claimed} atoms and has {size} bytes; correct its counts"
        )


def _sum(words: list[bytes]) -> int:
    """Return the sum of whole numbers, 0 if the words are none."""
    numbers = words if all(w.isdigit() and len(w) < 100 for w in words) else []
    return sum(map(int, numbers))


@contextmanager
def _bounded_memory(spare: int) -> Iterator[None]:
    """Let this process take so much more address space at most [bytes]."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = pages * resource.getpagesize() + spare
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([bound, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
