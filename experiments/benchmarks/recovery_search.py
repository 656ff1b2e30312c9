"""One search for a known energy, without an image, in this process."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recovery_systems import System

from autoloop.config import load_campaign
from autoloop.controller import Controller
from autoloop.domain import Bicrystal, Candidate, Evaluation
from autoloop.errors import SimulationError
from autoloop.evaluation import Evaluator, evaluate
from autoloop.journal import Journal
from autoloop.plugins import load_policy
from autoloop.preparation import Prepared, prepare
from autoloop.protocols import Outcome

HERE: Final = Path(__file__).parent
CLOSE: Final = 0.003
"""A boundary within this of the known energy is found [J/m²]."""
Record = dict[str, Any]


def prepared_system(system: System) -> Prepared:
    """Return the space and the engines of a system."""
    path = HERE / "energies" / f"{system.run_file}.yaml"
    return prepare(load_campaign(path, system.overrides))


def search(
    system: System,
    prepared: Prepared,
    policy: str,
    seed: int,
    options: argparse.Namespace,
) -> Record:
    """Search with one policy and seed; what it took."""
    start = time.process_time()
    with _searched(system, prepared, policy, seed, options) as journal:
        evaluations = journal.evaluations()
        relaxing = math.fsum(t.relax_cpu_s for t in journal.timings().values())
    evaluations = [e for e in evaluations if e.duplicate_of is None]
    hit = next(
        (k for k, e in enumerate(evaluations) if _is_hit(e, system.energy)), None
    )
    until = evaluations if hit is None else evaluations[: hit + 1]
    energies = [e.score.energy_j_per_m2 for e in evaluations if e.score is not None]
    return {
        "n": None if hit is None else hit + 1,
        "limit": system.limit,
        "work": sum(e.work for e in until),
        "best": min((x for x in energies if x is not None), default=None),
        "cpu_s": round(time.process_time() - start, 3),
        "relax_cpu_s": round(relaxing, 3),
        "n_run": len(evaluations),
        "by": None if hit is None else _maker(evaluations[hit]),
    }


def lowest(
    system: System, prepared: Prepared, seed: int, options: argparse.Namespace
) -> Bicrystal:
    """Return the lowest boundary that a search for the known energy ends with."""
    with _searched(system, prepared, "portfolio", seed, options) as journal:
        found = [e for e in journal.evaluations() if e.score is not None]
        best = min(found, key=lambda e: e.cost)
        if not _is_hit(best, system.energy):
            raise SystemExit(f"{system.name}: not found with seed {seed}")
        return journal.details(best.id).bicrystal


@contextmanager
def _searched(
    system: System,
    prepared: Prepared,
    policy: str,
    seed: int,
    options: argparse.Namespace,
) -> Iterator[Journal]:
    """Search until the known energy is reached, or the limit; yield the journal."""
    evaluator = Evaluator(replace(prepared.context, seed=seed))
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.create(Path(folder) / "journal.sqlite") as journal,
    ):
        Controller(
            prepared.space,
            load_policy(policy, {}, HERE),
            _InProcess(evaluator),
            journal,
            seed=seed,
            batch=options.batch,
            lag=options.lag,
            n_evaluations=system.limit,
            stopping=_Reached(system.energy),  # type: ignore[arg-type]  # same method
        ).run()
        yield journal


class _InProcess:
    """Evaluates at once, in this process: a fault ends the benchmark, and is one."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        try:
            future.set_result(evaluate(self._evaluator, candidate))
        except SimulationError as error:
            failed = Evaluation(
                id=candidate.id,
                cycle=candidate.cycle,
                index=candidate.index,
                proposal=candidate.proposal,
                failure=str(error),
            )
            future.set_result(Outcome(evaluation=failed, details=None, timing=None))
        return future

    def close(self, *, wait: bool) -> None:
        """Do nothing: nothing runs."""


class _Reached:
    """Ends a run when the known energy is reached; what a stopping rule offers."""

    def __init__(self, goal: float) -> None:
        self._goal = goal

    def reason(self, archive: Iterable[Evaluation], batch: int) -> str | None:
        return "reached" if any(_is_hit(e, self._goal) for e in archive) else None


def _is_hit(evaluation: Evaluation, goal: float) -> bool:
    score = evaluation.score
    energy = None if score is None else score.energy_j_per_m2
    return energy is not None and energy <= goal + CLOSE


def _maker(evaluation: Evaluation) -> str:
    proposal = evaluation.proposal
    return f"{proposal.policy} {proposal.mutation}".strip()
