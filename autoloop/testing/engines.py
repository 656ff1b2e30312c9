"""A toy evaluation, deterministic and cheap, whose faults are chosen beforehand.

It stands where `autoloop.evaluation` stands: an executor is given the name of this
module. With it one can watch the controller, an executor or a policy at work without a
potential or an image.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import (
    Bicrystal,
    Candidate,
    Details,
    Evaluation,
    Proposal,
    Score,
    stream,
)
from autoloop.errors import InstallationError, SimulationError
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, unpack
from autoloop.structure.space import Dimension, SearchSpace, recipes

FAULTS = (
    "segfault",
    "hang",
    "locked_hang",
    "spin",
    "exit",
    "killed",
    "memory",
    "brief_memory",
    "family_memory",
    "refused_memory",
    "family_segfault",
    "garbage",
    "simulation_error",
    "bug",
    "installation_error",
)
"""What may become of a candidate. ``locked_hang`` holds Python's global lock, ``spin``
uses CPU for ever; ``memory`` grows without end, ``brief_memory`` to 0.5 GB for a
moment, ``family_memory`` in a process it starts; ``family_segfault`` leaves one."""

_MOST_MEMORY = 6 * 10**9
"""Where a toy that grows stops, lest a missing limit fell the machine [bytes]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyContext:
    """What a toy evaluation is told.

    Attributes
    ----------
    seed : int
        Seed of the run.
    work_s : float
        Time that one evaluation takes at least [s].
    spread : float
        What it takes at most, in units of the least; drawn from its random stream.
    n_atoms : int
        Atoms of each candidate.
    faults : mapping
        From a candidate id, or ``*`` for all, to one of `FAULTS`.
    fails_to_load : bool
        Whether `load_context` raises.
    """

    seed: int = 0
    work_s: float = 0.0
    spread: float = 1.5
    n_atoms: int = 3
    faults: Mapping[str, str] = field(default_factory=dict)
    fails_to_load: bool = False


def load_context(record: Record) -> ToyContext:
    """Return the context from its record."""
    context = unpack(record, ToyContext)
    if context.fails_to_load:
        raise InstallationError("the toy library is missing; install toys")
    return context


def evaluate(context: ToyContext, candidate: Candidate) -> Outcome:
    """Return a cost that is least in the middle of the space, with a little noise.

    A child of parents starts from the mean of their positions, so that its cost shows
    whether it was given the right ones.
    """
    began = time.monotonic()
    _commit(context.faults.get(candidate.id, context.faults.get("*", "")))
    rng = stream(context.seed, candidate.cycle, candidate.index)
    time.sleep(context.work_s * rng.uniform(1.0, context.spread))
    bicrystal = _bicrystal(candidate, context.n_atoms)
    distance = float(np.sqrt(np.mean((bicrystal.positions - 0.5) ** 2)))
    cost = distance + 1e-3 * rng.normal()
    evaluation = Evaluation(
        id=candidate.id,
        cycle=candidate.cycle,
        index=candidate.index,
        proposal=candidate.proposal,
        score=Score(ssim=1.0 - cost, shift_px=(rng.normal(), rng.normal())),
        cost=cost,
        fingerprint=f"{cost:.12f}",
        work=len(bicrystal.numbers),
    )
    details = Details(
        bicrystal=bicrystal, excess_energies=rng.normal(size=context.n_atoms)
    )
    # A toy without work takes the same time, none, wherever it runs.
    wall_s = time.monotonic() - began if context.work_s else 0.0
    timing = Timing(wall_s=wall_s, cpu_s=0.0, relax_cpu_s=0.0)
    return Outcome(evaluation=evaluation, details=details, timing=timing)


def _commit(fault: str) -> None:
    if fault:
        _DEEDS[fault]()


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    ctypes.CDLL(None).pause()


def _hang_with_lock() -> None:
    ctypes.PyDLL(None).pause()


def _spin() -> None:
    while True:
        pass


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _eat(n_bytes: int = _MOST_MEMORY) -> None:
    held = [np.ones(2**21) for _ in range(n_bytes // 2**24)]
    if n_bytes == _MOST_MEMORY:
        raise MemoryError(f"nobody stopped a toy with {len(held)} x 16 MB")


def _with_family(deed: Callable[[], None], then: Callable[[], None]) -> None:
    if os.fork() == 0:
        deed()
        os._exit(0)
    then()


def _refused_memory() -> None:
    np.ones(2**46)  # 560 TB: the system says no at once


def _garbage() -> None:
    """Write into every pipe and socket there is, as broken memory might."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket"):
                os.write(int(name), b"\0\0\0\x0c" + b"no json here")
    _hang()


def _simulation_error() -> None:
    raise SimulationError("lost_atoms: 3 of 10 atoms left the cell")


def _bug() -> None:
    raise ZeroDivisionError("a toy bug")


def _installation_error() -> None:
    raise InstallationError("the toy library broke; install it again")


_DEEDS: dict[str, Callable[[], None]] = {
    "segfault": _segfault,
    "hang": _hang,
    "locked_hang": _hang_with_lock,
    "spin": _spin,
    "exit": lambda: os._exit(0),
    "killed": _killed,
    "memory": _eat,
    "brief_memory": lambda: _eat(5 * 10**8),
    "family_memory": lambda: _with_family(_eat, then=_hang),
    "refused_memory": _refused_memory,
    "family_segfault": lambda: _with_family(_hang, then=_segfault),
    "garbage": _garbage,
    "simulation_error": _simulation_error,
    "bug": _bug,
    "installation_error": _installation_error,
}


def _bicrystal(candidate: Candidate, n_atoms: int) -> Bicrystal:
    first = recipes(candidate.proposal.parameters)[0]
    vector = np.hstack(list(first.values())).astype(float)
    positions = np.resize(vector, (n_atoms, 3))
    if candidate.parents:
        positions += np.mean([p.positions for p in candidate.parents], axis=0)
    return Bicrystal(
        numbers=np.full(n_atoms, 29),
        positions=positions,
        cell=np.diag([4.0, 20.0, 3.0]),
        boundary_height=10.0,
        grains=1 + np.arange(n_atoms) // 2 % 2,
        regions=np.zeros(n_atoms, dtype=np.int64),
    )


def toy_space() -> SearchSpace:
    """Return a space with one dimension of each kind; the first is measured."""
    return SearchSpace(
        dimensions=(
            Dimension(name="along", kind="periodic", low=0.0, high=1.0),
            Dimension(name="overlap", kind="real", low=0.2, high=0.8),
            Dimension(name="termination", kind="integer", low=0, high=3),
        ),
        measured={"along": 0.4},
        measured_sigma={"along": 0.05},
    )


@dataclass(frozen=True, kw_only=True)
class ToySearch:
    """A policy that uses all it is given: archive, details, pending and stream.

    Parameters
    ----------
    child_share : float
        Share of proposals that nudge one of the two best boundaries.
    """

    child_share: float = 0.5

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Return `n` proposals, nudges as soon as there is something to nudge."""
        return [self._draw(space, archive, rng) for _ in range(n)]

    def _draw(
        self, space: SearchSpace, archive: Archive, rng: np.random.Generator
    ) -> Proposal:
        best = archive.best(2)
        if not best or rng.random() >= self.child_share:
            parameters = space.sample(rng)
            return Proposal(parents=(), mutation="assemble", parameters=parameters)
        parent = best[int(rng.integers(len(best)))]
        misfit = 0.5 - archive.details(parent.id).bicrystal.positions.mean()
        step = misfit * rng.uniform(0.2, 1.0) / (1 + len(archive.pending))
        return Proposal(
            parents=(parent.id,),
            mutation="nudge",
            parameters={"step": float(step)},
            reason=f"{parent.id} lies {misfit:.3f} off the middle",
        )
