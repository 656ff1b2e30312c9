"""What becomes of mutated boundaries: built, guarded, relaxed; failures by name.

    python experiments/benchmarks/mutations.py [--quick] [--n N] [--only NAME] ...

Draws N candidates, each the end of a chain of one to three random mutations, at three
boundaries of an element, a covalent crystal and a compound (the compound with and
without a free composition). Parents are boundaries assembled at random and relaxed
and, in the second half, relaxed candidates of the first. Every candidate is built and
goes through the guards that stand before LAMMPS; a fifth of them is relaxed in
supervised workers, some with molecular dynamics first. A further lot of a fiftieth (200
of 10000) is relaxed in a large cell: the CdTe 83 degree tilt boundary, whose common
cell of 32.4 x 4.6 Å (about 220 atoms) is taken twice along the boundary and twice along
the beam, 64.8 x 9.2 Å with about 890 atoms. In that cell a profile tells how much of
the relaxer's CPU time is not LAMMPS's own. Fails if a candidate is without an outcome,
if one runs into the time limit, if an edit touches a block, or if that share is above
a tenth. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from relaxer_profile import Profile, profile

from autoloop.config import load_campaign
from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    Candidate,
    Proposal,
    candidate_id,
    stream,
)
from autoloop.errors import SimulationError
from autoloop.execution.local import LocalExecutor
from autoloop.preparation import Prepared, prepare
from autoloop.protocols import Outcome
from autoloop.records import pack
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.guards import (
    natural_distances,
    push_apart,
    refuse_not_finite,
)
from autoloop.relax.potentials import Potential
from autoloop.structure.edits import repeated
from autoloop.structure.mutations import MUTATIONS, applicable, build

HERE = Path(__file__).parent
LIMIT_S = 300.0
"""Time limit of one candidate [s]: far more than the largest takes."""
N_PARENTS = 16
MOST_ATOMS = 700  # a cell that is larger is not repeated again
TILT = """
name: cdte_tilt_energy
seed: 1
grains:
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [-1, 1, 0], rotation_deg: 7.2}
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [0, 0, 1]}
energy: {potential: CdTeZnSeHgS0.sw, gamma_excess: any}
policy: random_search
budget: {evaluations: 1}
"""


@dataclass(frozen=True, kw_only=True)
class System:
    """A boundary and its share of the candidates.

    Attributes
    ----------
    name : str
        Title in the table.
    run_file : Path, optional
        Without it, that of the tilt boundary above.
    share : float
        Of all candidates.
    overrides : mapping
        For the run file.
    repeat : (int, int)
        Cells of the parents along the boundary and along the beam.
    profiled : int
        Relaxations that are profiled, in this process.
    """

    name: str
    run_file: Path | None
    share: float
    overrides: Mapping[str, Any] = field(default_factory=dict)
    repeat: tuple[int, int] = (1, 1)
    profiled: int = 0


SYSTEMS = (
    System(
        name="Cu S5(310)",
        run_file=HERE.parent / "energy_cu_s5_310.yaml",
        share=1 / 3,
    ),
    System(
        name="Si S9(221)", run_file=HERE / "energies" / "si_s9_221.yaml", share=1 / 3
    ),
    System(
        name="CdTe S5(310)",
        run_file=HERE.parent / "energy_cdte_s5_310.yaml",
        share=1 / 6,
        overrides={"energy.gamma_excess": "any"},
    ),
    System(
        name="CdTe S5(310) Gamma 0",
        run_file=HERE.parent / "energy_cdte_s5_310.yaml",
        share=1 / 6,
    ),
)
LARGE = System(
    name="CdTe tilt, 2 x 2 cells", run_file=None, share=0, repeat=(2, 2), profiled=30
)


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


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A relaxed boundary and its cost."""

    bicrystal: Bicrystal
    cost: float


def main() -> int:
    """Run all systems, print the tables; 1 if something was lost or hung."""
    options = _options()
    n_large = max(12, options.n // 50)
    lots = [
        (s, math.ceil(options.n * s.share), math.ceil(options.n // 5 * s.share))
        for s in SYSTEMS
    ]
    # some more drawn than relaxed: not all of them are built
    lots.append((LARGE, math.ceil(1.5 * n_large), n_large))
    started, tallies = time.perf_counter(), []
    for system, n, quota in lots:
        if not options.only or system.name in options.only:
            n_annealed = quota if system is LARGE else math.ceil(quota / 20)
            tallies.append(_run(system, n, quota, n_annealed, options))
    for tally in tallies:
        _print(tally)
    bad = Counter[str]()
    for tally in tallies:
        for failures in tally.failed.values():
            bad.update({k: v for k, v in failures.items() if k in WRONG})
        bad.update({"outside": tally.outside} if tally.outside else {})
        lost = tally.submitted - tally.settled
        bad.update({"lost": lost} if lost else {})
        slow = tally.profile is not None and tally.profile.outside > MOST_OUTSIDE
        bad.update({"time outside LAMMPS": 1} if slow else {})
    summary = {
        "candidates": sum(sum(t.drawn.values()) for t in tallies),
        "relaxations": sum(len(t.cpu_s) for t in tallies),
        "annealed": sum(t.annealed for t in tallies),
        "defects": dict(bad),
        "wall_s": round(time.perf_counter() - started, 1),
        "systems": [_figures(t) for t in tallies],
    }
    print(json.dumps(summary))
    return 1 if bad else 0


MOST_OUTSIDE = 0.1
"""Most of the relaxer's time in a large cell that may not be LAMMPS's own."""
WRONG = (
    "time_limit",
    "cpu_limit",
    "memory_limit",
    "error",
    "crashed",
    "worker_lost",
)
"""Outcomes that no candidate may have."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="600 candidates")
    parser.add_argument("--n", type=int, help="candidates to draw, 10000 by default")
    parser.add_argument(
        "--only",
        action="append",
        choices=[s.name for s in (*SYSTEMS, LARGE)],
        metavar="NAME",
        help="one boundary, as the tables name it; may be given several times",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.n = options.n or (600 if options.quick else 10000)
    return options


def _prepared(system: System) -> Prepared:
    if system.run_file is not None:
        return prepare(load_campaign(system.run_file, system.overrides))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tilt.yaml"
        path.write_text(TILT)
        return prepare(load_campaign(path))


def _run(
    system: System, n: int, quota: int, n_annealed: int, options: argparse.Namespace
) -> Tally:
    """Draw, build and guard `n` candidates, relax `quota` of them, in two halves."""
    prepared, tally = _prepared(system), Tally(system.name)
    record, parents = pack(prepared.context), list[Parent]()
    with LocalExecutor(record, workers=options.workers, limit_s=LIMIT_S) as executor:
        parents += _assembled(prepared, system, executor, options.seed)
        for generation in (1, 2):
            futures = []
            n_now, wanted, dynamics = (
                k // 2 if generation == 1 else k - k // 2
                for k in (n, quota, n_annealed)
            )
            for index in range(n_now):
                rng = stream(options.seed, generation, index)
                drawn = _drawn(prepared, parents, rng, (generation, index), tally)
                if drawn is None or not wanted:
                    continue
                candidate, parent = drawn
                annealing = candidate.proposal.mutation == "anneal"
                if annealing and not dynamics:
                    continue
                left = n_now - index
                if not annealing and rng.random() > 1.3 * wanted / left:
                    continue
                wanted, dynamics = wanted - 1, dynamics - annealing
                tally.submitted += 1
                futures.append((candidate, parent, executor.submit(candidate)))
            parents = parents + _settled(futures, tally)
    if system.profiled:
        tally.profile = _profiled(prepared, parents, system.profiled, options.seed)
    asked = sum(tally.drawn.values())
    outcomes = tally.built.total() + sum(c.total() for c in tally.refused.values())
    if asked != outcomes:
        raise RuntimeError(f"{asked} candidates, {outcomes} outcomes")
    return tally


def _assembled(
    prepared: Prepared, system: System, executor: LocalExecutor, seed: int
) -> list[Parent]:
    """Return boundaries assembled at random and relaxed: the first parents."""
    waiting = []
    for index in range(N_PARENTS):
        rng = stream(seed, 0, index)
        proposal = Proposal(
            parents=(), mutation="assemble", parameters=prepared.space.sample(rng)
        )
        candidate = Candidate(
            id=candidate_id(0, index), cycle=0, index=index, proposal=proposal
        )
        waiting.append(executor.submit(candidate))
    outcomes = [future.result(timeout=10 * LIMIT_S) for future in waiting]
    return [
        Parent(
            bicrystal=repeated(o.details.bicrystal, *system.repeat),
            cost=float(o.evaluation.cost),
        )
        for o in outcomes
        if o.details is not None and o.evaluation.cost is not None
    ]


def _drawn(
    prepared: Prepared,
    parents: list[Parent],
    rng: np.random.Generator,
    place: tuple[int, int],
    tally: Tally,
) -> tuple[Candidate, Parent] | None:
    """Draw a chain of mutations; its last candidate if that passes the guards."""
    template = prepared.context.template
    names = [n for n in applicable(template) if n != "assemble"]
    first = parents[rng.integers(len(parents))]
    current, length = first.bicrystal, int(rng.integers(1, 4))
    began = time.process_time()
    for k in range(length):
        name = str(rng.choice(names))
        if name == "replicate" and len(current.numbers) > MOST_ATOMS:
            name = "rattle"
        candidate = _mutated(name, current, parents, rng, place)
        try:
            built = build(
                template,
                candidate,
                stream(1, *place),
                stoichiometric=prepared.context.stoichiometric,
            )
            if k == length - 1:
                refuse_not_finite(built.positions)
                push_apart(built, natural_distances(built))
        except SimulationError as error:
            tally.drawn[name] += 1
            tally.refuse(name, str(error))
            tally.build_s += time.process_time() - began
            return None
        tally.outside += not _in_place(built, current)
        current = built
    tally.drawn[name] += 1
    tally.built[name] += 1
    tally.build_s += time.process_time() - began
    return candidate, first


def _mutated(
    name: str,
    current: Bicrystal,
    parents: list[Parent],
    rng: np.random.Generator,
    place: tuple[int, int],
) -> Candidate:
    mutation = MUTATIONS[name]
    others = [
        parents[rng.integers(len(parents))].bicrystal
        for _ in range(mutation.n_parents - 1)
    ]
    parameters = mutation.draw(rng)
    if name == "anneal":  # short: what is tried here is that it ends
        parameters["steps"] = min(int(parameters["steps"]), 400)
    proposal = Proposal(
        parents=tuple("p" * (k + 1) for k in range(mutation.n_parents)),
        mutation=name,
        parameters=parameters,
    )
    return Candidate(
        id=candidate_id(*place),
        cycle=place[0],
        index=place[1],
        proposal=proposal,
        parents=(current, *others),
    )


def _in_place(built: Bicrystal, parent: Bicrystal) -> bool:
    """Whether both blocks have all their atoms, and no free atom is in them."""
    n_cells = built.area / parent.area
    y = built.positions[:, 1]
    free = y[built.regions == FREE]
    upper, lower = (y[built.regions == r] for r in (UPPER_BLOCK, LOWER_BLOCK))
    whole = all(
        np.sum(built.regions == r) >= round(n_cells * np.sum(parent.regions == r))
        for r in (UPPER_BLOCK, LOWER_BLOCK)
    )
    return (
        whole
        and bool(free.max() < upper.min() + 0.5 > 0.0)
        and bool(free.min() > lower.max() - 0.5)
    )


def _settled(
    futures: list[tuple[Candidate, Parent, Future[Outcome]]], tally: Tally
) -> list[Parent]:
    """Wait for every outcome; the relaxed boundaries."""
    relaxed = []
    for candidate, parent, future in futures:
        outcome = future.result(timeout=10 * LIMIT_S)
        tally.settle(candidate, outcome, parent.cost)
        cost, details = outcome.evaluation.cost, outcome.details
        if details is not None and cost is not None:
            relaxed.append(Parent(bicrystal=details.bicrystal, cost=cost))
    return relaxed


def _profiled(prepared: Prepared, parents: list[Parent], n: int, seed: int) -> Profile:
    """Relax `n` further candidates in this process, with the clock on."""
    energetics = prepared.context.energetics
    if energetics is None or not isinstance(energetics.potential, Potential):
        raise ValueError("only relaxations by LAMMPS are profiled")
    relaxer = LammpsRelaxer(energetics.potential, energetics.settings)
    return profile(relaxer, islice(_more(prepared, parents, seed), n))


def _more(prepared: Prepared, parents: list[Parent], seed: int) -> Iterator[Bicrystal]:
    """Give candidates that are not to be annealed, built and guarded, without end."""
    tally = Tally("profile")
    for index in count():
        rng = stream(seed, 3, index)
        drawn = _drawn(prepared, parents, rng, (3, index), tally)
        if drawn is not None and drawn[0].proposal.mutation != "anneal":
            yield build(
                prepared.context.template,
                drawn[0],
                stream(1, 3, index),
                stoichiometric=prepared.context.stoichiometric,
            )


def _rate(tally: Tally) -> float | None:
    """Return relaxations without annealing that a core does in a second."""
    spent = sum(tally.plain_cpu_s)
    return round(len(tally.plain_cpu_s) / spent, 3) if spent else None


def _name(reason: str) -> str:
    return reason.split(":")[0]


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))


def _print(tally: Tally) -> None:
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


def _figures(tally: Tally) -> dict[str, Any]:
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


if __name__ == "__main__":
    raise SystemExit(main())
