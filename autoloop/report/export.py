"""Structure files, and one finalist of a run as such a file, from the journal alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import Bicrystal, Details, Evaluation, Score
from autoloop.errors import ConfigError
from autoloop.journal import Journal
from autoloop.report.status import journal_path

if TYPE_CHECKING:
    from ase import Atoms

SUFFIXES: Final = {
    "cif": ".cif",
    "poscar": ".vasp",
    "extxyz": ".extxyz",
    "lammps-data": ".lmp",
}
"""File name suffix of every format that can be written."""

_WRITERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "cif": ("cif", {}),
    "poscar": ("vasp", {"direct": False, "sort": True}),
    "extxyz": ("extxyz", {}),
    "lammps-data": (
        "lammps-data",
        {"masses": True, "units": "metal", "atom_style": "atomic"},
    ),
}
_MIN_VACUUM = 10.0  # between periodic images of the slab; beyond common cutoffs [Å]


def to_atoms(bicrystal: Bicrystal) -> Atoms:
    """Return the bicrystal as ASE atoms, in the boundary frame.

    Periodic in x and z only; the array ``grain`` is 1 above the boundary, 2 below it.
    """
    from ase import Atoms

    atoms = Atoms(
        numbers=bicrystal.numbers,
        positions=bicrystal.positions,
        cell=bicrystal.cell,
        pbc=(True, False, True),
    )
    atoms.set_array("grain", bicrystal.grains)
    return atoms


def periodic_slab(atoms: Atoms) -> Atoms:
    """Return the slab in a cell periodic in all directions, with vacuum along y.

    For formats that know periodic cells only, or drop what lies outside the box. A cell
    that holds the slab and its vacuum already is left as it is; else the slab is moved
    along y and the cell made as high as it has to be.
    """
    slab = atoms.copy()
    slab.pbc = True
    y = slab.positions[:, 1]
    height, extent = slab.cell[1, 1], float(np.ptp(y))
    if y.min() < 0 or y.max() > height or height - extent < _MIN_VACUUM:
        slab.positions[:, 1] += _MIN_VACUUM / 2 - y.min()
        slab.cell[1] = (0.0, extent + _MIN_VACUUM, 0.0)
    return slab


def write_structure(
    path: Path, bicrystal: Bicrystal, format: str, info: Mapping[str, Any] | None = None
) -> None:
    """Write a structure file.

    Parameters
    ----------
    path : Path
        Where to; an existing file is replaced.
    bicrystal : Bicrystal
        Atoms in the boundary frame.
    format : {"cif", "poscar", "extxyz", "lammps-data"}
        The species of `poscar` are grouped, which changes the order of the atoms;
        `lammps-data` has atom style atomic and metal units.
    info : mapping, optional
        For the comment line of `extxyz`; the others have no place for it.
    """
    import ase.io

    atoms = to_atoms(bicrystal)
    if format == "extxyz":
        atoms.info.update(info or {})
    else:
        atoms = periodic_slab(atoms)
    ase_format, options = _WRITERS[format]
    ase.io.write(path, atoms, format=ase_format, **options)


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the comment line of an extxyz file says about a candidate."""
    score = evaluation.score or Score()
    known = {
        "id": evaluation.id,
        "cost": evaluation.cost,
        "energy_j_per_m2": score.energy_j_per_m2,
        "ssim": score.ssim,
        "emd_angstrom_per_column": score.emd_angstrom_per_column,
    }
    return {key: value for key, value in known.items() if value is not None}


def export_structure(
    folder: Path, *, rank: int, format: str, output: Path | None = None
) -> Path:
    """Write one of the best structures of a run to a file of its own.

    Parameters
    ----------
    folder : Path
        Run folder.
    rank : int
        1 for the lowest cost; equal structures count once.
    format : {"cif", "poscar", "extxyz", "lammps-data"}
        See `write_structure`.
    output : Path, optional
        File to write; by default ``NAME_rankK`` with the suffix of the format, in the
        current folder.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError
        If the format or the rank does not exist, or the file does already.
    JournalError
        If the folder holds no run.
    """
    if format not in SUFFIXES:
        raise ConfigError(
            f"--format {format}: unknown format; known are {', '.join(SUFFIXES)}"
        )
    evaluation, details, name = _ranked(folder, rank)
    path = output or Path(f"{name}_rank{rank}{SUFFIXES[format]}")
    _refuse_unusable(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_structure(partial, details.bicrystal, format, describe(evaluation))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _ranked(folder: Path, rank: int) -> tuple[Evaluation, Details, str]:
    with Journal.read(journal_path(folder)) as journal:
        archive = Archive(journal.evaluations(), load_details=journal.details)
        best = archive.best(len(archive.scored))
        if not 1 <= rank <= len(best):
            raise ConfigError(
                f"--rank {rank}: {folder} has {len(best)} distinct scored structures; "
                + (f"give 1 to {len(best)}" if best else "there is none to export")
            )
        evaluation = best[rank - 1]
        return evaluation, archive.details(evaluation.id), str(journal.meta["name"])


def _refuse_unusable(path: Path) -> None:
    if path.exists():
        raise ConfigError(
            f"{path}: exists already and is not overwritten; "
            "remove it or name another file with -o"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist; make it")
