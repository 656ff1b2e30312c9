"""Crystals, grains, bicrystals, and what a relaxation makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain.arrays import lock

FREE: Final = 0
"""Region of atoms that relax one by one."""
UPPER_BLOCK: Final = 1
"""Region of the far end of the first grain: a rigid block, free to translate."""
LOWER_BLOCK: Final = 2
"""Region of the far end of the second grain: frozen; it carries the frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crystal:
    """A perfect crystal: conventional cell and atoms.

    Attributes
    ----------
    name : str
        Name as the user gave it.
    cell : (3, 3) float array
        Cell vectors of the conventional cell as rows [Å].
    numbers : (n,) int array
        Atomic numbers.
    scaled_positions : (n, 3) float array
        Fractional coordinates, in [0, 1).
    translations : (m, 3) float array
        Lattice translations inside the conventional cell, fractional; the first is 0
        (four rows for a face-centred lattice).
    rotations : (k, 3, 3) float array
        Proper rotations of the point group, Cartesian.
    """

    name: str
    cell: NDArray[np.float64]
    numbers: NDArray[np.int64]
    scaled_positions: NDArray[np.float64]
    translations: NDArray[np.float64]
    rotations: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.scaled_positions.shape != (len(self.numbers), 3):
            raise ValueError(
                f"scaled_positions must have shape ({len(self.numbers)}, 3), "
                f"got {self.scaled_positions.shape}"
            )
        lock(
            self,
            ("cell", "numbers", "scaled_positions", "translations", "rotations"),
        )

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that occur, in order of first appearance."""
        return tuple(dict.fromkeys(int(z) for z in self.numbers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grain:
    """A crystal and how it lies in the boundary frame.

    Attributes
    ----------
    crystal : Crystal
        The perfect crystal.
    zone_axis : (3,) int tuple
        Crystal direction along z, towards the viewer.
    up : (3,) int tuple
        Crystal direction along y before the grain is turned.
    rotation_deg : float
        Counterclockwise turn about z, as seen by the viewer [degrees].
    """

    crystal: Crystal
    zone_axis: tuple[int, int, int]
    up: tuple[int, int, int]
    rotation_deg: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrainBoundary:
    """Crystallography of a boundary: the grain above it and the grain below it."""

    upper: Grain
    lower: Grain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bicrystal:
    """Atoms realising one grain boundary, in the boundary frame.

    Attributes
    ----------
    numbers : (n,) int array
        Atomic numbers.
    positions : (n, 3) float array
        Cartesian positions [Å].
    cell : (3, 3) float array
        Cell vectors as rows [Å]; periodic in x and z, vacuum along y.
    boundary_height : float
        Height of the boundary plane along y [Å].
    grains : (n,) int array
        Grain that the atom was built from: 1 above the boundary, 2 below it.
    regions : (n,) int array
        `FREE`, `UPPER_BLOCK` or `LOWER_BLOCK`.
    origins : (2, 3) float array
        Where the origin of the conventional cell of each grain lies, upper first [Å];
        what ties the atoms to the lattices that a micrograph shows.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    boundary_height: float
    grains: NDArray[np.int64]
    regions: NDArray[np.int64]
    origins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 3)))

    def __post_init__(self) -> None:
        n_atoms = len(self.numbers)
        if self.positions.shape != (n_atoms, 3):
            raise ValueError(
                f"positions must have shape ({n_atoms}, 3), "
                f"one row for each atomic number, got {self.positions.shape}"
            )
        for name in ("grains", "regions"):
            if getattr(self, name).shape != (n_atoms,):
                raise ValueError(f"{name} must have shape ({n_atoms},)")
        lock(self, ("numbers", "positions", "cell", "grains", "regions", "origins"))

    @property
    def area(self) -> float:
        """Area of the boundary in the cell [Å²]."""
        return float(np.linalg.norm(np.cross(self.cell[0], self.cell[2])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Anneal:
    """Molecular dynamics before a relaxation.

    Attributes
    ----------
    temperature_k : float
        Of the atoms that move one by one [K].
    steps : int
        Steps of 2 fs, the last fifth of them cooling.
    """

    temperature_k: float
    steps: int

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature_k <= 1e4 or self.steps < 1:
            raise ValueError(
                "annealing needs a temperature up to 10000 K and at least one step, "
                f"got {self.temperature_k} K and {self.steps} steps"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relaxation:
    """A relaxed bicrystal and its energies.

    Attributes
    ----------
    bicrystal : Bicrystal
        Relaxed atoms, in the order of the unrelaxed ones.
    energies : (n,) float array
        Potential energy of each atom [eV].
    n_force_evaluations : int
        What it took.
    flags : tuple of str
        What is odd about the structure but no failure, each beginning with its name:
        contacts of wrong species, whole columns annealed.
    total_energy : float, optional
        Of all atoms [eV], where the model has no energies of atoms; those are then NaN.
    """

    bicrystal: Bicrystal
    energies: NDArray[np.float64]
    n_force_evaluations: int
    flags: tuple[str, ...] = ()
    total_energy: float | None = None

    def __post_init__(self) -> None:
        lock(self, ("energies",))
