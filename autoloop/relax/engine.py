"""Relaxation of a bicrystal in LAMMPS.

The slab is periodic in the boundary plane and ends in vacuum above and below. The far
end of the second grain is frozen and carries the frame; the far end of the first is
rigid and free to translate, so that expansion and translation find their own values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Relaxation,
)
from autoloop.errors import SimulationError
from autoloop.geometry import reduced_shear, wrapped
from autoloop.relax.guards import (
    natural_distances,
    push_apart,
    refuse_impossible,
    refuse_not_finite,
)
from autoloop.relax.potentials import Potential
from autoloop.relax.session import Session, session

Array = NDArray[np.float64]

_VACUUM = 12.0
"""Room for atoms to move along y on either side before they count as lost [Å]."""


MIN_ANNEAL_DEPTH: Final = 10.0
"""Depth of a cell from which on atoms of a column move one by one in dynamics [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxSettings:
    """What a relaxation may take and what it accepts.

    Attributes
    ----------
    first_iterations : int
        Cap on iterations of the first, coarse minimisation, after which neighbours and
        search directions are set up afresh.
    max_iterations : int
        Cap on iterations of the second.
    force_tolerance : float
        Two-norm of the force, per square root of the number of atoms, at which a
        structure is relaxed [eV/Å].
    max_residual_force : float
        At a cap, a force component above this makes the relaxation fail [eV/Å].
    max_displacement : float
        Free atoms that moved further than this, apart from the grain's translation,
        make the relaxation fail, unless they were annealed [Å]. Of 1500 random
        boundaries none moved further than 2.5 Å, of rattled ones none past 4.3 Å.
    max_translation : float
        The same for the first grain as a whole, along y [Å].
    """

    first_iterations: int = 100
    max_iterations: int = 2000
    force_tolerance: float = 3e-4
    max_residual_force: float = 0.05
    max_displacement: float = 5.0
    max_translation: float = 5.0


class LammpsRelaxer:
    """Relaxes bicrystals with one potential.

    Parameters
    ----------
    potential : Potential
        Has every species that will occur.
    settings : RelaxSettings
        Tolerances and limits.
    """

    def __init__(
        self, potential: Potential, settings: RelaxSettings | None = None
    ) -> None:
        self.potential = potential
        self.settings = settings or RelaxSettings()

    def relax(
        self,
        bicrystal: Bicrystal,
        rng: np.random.Generator,
        anneal: Anneal | None = None,
        look: Callable[[Relaxation], None] | None = None,
    ) -> Relaxation:
        """Bring a bicrystal to its nearest minimum of energy.

        Parameters
        ----------
        bicrystal : Bicrystal
            Any vacuum in its cell is ignored.
        rng : Generator
            Drawn from only to anneal: minimisation has no chance in it.
        anneal : Anneal, optional
            Molecular dynamics before the minimisation.
        look : callable, optional
            Is shown the state after the first, loose minimisation, positions as at the
            start; it may raise.

        Returns
        -------
        Relaxation
            Atoms in the same order. Positions are continuous: no atom is wrapped.

        Raises
        ------
        SimulationError
            Its message begins with the name of the failure: ``overlap``,
            ``lost_atoms``, ``not_finite``, ``unconverged``, ``displaced``,
            ``separated``, ``evaporated``, ``collapsed``, ``into_grain`` or ``lammps``.
        """
        refuse_not_finite(bicrystal.positions)
        natural = natural_distances(bicrystal)
        started = push_apart(bicrystal, natural)
        lammps = session()
        start = load(lammps, self.potential, started)
        constrain(lammps, started)
        n_evaluations = 0
        flags: tuple[str, ...] = ()
        if anneal is not None:
            n_evaluations = self._anneal(lammps, started, anneal, rng)
            flags = shallow(started)
        n_evaluations += self._minimise(lammps, started, look)
        energies = lammps.energies()
        moved = (lammps.positions() - start)[:, np.argsort(box_axes(started.cell))]
        if not (np.isfinite(energies).all() and np.isfinite(moved).all()):
            raise SimulationError("not_finite: energies or positions after relaxation")
        refuse_implausible(started, moved, self.settings, annealed=anneal is not None)
        relaxed = replace(started, positions=started.positions + moved)
        return Relaxation(
            bicrystal=relaxed,
            energies=energies,
            n_force_evaluations=n_evaluations,
            flags=flags + refuse_impossible(relaxed, energies, natural),
        )

    def _anneal(
        self,
        lammps: Session,
        bicrystal: Bicrystal,
        anneal: Anneal,
        rng: np.random.Generator,
    ) -> int:
        """Run the dynamics; the number of force evaluations."""
        n_free = int(np.sum(bicrystal.regions == FREE))
        tolerance = 100 * self.settings.force_tolerance * np.sqrt(n_free)
        first = lammps.minimise(tolerance, self.settings.first_iterations)
        if not np.isfinite(lammps.thermo("pe")):
            raise SimulationError("not_finite: energy before annealing")
        ids = np.flatnonzero(bicrystal.regions == FREE) + 1
        seeds = rng.integers(1, 900_000_000, size=3).tolist()
        lammps.anneal(_ranges(ids), anneal.temperature_k, anneal.steps, seeds)
        return first.n_force_evaluations + anneal.steps

    def _minimise(
        self,
        lammps: Session,
        started: Bicrystal,
        look: Callable[[Relaxation], None] | None,
    ) -> int:
        settings = self.settings
        tolerance = settings.force_tolerance * np.sqrt(len(started.numbers))
        first = lammps.minimise(100 * tolerance, settings.first_iterations)
        if not np.isfinite(lammps.thermo("pe")):
            raise SimulationError(
                f"not_finite: energy after {first.n_iterations} iterations"
            )
        if look is not None:
            look(
                Relaxation(
                    bicrystal=started,
                    energies=lammps.energies(),
                    n_force_evaluations=first.n_force_evaluations,
                )
            )
        last = lammps.minimise(tolerance, settings.max_iterations)
        if not last.max_force <= settings.max_residual_force:
            raise SimulationError(
                f"unconverged: force {last.max_force:.3g} eV/Å remains after "
                f"{last.n_iterations} iterations ({last.criterion}), at most "
                f"{settings.max_residual_force:g} eV/Å is allowed"
            )
        return first.n_force_evaluations + last.n_force_evaluations + 1


def refuse_implausible(
    bicrystal: Bicrystal,
    moved: Array,
    settings: RelaxSettings,
    *,
    annealed: bool = False,
) -> None:
    """Raise when grains drifted apart, or atoms went further than a relaxation takes.

    Parameters
    ----------
    bicrystal : Bicrystal
        Before relaxation.
    moved : (n, 3) float array
        Displacements [Å].
    settings : RelaxSettings
        Limits.
    annealed : bool
        Atoms may then go anywhere.
    """
    upper = bicrystal.regions == UPPER_BLOCK
    shift = moved[upper].mean(axis=0) if upper.any() else np.zeros(3)
    if abs(shift[1]) > settings.max_translation:
        raise SimulationError(
            f"separated: the grains moved {shift[1]:.1f} Å apart along y, at most "
            f"{settings.max_translation:g} Å is plausible"
        )
    own = np.minimum(
        np.linalg.norm(moved, axis=1), np.linalg.norm(moved - shift, axis=1)
    )
    furthest = int(np.argmax(np.where(bicrystal.regions == FREE, own, 0.0)))
    if not annealed and own[furthest] > settings.max_displacement:
        raise SimulationError(
            f"displaced: atom {furthest} moved {own[furthest]:.1f} Å, at most "
            f"{settings.max_displacement:g} Å is plausible"
        )


def shallow(bicrystal: Bicrystal) -> tuple[str, ...]:
    """Return a flag where dynamics can only move whole columns."""
    depth = float(bicrystal.cell[2, 2])
    if depth >= MIN_ANNEAL_DEPTH:
        return ()
    return (
        f"whole_columns: annealed in a cell {depth:.1f} Å deep, where atoms meet "
        f"their own images; at least {MIN_ANNEAL_DEPTH:g} Å lets them move one by one",
    )


def single_point(potential: Potential, bicrystal: Bicrystal) -> Array:
    """Return the (n,) energies of the atoms where they stand [eV]."""
    lammps = session()
    load(lammps, potential, bicrystal)
    return lammps.energies()


def load(lammps: Session, potential: Potential, bicrystal: Bicrystal) -> Array:
    """Put a bicrystal into a wiped LAMMPS instance.

    Returns
    -------
    (n, 3) float array
        Positions as LAMMPS has them at the start, in its own axes (`box_axes`) [Å].

    Raises
    ------
    ValueError
        If the cell is not in the boundary frame, or a species is not of the potential.
    """
    cell = bicrystal.cell
    if max(abs(cell[0, 1]), abs(cell[2, 0]), abs(cell[2, 1])) > 1e-6:
        raise ValueError(f"y must be normal to a, and z along c, got cell {cell}")
    unknown = set(bicrystal.numbers.tolist()) - set(potential.species)
    if unknown:
        raise ValueError(f"{potential.name} was set up without species {unknown}")
    height = bicrystal.positions[:, 1]
    low, high = height.min() - _VACUUM, height.max() + _VACUUM
    axes = box_axes(cell)
    box = np.diag([cell[0, 0], high - low, cell[2, 2]])
    # LAMMPS prefers boxes tilted by no more than half of their edge
    box[0, 2] = reduced_shear(cell[0, 2], cell[2, 2]) if is_sheared(cell) else 0.0
    start = wrapped(bicrystal.positions, box)[:, axes]
    origin = np.array([0.0, low, 0.0])
    lammps.start(
        potential,
        np.vstack((box[axes], origin))[:, axes],
        periodic_y=axes[1] != 1,
        periodic_z=axes[2] != 1,
    )
    types = np.searchsorted(np.sort(potential.species), bicrystal.numbers)
    lammps.add_atoms(np.argsort(potential.species)[types] + 1, start)
    return lammps.positions()  # LAMMPS wraps atoms on an edge of the box once more


def is_sheared(cell: Array) -> bool:
    """Whether a step along the boundary goes with one along the beam."""
    return bool(abs(cell[0, 2]) > 1e-9)


def box_axes(cell: Array) -> list[int]:
    """Return which axes of the boundary frame are x, y and z of the box in LAMMPS.

    A box in LAMMPS has its first edge along x and its second in the plane of x and y.
    Only a sheared cell needs other axes for that: z, x and y in this order, still
    right-handed.
    """
    return [2, 0, 1] if is_sheared(cell) else [0, 1, 2]


def constrain(lammps: Session, bicrystal: Bicrystal) -> None:
    """Freeze the lower block and let the upper one move only as a whole."""
    # `fix rigid` is ignored by minimisers; equal forces on a block move it as a whole.
    for region, name, fix in (
        (LOWER_BLOCK, "lower", "setforce 0.0 0.0 0.0"),
        (UPPER_BLOCK, "upper", "aveforce 0.0 0.0 0.0"),
    ):
        ids = np.flatnonzero(bicrystal.regions == region) + 1
        if len(ids):
            lammps.command(f"group {name} id {_ranges(ids)}")
            lammps.command(f"fix {name} {name} {fix}")


def _ranges(ids: NDArray[np.int64]) -> str:
    """Write sorted ids the short way.

    Examples
    --------
    >>> _ranges(np.array([1, 2, 3, 7, 9, 10]))
    '1:3 7:7 9:10'
    """
    breaks = np.flatnonzero(np.diff(ids) != 1)
    firsts = ids[np.concatenate(([0], breaks + 1))]
    lasts = ids[np.concatenate((breaks, [len(ids) - 1]))]
    return " ".join(f"{a}:{b}" for a, b in zip(firsts, lasts, strict=True))
