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
import time
from collections import Counter
from concurrent.futures import Future
from itertools import islice

from mutation_chains import Parent, draw_chain, more_chains
from mutation_systems import LARGE, SYSTEMS, System, prepare_system
from mutation_tally import Tally, figures, show
from relaxer_profile import Profile, profile

from autoloop.domain import Candidate, Proposal, candidate_id, stream
from autoloop.execution.local import LocalExecutor
from autoloop.preparation import Prepared
from autoloop.protocols import Outcome
from autoloop.records import pack
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.potentials import Potential
from autoloop.structure.edits import repeated

LIMIT_S = 300.0
"""Time limit of one candidate [s]: far more than the largest takes."""
N_PARENTS = 16
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
        show(tally)
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
        "systems": [figures(t) for t in tallies],
    }
    print(json.dumps(summary))
    return 1 if bad else 0


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


def _run(
    system: System, n: int, quota: int, n_annealed: int, options: argparse.Namespace
) -> Tally:
    """Draw, build and guard `n` candidates, relax `quota` of them, in two halves."""
    prepared, tally = prepare_system(system), Tally(system.name)
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
                drawn = draw_chain(prepared, parents, rng, (generation, index), tally)
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
    return profile(relaxer, islice(more_chains(prepared, parents, seed), n))


if __name__ == "__main__":
    raise SystemExit(main())
