"""The seams of the program: what a replaceable part has to offer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import Archive
from autoloop.domain import (
    Anneal,
    Bicrystal,
    Candidate,
    Columns,
    Details,
    Evaluation,
    Proposal,
    Relaxation,
)
from autoloop.structure.space import SearchSpace

Look = Callable[[Relaxation], None]


@runtime_checkable
class Policy(Protocol):
    """Chooses what to try next; keeps nothing between calls."""

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Return exactly `n` proposals inside the space.

        The same arguments give the same proposals; the archive may be empty or hold
        failures only, and is left as it was.
        """
        ...


class Relaxer(Protocol):
    """Brings a bicrystal to its nearest minimum of energy."""

    def relax(
        self,
        bicrystal: Bicrystal,
        rng: np.random.Generator,
        anneal: Anneal | None = None,
        look: Look | None = None,
    ) -> Relaxation:
        """Relax, if asked after annealing.

        `look` is shown what there is after the first steps, if there are such, and may
        end the relaxation by raising SimulationError.

        Raises SimulationError when there is no usable result. Draws from `rng` only to
        anneal.
        """
        ...


class Imager(Protocol):
    """Simulates the image of columns on a fixed grid of pixels."""

    def image(self, columns: Columns) -> NDArray[np.float64]:
        """Return (n_y, n_x) intensities of columns given in pixels of that grid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Clock figures of one evaluation; they never take part in a decision.

    Attributes
    ----------
    wall_s, cpu_s : float
        In the child process [s].
    relax_cpu_s : float
        The relaxer's share [CPU s].
    """

    wall_s: float
    cpu_s: float
    relax_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """All that comes back from evaluating one candidate."""

    evaluation: Evaluation
    details: Details | None
    timing: Timing | None


class Executor(Protocol):
    """Evaluates candidates somewhere else, each at its own risk."""

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        """Start one evaluation; the future never raises for a fault of a candidate."""
        ...

    def close(self, *, wait: bool) -> None:
        """Stop the workers; with `wait` let running evaluations end first."""
        ...


Listener = Callable[["Event"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that the controller tells its listeners.

    Attributes
    ----------
    name : str
        ``run_started``, ``cycle_proposed``, ``evaluation``, ``run_finished``.
    cycle : int
        Cycle it belongs to.
    data : dict
        JSON values.
    """

    name: str
    cycle: int
    data: dict[str, object]
