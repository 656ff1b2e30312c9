"""The words of the program as values: frozen, keyword-only dataclasses.

Arrays in them are read-only copies. Units are Å, eV, ps, K, amu unless a name carries
its own. The boundary frame, in which all structures live: x along the boundary to the
right, y the boundary normal pointing up from the second grain into the first, z towards
the viewer along the beam; not periodic in y.

Random streams live here too, because their rule is part of the contract: they come from
position in the run, never from history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FREE: Final = 0
"""Region of atoms that relax one by one."""
UPPER_BLOCK: Final = 1
"""Region of the far end of the first grain: a rigid block, free to translate."""
LOWER_BLOCK: Final = 2
"""Region of the far end of the second grain: frozen; it carries the frame."""


def _lock(value: object, names: tuple[str, ...]) -> None:
    """Replace the named array fields of a frozen dataclass by read-only copies."""
    for name in names:
        array = np.array(getattr(value, name))
        array.flags.writeable = False
        object.__setattr__(value, name, array)


def stream(seed: int, cycle: int, index: int | None = None) -> np.random.Generator:
    """Return the random stream of a position in the run.

    Parameters
    ----------
    seed : int
        Seed of the run.
    cycle : int
        Cycle, counted from 0.
    index : int, optional
        Position of a candidate in its batch; without it, the policy's own stream.

    Notes
    -----
    `spawn_key` keeps the streams apart; plain ``[seed, cycle]`` and
    ``[seed, cycle, 0]`` would be the same stream, because SeedSequence pads with zeros.
    """
    key = (cycle,) if index is None else (cycle, index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


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
        _lock(
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
        _lock(self, ("numbers", "positions", "cell", "grains", "regions", "origins"))

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
        _lock(self, ("energies",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What a micrograph says: the frame, the boundary and the phase of each lattice.

    Attributes
    ----------
    pixel_size, pixel_size_nominal : float
        As the lattices show it, and as the file or the user gave it [Å].
    angle_deg : float
        Counterclockwise angle of the boundary's x from the image's right [degrees].
    shear : float
        Slant of the scan (see `autoloop.geometry.Frame`).
    origin_px : (float, float)
        A point (x, y) on the boundary line, near the centre of the crop [pixels of the
        whole image].
    upper_origin_px, lower_origin_px : (float, float)
        A point where the origin of each grain's conventional cell projects, the one
        nearest to `origin_px` [pixels of the whole image].
    confidence : float
        0 to 1: how clearly both lattices are seen.
    upper_matrix, lower_matrix : (2, 2) tuple, optional
        Each grain's own map from (x, y) in its crystal, as it lies in the boundary
        frame [Å], to pixels, where the columns near the boundary allow one; else that
        of the frame holds for both.
    """

    pixel_size: float
    pixel_size_nominal: float
    angle_deg: float
    shear: float
    origin_px: tuple[float, float]
    upper_origin_px: tuple[float, float]
    lower_origin_px: tuple[float, float]
    confidence: float
    upper_matrix: tuple[tuple[float, float], tuple[float, float]] | None = None
    lower_matrix: tuple[tuple[float, float], tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """Intensities on a grid of square pixels, measured or simulated.

    Attributes
    ----------
    values : (n_y, n_x) float array
        Intensities; row 0 is the top.
    pixel_size : float
        Edge of a pixel [Å].
    """

    values: NDArray[np.float64]
    pixel_size: float

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"an image has two axes, got shape {self.values.shape}")
        _lock(self, ("values",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Atomic columns as an image shows them, or as a structure projects them.

    Attributes
    ----------
    positions : (n, 2) float array
        x and y. The unit and frame are those of the function that made them: pixels of
        the whole image as read, or Å in the boundary frame.
    intensities : (n,) float array
        Intensity of each column; for a structure the sum of Z**exponent.
    """

    positions: NDArray[np.float64]
    intensities: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.intensities), 2):
            raise ValueError(
                f"positions must have shape ({len(self.intensities)}, 2), "
                f"one row for each intensity, got {self.positions.shape}"
            )
        _lock(self, ("positions", "intensities"))

    def __len__(self) -> int:
        return len(self.intensities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A recipe for one candidate.

    Attributes
    ----------
    parents : tuple of str
        Ids of the evaluations whose relaxed boundaries are edited; empty for
        `assemble`.
    mutation : str
        Name of the mutation.
    parameters : mapping
        JSON values only; they and the parents determine the candidate.
    reason : str
        One sentence for people; takes no part in comparisons.
    policy : str
        Member of a policy of policies that made it, or nothing; takes no part in
        comparisons.
    """

    parents: tuple[str, ...]
    mutation: str
    parameters: Mapping[str, Any]
    reason: str = field(default="", compare=False)
    policy: str = field(default="", compare=False)

    def key(self) -> str:
        """Return the canonical text by which repeats are recognised."""
        return json.dumps(
            [list(self.parents), self.mutation, dict(self.parameters)],
            sort_keys=True,
            allow_nan=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyLook:
    """When to give a candidate up after the first steps of its relaxation.

    Attributes
    ----------
    highest_j_per_m2 : float
        Boundary energy after them above which it is hopeless.
    audited : bool
        Relax it all the same: it shows whether the rule is right.
    """

    highest_j_per_m2: float
    audited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A proposal with its place in the run and all that is needed to build it.

    The unrelaxed bicrystal is built from it where it is evaluated, in a child process,
    so that a fault in building costs that candidate alone.

    Attributes
    ----------
    id : str
        ``CCCC-II``: cycle and index.
    cycle, index : int
        Place in the run; they fix its random stream.
    proposal : Proposal
        The recipe.
    parents : tuple of Bicrystal
        Relaxed bicrystals of ``proposal.parents``, in order.
    look : EarlyLook, optional
        What its early energy is held against.
    """

    id: str
    cycle: int
    index: int
    proposal: Proposal
    parents: tuple[Bicrystal, ...] = ()
    look: EarlyLook | None = None


def candidate_id(cycle: int, index: int) -> str:
    """Return the id of a place in the run.

    Examples
    --------
    >>> candidate_id(12, 3)
    '0012-03'
    """
    return f"{cycle:04d}-{index:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Raw measurements of one candidate, in their own units; None if not measured.

    Attributes
    ----------
    ssim : float
        Structural similarity over the boundary band, window of one column spacing.
    ssim_7, ssim_35 : float
        The same over the whole region compared, with windows of 7 and 35 pixels.
    emd_angstrom_per_column : float
        Capped earth mover's distance between the columns [Å per column].
    emd_intensity : float
        The same with log-intensity in the distance.
    mse : float
        Mean squared difference of intensities over the region, after the imaging fit,
        in units of the measured image.
    shift_px : (float, float)
        Registration: x and y shift from the expected position [pixels].
    confidence : float
        Of the registration, 0 to 1.
    energy_j_per_m2 : float
        Boundary energy, for a compound at `mu_fraction`.
    energy_limits_j_per_m2 : (float, float)
        Boundary energy at the two ends of the range of chemical potential.
    gamma_excess_per_nm2 : float
        Excess of the second species over the first, per boundary area [1/nm²].
    early_energy_j_per_m2 : float
        Boundary energy after the first steps of the relaxation.
    """

    ssim: float | None = None
    ssim_7: float | None = None
    ssim_35: float | None = None
    emd_angstrom_per_column: float | None = None
    emd_intensity: float | None = None
    mse: float | None = None
    shift_px: tuple[float, float] | None = None
    confidence: float | None = None
    energy_j_per_m2: float | None = None
    energy_limits_j_per_m2: tuple[float, float] | None = None
    gamma_excess_per_nm2: float | None = None
    early_energy_j_per_m2: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What became of one candidate.

    Exactly one of these holds: `score` and `cost` are set; `failure` is set;
    `duplicate_of` is set.

    Attributes
    ----------
    id : str
        Candidate id.
    cycle, index : int
        Place in the run.
    proposal : Proposal
        The recipe.
    score : Score, optional
        Raw measurements.
    cost : float, optional
        Lower is better, always.
    failure : str, optional
        Why there is no score, beginning with the name of the failure.
    duplicate_of : str, optional
        Id of the earlier evaluation with the same recipe.
    fingerprint : str
        Equal for equal relaxed structures, to rounding; empty without one.
    work : int
        Force evaluations times atoms that it took.
    flags : tuple of str
        What is odd about the relaxed structure but no failure (see `Relaxation`).
    """

    id: str
    cycle: int
    index: int
    proposal: Proposal
    score: Score | None = None
    cost: float | None = None
    failure: str | None = None
    duplicate_of: str | None = None
    fingerprint: str = ""
    work: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        outcomes = (self.cost, self.failure, self.duplicate_of)
        if sum(outcome is not None for outcome in outcomes) != 1:
            raise ValueError(
                f"evaluation {self.id}: exactly one of cost, failure and duplicate_of "
                f"must be set, got {outcomes}"
            )
        if self.cost is not None and not np.isfinite(self.cost):
            raise ValueError(f"evaluation {self.id}: cost {self.cost} is not finite")


def flag_names(flags: Iterable[str]) -> tuple[str, ...]:
    """Return the names of flags, each once, without what they say in detail.

    Examples
    --------
    >>> flag_names(["wrong_species: 2 Te-Te contacts, the shortest 2.91 Å"])
    ('wrong_species',)
    """
    return tuple(dict.fromkeys(flag.partition(":")[0] for flag in flags))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnResiduals:
    """Measured and simulated columns of one candidate, matched one to one.

    Attributes
    ----------
    positions : (n, 2) float array
        x and y in the boundary frame of the micrograph [Å]; the measured position where
        there is one.
    measured, simulated : (n,) float array
        Intensities; NaN where the column has no partner on that side.
    """

    positions: NDArray[np.float64]
    measured: NDArray[np.float64]
    simulated: NDArray[np.float64]

    def __post_init__(self) -> None:
        _lock(self, ("positions", "measured", "simulated"))

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Columns seen on both sides."""
        return np.isfinite(self.measured) & np.isfinite(self.simulated)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Details:
    """The bulky part of an evaluation, kept on disk and loaded on demand.

    Attributes
    ----------
    bicrystal : Bicrystal
        Relaxed atoms.
    excess_energies : (n,) float array
        Energy of each atom above bulk [eV]; NaN where the model has none.
    columns : ColumnResiduals, optional
        Only with a micrograph.
    """

    bicrystal: Bicrystal
    excess_energies: NDArray[np.float64]
    columns: ColumnResiduals | None = None

    def __post_init__(self) -> None:
        _lock(self, ("excess_energies",))
