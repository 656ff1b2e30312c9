"""How much of the relaxer's CPU time is not LAMMPS's own; used by `mutations.py`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from autoloop.domain import Bicrystal
from autoloop.errors import SimulationError
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.session import Session, session


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the CPU time of relaxations went.

    Attributes
    ----------
    n : int
        Relaxations, none of them annealed.
    relaxer_s : float
        All of the relaxer, guards included [s].
    lammps_s : float
        Of it inside commands to LAMMPS [s].
    forces_s : float
        Of that inside ``minimize`` and ``run`` [s].
    """

    n: int
    relaxer_s: float
    lammps_s: float
    forces_s: float

    @property
    def outside(self) -> float:
        """Share of the relaxer's time that is not LAMMPS's own."""
        return 1 - self.lammps_s / self.relaxer_s


@dataclass
class _Clock:
    """CPU time inside commands to LAMMPS [s], by the first word of the command."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Time every command of every session meanwhile."""
        plain, spent = Session.command, self.spent

        def timed(self: Session, text: str) -> None:
            began = time.process_time()
            try:
                plain(self, text)
            finally:
                word = text.split(maxsplit=1)[0]
                spent[word] = spent.get(word, 0.0) + time.process_time() - began

        Session.command = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            Session.command = plain  # type: ignore[method-assign]


def profile(relaxer: LammpsRelaxer, bicrystals: Iterable[Bicrystal]) -> Profile:
    """Relax bicrystals in this process with the clock on; failures count as well.

    Reading results out of LAMMPS is counted as not its own.
    """
    session()  # is started once in each process, so not part of a relaxation
    clock, rng = _Clock(), np.random.default_rng(0)  # only annealing draws from it
    n, relaxer_s = 0, 0.0
    for bicrystal in bicrystals:
        began = time.process_time()
        with clock.running(), contextlib.suppress(SimulationError):
            relaxer.relax(bicrystal, rng, None)
        relaxer_s += time.process_time() - began
        n += 1
    return Profile(
        n=n,
        relaxer_s=relaxer_s,
        lammps_s=sum(clock.spent.values()),
        forces_s=sum(clock.spent.get(word, 0.0) for word in ("minimize", "run")),
    )
