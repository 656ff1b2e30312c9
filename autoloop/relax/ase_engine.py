"""Any calculator of ASE as relaxer, with the same blocks and guards as LAMMPS.

Named in a run file by its dotted name and arguments, from modules that the run file
allows: naming a calculator runs its code.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import (
    LOWER_BLOCK,
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Relaxation,
)
from autoloop.errors import ConfigError, SimulationError
from autoloop.relax.engine import RelaxSettings, refuse_implausible
from autoloop.relax.guards import (
    natural_distances,
    push_apart,
    refuse_impossible,
    refuse_not_finite,
)

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

FORCE_TOLERANCE: Final = 5e-3
"""Largest force on an atom at which a structure is relaxed [eV/Å].

Looser than in LAMMPS, since calculators of this kind may cost a second a call; with
energies parabolic in forces it leaves some 1e-4 J/m².
"""
_MAX_STEPS: Final = 1500
_VACUUM: Final = 12.0  # [Å]: above and below the slab
_NAME: Final = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AseModel:
    """A calculator by name: JSON values only.

    Attributes
    ----------
    calculator : str
        Dotted name of its class: ``ase.calculators.emt.EMT``.
    arguments : mapping
        Keyword arguments.
    modules : tuple of str
        Modules that may be imported for it, with all below them.
    reach : float, optional
        Distance beyond which atoms do not change each other's energies [Å]; measured
        on pairs if left out, which message-passing networks exceed.
    """

    calculator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    reach: float | None = None

    @property
    def name(self) -> str:
        """Last part of the dotted name."""
        return self.calculator.rpartition(".")[2]


def make_calculator(model: AseModel) -> Any:
    """Import and build a calculator.

    Raises
    ------
    ConfigError
        If its module is not allowed, is absent, or holds no such calculator.
    """
    from ase.calculators.abc import GetPropertiesMixin

    name = model.calculator
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"calculator {name!r}: write the dotted name of a class, such as "
            "ase.calculators.emt.EMT"
        )
    module_name, _, class_name = name.rpartition(".")
    if not _within(module_name, model.modules):
        raise ConfigError(
            f"calculator {name!r}: its module is not among those allowed, "
            f"{list(model.modules)}; add it to `modules` if you trust its code"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ImportError as error:
        raise ConfigError(
            f"calculator {name!r} cannot be imported: {error}; is it installed?"
        ) from error
    if not (isinstance(found, type) and issubclass(found, GetPropertiesMixin)):
        raise ConfigError(f"calculator {name!r} is no class of an ASE calculator")
    if not _within(found.__module__, model.modules):
        raise ConfigError(
            f"calculator {name!r} is defined in {found.__module__}, a module that is "
            "not allowed"
        )
    try:
        return found(**dict(model.arguments))
    except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ConfigError(
            f"calculator {name!r} does not take the arguments "
            f"{dict(model.arguments)}: {error}"
        ) from error


def _within(module: str, allowed: Sequence[str]) -> bool:
    return any(module == a or module.startswith(f"{a}.") for a in allowed if a)


class RigidTranslation:
    """Constraint of ASE: atoms move only together, by the mean of their forces.

    Parameters
    ----------
    indices : (n,) int array
        Atoms of the block.
    """

    def __init__(self, indices: NDArray[np.int64]) -> None:
        self.index = np.asarray(indices)

    def adjust_positions(self, atoms: Atoms, new: Array) -> None:
        """Replace each atom's step by the mean step, in place."""
        old = atoms.positions[self.index]
        new[self.index] = old + (new[self.index] - old).mean(axis=0)

    def adjust_forces(self, atoms: Atoms, forces: Array) -> None:
        """Replace each atom's force by the mean force, in place."""
        del atoms
        forces[self.index] = forces[self.index].mean(axis=0)

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Return the number of coordinates that are no longer free."""
        del atoms
        return 3 * (len(self.index) - 1)


class AseRelaxer:
    """Relaxes bicrystals with a calculator of ASE.

    Parameters
    ----------
    model : AseModel
        Which calculator.
    settings : RelaxSettings
        Limits on displacements and remaining forces.
    """

    def __init__(self, model: AseModel, settings: RelaxSettings | None = None) -> None:
        self.model = model
        self.settings = settings or RelaxSettings()
        self.calculator = make_calculator(model)

    @property
    def has_atom_energies(self) -> bool:
        """Whether the calculator shares its energy out among the atoms."""
        return "energies" in getattr(self.calculator, "implemented_properties", ())

    def relax(
        self,
        bicrystal: Bicrystal,
        rng: np.random.Generator,
        anneal: Anneal | None = None,
        look: Callable[[Relaxation], None] | None = None,
    ) -> Relaxation:
        """Bring a bicrystal to its nearest minimum of energy.

        As `autoloop.relax.engine.LammpsRelaxer.relax`; energies of atoms are NaN where
        the calculator has none, and `total_energy` is then what counts. There are no
        first steps to `look` at.

        Raises
        ------
        SimulationError
            As there, and ``calculator`` for what the calculator itself raises.
        """
        del rng, look  # minimisation draws nothing
        if anneal is not None:
            raise SimulationError(
                "anneal: dynamics needs a LAMMPS potential; this run relaxes with "
                f"{self.model.name}"
            )
        refuse_not_finite(bicrystal.positions)
        natural = natural_distances(bicrystal)
        started = push_apart(bicrystal, natural)
        atoms = to_atoms(started)
        atoms.calc = self.calculator
        atoms.set_constraint(_constraints(started))
        before = atoms.positions.copy()
        n_evaluations = self._minimise(atoms)
        total, energies = self._energies(atoms)
        moved = atoms.positions - before
        refuse_implausible(started, moved, self.settings)
        relaxed = replace(started, positions=started.positions + moved)
        return Relaxation(
            bicrystal=relaxed,
            energies=energies,
            n_force_evaluations=n_evaluations,
            flags=refuse_impossible(relaxed, energies, natural),
            total_energy=total,
        )

    def total_energy(self, bicrystal: Bicrystal) -> float:
        """Return the energy of the atoms where they stand [eV]."""
        atoms = to_atoms(bicrystal)
        atoms.calc = self.calculator
        return self._energies(atoms)[0]

    def atom_energies(self, bicrystal: Bicrystal) -> Array:
        """Return the (n,) energies of the atoms where they stand [eV]."""
        atoms = to_atoms(bicrystal)
        atoms.calc = self.calculator
        return self._energies(atoms)[1]

    def _minimise(self, atoms: Atoms) -> int:
        from ase.optimize import LBFGS

        try:
            with LBFGS(atoms, logfile=None, maxstep=0.1) as optimiser:
                optimiser.run(fmax=FORCE_TOLERANCE, steps=_MAX_STEPS)
                n_steps = int(optimiser.nsteps)
            remaining = float(np.abs(atoms.get_forces()).max())
        except (ValueError, RuntimeError, ArithmeticError) as error:
            raise SimulationError(
                f"calculator: {self.model.name} failed: {' '.join(str(error).split())}"
            ) from error
        if not remaining <= self.settings.max_residual_force:
            raise SimulationError(
                f"unconverged: force {remaining:.3g} eV/Å remains after {n_steps} "
                f"steps, at most {self.settings.max_residual_force:g} eV/Å is allowed"
            )
        return n_steps + 1

    def _energies(self, atoms: Atoms) -> tuple[float, Array]:
        total = float(atoms.get_potential_energy())
        energies = np.full(len(atoms), np.nan)
        if self.has_atom_energies:
            energies = np.array(atoms.get_potential_energies(), np.float64)
        finite = np.isfinite(energies).all() or not self.has_atom_energies
        if not (np.isfinite(total) and finite and np.isfinite(atoms.positions).all()):
            raise SimulationError("not_finite: energies or positions after relaxation")
        return total, energies


def to_atoms(bicrystal: Bicrystal) -> Atoms:
    """Return the slab as ASE's atoms, periodic in x and z, vacuum along y."""
    from ase import Atoms

    height = bicrystal.positions[:, 1]
    cell = bicrystal.cell.copy()
    cell[1] = [0.0, np.ptp(height) + 2 * _VACUUM, 0.0]
    positions = bicrystal.positions - [0.0, height.min() - _VACUUM, 0.0]
    pbc = (True, False, True)
    return Atoms(numbers=bicrystal.numbers, positions=positions, cell=cell, pbc=pbc)


def _constraints(bicrystal: Bicrystal) -> list[Any]:
    from ase.constraints import FixAtoms

    lower = np.flatnonzero(bicrystal.regions == LOWER_BLOCK)
    upper = np.flatnonzero(bicrystal.regions == UPPER_BLOCK)
    found: list[Any] = [FixAtoms(indices=lower)] if len(lower) else []
    return [*found, RigidTranslation(upper)] if len(upper) else found
