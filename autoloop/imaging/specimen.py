"""What the beam goes through: atoms of one cell, and how they repeat.

Like every structure of the program a specimen is seen along z, x to the right and y up.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Columns
from autoloop.errors import DataError
from autoloop.imaging.probe import Microscope, scattering_power

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

_STRAIGHT: Final = 1e-3
"""How far the cell's third vector may lean from the beam, over its length."""
_MAX_COPIES: Final = 100_000
"""More copies of a cell than any image shows: the cell is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Specimen:
    """Atoms seen along z.

    Attributes
    ----------
    numbers : (n,) int array
        Atomic numbers.
    positions : (n, 3) float array
        [Å].
    cell : (3, 3) float array
        Cell vectors as rows, the third along z [Å].
    periodic : (bool, bool)
        Whether the atoms repeat along the first and the second vector; along the third
        as often as the thickness asks for.
    """

    numbers: NDArray[np.int64]
    positions: Array
    cell: Array
    periodic: tuple[bool, bool]

    @property
    def depth(self) -> float:
        """Length of the cell along the beam [Å]."""
        return float(self.cell[2, 2])

    @property
    def orthogonal(self) -> bool:
        """Whether the cell vectors lie along x, y and z."""
        off = self.cell - np.diag(np.diag(self.cell))
        return bool(np.abs(off).max() < _STRAIGHT)

    def n_layers(self, thickness: float) -> int:
        """Return how many cells are nearest to a thickness [Å], at least 1."""
        return max(1, round(thickness / self.depth))

    def bounds(self) -> tuple[Array, Array]:
        """Return the lowest and the highest (x, y) of one cell [Å].

        Along y of the atoms, if it does not repeat there; along x likewise.
        """
        corners = [
            i * self.cell[0, :2] + j * self.cell[1, :2]
            for i, j in itertools.product((0, 1), repeat=2)
        ]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        for axis in (0, 1):
            if not self.periodic[axis]:
                along = self.positions[:, axis]
                low[axis], high[axis] = along.min(), along.max()
        return low, high


def from_bicrystal(bicrystal: Bicrystal) -> Specimen:
    """Return a bicrystal as a specimen: periodic along the boundary."""
    return Specimen(
        numbers=bicrystal.numbers,
        positions=bicrystal.positions,
        cell=bicrystal.cell,
        periodic=(True, False),
    )


def read_specimen(path: Path) -> Specimen:
    """Read a structure file of any kind that ASE knows.

    Raises
    ------
    DataError
        If it cannot be read, holds no atoms, or its cell cannot be seen along z.
    """
    import ase.io

    if not path.is_file():
        raise DataError(f"{path}: no such file; give a structure file that ASE reads")
    # ASE does not tell this kind by its name
    lammps = {"format": "lammps-data", "units": "metal", "atom_style": "atomic"}
    options = lammps if path.suffix == ".lmp" else {}
    try:
        atoms = ase.io.read(path, **options)
    except Exception as error:  # readers of ASE raise whatever their parsers do
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: not a structure file that ASE reads ({what}); convert it to "
            "extxyz or CIF"
        ) from error
    return from_atoms(atoms[-1] if isinstance(atoms, list) else atoms, str(path))


def from_atoms(atoms: Atoms, name: str) -> Specimen:
    """Return atoms of ASE as a specimen.

    Parameters
    ----------
    atoms : Atoms
        Repeated along the first two cell vectors where they are periodic.
    name : str
        Stands for them in messages.

    Raises
    ------
    DataError
        If there are no atoms, or their cell cannot be seen along z.
    """
    if len(atoms) == 0:
        raise DataError(f"{name}: holds no atoms; give another structure")
    cell, periodic = np.array(atoms.cell, float), tuple(map(bool, atoms.pbc))
    extent = np.ptp(atoms.positions, axis=0)
    for axis in range(3):
        if np.linalg.norm(cell[axis]) < _STRAIGHT:
            # no vector in the file: as long as the atoms need, and no repetition
            cell[axis] = np.eye(3)[axis] * max(float(extent[axis]), 1.0)
            periodic = (*periodic[:axis], False, *periodic[axis + 1 :])
    third = cell[2] / np.linalg.norm(cell[2])
    if np.hypot(*third[:2]) > _STRAIGHT or np.abs(cell[:2, 2]).max() > _STRAIGHT:
        raise DataError(
            f"{name}: the cell's third vector is {np.round(cell[2], 3).tolist()} Å; "
            "the beam runs along z: turn the structure so that this vector lies along "
            "z and the others across it"
        )
    if third[2] < 0:
        cell[2] *= -1
    if abs(np.linalg.det(cell)) < _STRAIGHT:
        raise DataError(f"{name}: the cell has no volume; mend its vectors")
    return Specimen(
        numbers=np.asarray(atoms.numbers, np.int64),
        positions=np.asarray(atoms.positions, float),
        cell=cell,
        periodic=(periodic[0], periodic[1]),
    )


def specimen_columns(
    specimen: Specimen,
    microscope: Microscope,
    thickness: float,
    low: Array,
    high: Array,
) -> Columns:
    """Return all atoms that an area shows, as columns of scattering power.

    Parameters
    ----------
    specimen : Specimen
        Repeated in the plane where it is periodic, and to whole cells nearest to
        the thickness.
    microscope : Microscope
        Beam energy and detector.
    thickness : float
        [Å].
    low, high : (2,) float array
        Lowest and highest (x, y) of the area [Å].

    Returns
    -------
    Columns
        Positions (x, y) [Å]; intensities are cross-sections [Å²]. Atoms of one column
        stay apart: their images add up.
    """
    power = scattering_power(microscope, specimen.numbers)
    power = power * specimen.n_layers(thickness)
    xy = specimen.positions[:, :2]
    steps = _copies(specimen, low - xy.max(axis=0), high - xy.min(axis=0))
    positions = (steps[:, None] + xy).reshape(-1, 2)
    intensities = np.tile(power, len(steps))
    inside = np.all((positions >= low) & (positions <= high), axis=1)
    return Columns(positions=positions[inside], intensities=intensities[inside])


def _copies(specimen: Specimen, low: Array, high: Array) -> Array:
    """Return the lattice translations (m, 2) that lie between two corners, and more."""
    plane = specimen.cell[:2, :2]
    corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])])
    fractions = corners @ np.linalg.inv(plane)
    ranges = [
        np.arange(np.floor(along.min()), np.ceil(along.max()) + 1)
        if repeats
        else np.zeros(1)
        for along, repeats in zip(fractions.T, specimen.periodic, strict=True)
    ]
    if len(ranges[0]) * len(ranges[1]) > _MAX_COPIES:
        raise DataError(
            f"the image would show {len(ranges[0]) * len(ranges[1])} copies of the "
            "cell; make the image smaller, or mend the cell"
        )
    steps = np.array(list(itertools.product(*ranges)))
    return np.asarray(steps @ plane)
