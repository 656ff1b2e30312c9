"""What becomes of the candidates of `mutations.py`: counted, and told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from relaxer_profile import Profile

from autoloop.domain import Candidate
from autoloop.protocols import Outcome
from autoloop.structure.mutations import MUTATIONS


class Tally:
    """What became of the candidates of one system, by the last mutation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.drawn: Counter[str] = Counter()
        self.built: Counter[str] = Counter()
        self.relaxed: Counter[str] = Counter()
        self.better: Counter[str] = Counter()
        self.refused: dict[str, Counter[str]] = defaultdict(Counter)
        self.failed: dict[str, Counter[str]] = defaultdict(Counter)
        self.annealed = 0
        self.outside = 0
        self.examples: dict[str, str] = {}
        self.submitted = 0
        self.n_atoms: list[int] = []
        self.cpu_s: list[float] = []
        self.plain_cpu_s: list[float] = []
        self.profile: Profile | None = None
        self.build_s = 0.0

    def refuse(self, mutation: str, reason: str) -> None:
        """Count a candidate that was not built."""
        self.refused[mutation][_name(reason)] += 1
        self.examples.setdefault(f"{mutation}/{_name(reason)}", reason)

    def settle(self, submitted: Candidate, outcome: Outcome, parent: float) -> None:
        """Count the outcome of a relaxation."""
        evaluation, mutation = outcome.evaluation, submitted.proposal.mutation
        if evaluation.id != submitted.id:
            raise RuntimeError(f"{submitted.id} got the outcome of {evaluation.id}")
        annealed = "temperature_k" in submitted.proposal.parameters
        if outcome.timing is not None:
            self.cpu_s.append(outcome.timing.cpu_s)
            if not annealed:
                self.plain_cpu_s.append(outcome.timing.relax_cpu_s)
        if outcome.details is not None:
            self.n_atoms.append(len(outcome.details.bicrystal.numbers))
        self.annealed += annealed
        if evaluation.failure is not None:
            self.failed[mutation][_name(evaluation.failure)] += 1
            key = f"{mutation}/{_name(evaluation.failure)}"
            self.examples.setdefault(key, evaluation.failure)
            return
        self.relaxed[mutation] += 1
        if evaluation.cost is not None:
            self.better[mutation] += evaluation.cost < parent - 1e-4

    @property
    def settled(self) -> int:
        """Candidates submitted whose outcome is known."""
        failed = sum(failures.total() for failures in self.failed.values())
        return self.relaxed.total() + failed


def show(tally: Tally) -> None:
    """Print one table."""
    n, n_relaxed = tally.drawn.total(), len(tally.cpu_s)
    built = 1e3 * tally.build_s / max(n, 1)
    usual = np.median(tally.cpu_s) if tally.cpu_s else np.nan
    longest = max(tally.cpu_s, default=np.nan)
    print(
        f"\n{tally.name}: {n} drawn, {n_relaxed} relaxed ({tally.annealed} annealed); "
        f"{built:.1f} ms to build and guard; relaxing {usual:.2f} CPU s, at most "
        f"{longest:.1f}"
    )
    _print_speed(tally)
    print(f"  {'last mutation':15} {'drawn':>6} {'built':>6} {'relaxed':>8}", end="")
    print(f" {'failed':>7} {'better':>7}  refused; failed")
    for name in [m for m in MUTATIONS if tally.drawn[m]]:
        reasons = _text(tally.refused[name]), _text(tally.failed[name])
        print(
            f"  {name:15} {tally.drawn[name]:6} {tally.built[name]:6} "
            f"{tally.relaxed[name]:8} {tally.failed[name].total():7} "
            f"{tally.better[name]:7}  {'; '.join(reasons)}"
        )


def _print_speed(tally: Tally) -> None:
    """Say what one core does in a second, and where its time goes."""
    if not tally.plain_cpu_s:
        return
    print(
        f"  {np.median(tally.n_atoms):.0f} atoms; without annealing "
        f"{1 / np.mean(tally.plain_cpu_s):.2f} relaxations a second and core; "
        f"{tally.submitted} submitted, {tally.submitted - tally.settled} lost"
    )
    if tally.profile is not None:
        seen = tally.profile
        forces = seen.forces_s / seen.relaxer_s
        print(
            f"  of the relaxer's CPU time ({seen.relaxer_s:.1f} s, {seen.n} "
            f"relaxations) {100 * seen.outside:.1f} % is not LAMMPS's own; "
            f"{100 * forces:.1f} % is minimize and run"
        )


def figures(tally: Tally) -> dict[str, Any]:
    """Return what the last line says of a system."""
    return {
        "name": tally.name,
        "drawn": dict(tally.drawn),
        "built": dict(tally.built),
        "refused": {k: dict(v) for k, v in tally.refused.items()},
        "relaxed": dict(tally.relaxed),
        "failed": {k: dict(v) for k, v in tally.failed.items()},
        "better": dict(tally.better),
        "annealed": tally.annealed,
        "outside": tally.outside,
        "submitted": tally.submitted,
        "lost": tally.submitted - tally.settled,
        "n_atoms": float(np.median(tally.n_atoms)) if tally.n_atoms else None,
        "cpu_s": round(float(sum(tally.cpu_s)), 1),
        "relaxations_per_core_s": _rate(tally),
        "outside_lammps": tally.profile and round(tally.profile.outside, 4),
        "examples": tally.examples,
    }


def _rate(tally: Tally) -> float | None:
    """Return relaxations without annealing that a core does in a second."""
    spent = sum(tally.plain_cpu_s)
    return round(len(tally.plain_cpu_s) / spent, 3) if spent else None


def _name(reason: str) -> str:
    return reason.split(":")[0]


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
