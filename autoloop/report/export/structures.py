"""Structures as files that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoloop.domain import Bicrystal, Evaluation, Score

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
        `lammps-data` has atom style atomic and metal units. In `cif` and `lammps-data`
        the first cell vector lies along x: an oblique cell whose first vector leans
        towards the beam is turned about y, by them and not by the others.
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
