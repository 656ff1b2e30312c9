"""Whether a run survives kills, crashes, hangs and lost workers, and length and width.

    python experiments/benchmarks/reliability.py [--quick] [--out DIR] [--part PART]

Kills the controller at every step of its journal and at random moments, lets candidates
crash, hang, exit and eat memory, takes dask workers away and adds some. Then it records
10,000 evaluations while `autoloop status --follow` looks on, resumes that run, and
keeps 64 slots busy with candidates that sleep. Candidates are toys, but for two runs
with LAMMPS. Parts that have ended in DIR are not repeated. The last line is one JSON
object: `kills`; acknowledged evaluations `lost`; `corrupt` journals; `orphans`,
processes left 5 s after a kill; `reader_errors`; and the figures of every part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import toy_runs as toys
from long_runs import many_slots, watched_run

from autoloop.config.models import ExecutionSection
from autoloop.domain import Candidate, Proposal, candidate_id
from autoloop.execution.choice import open_executor
from autoloop.journal import Journal
from autoloop.records import pack
from autoloop.testing.engines import ToyContext, toy_space

THREE_CYCLES = toys.Plan(engine="inline", cycles=3)
SHARES = {"segfault": 0.10, "hang": 0.05, "exit": 0.02, "memory": 0.02}
LIMIT_S = 3.0
MEMORY_GB = 0.3
REASONS = {
    "segfault": "crashed: child died with signal 11 (SIGSEGV)",
    "hang": f"time_limit: no result within {LIMIT_S:g} s",
    "exit": "crashed: child ended with status 0 and no result",
    "memory": f"memory_limit: needed more than {MEMORY_GB:g} GB",
}
LAMMPS_RUN = """\
name: cut
seed: 3
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: {name: bayesian, options: {n_initial: 8}}
search: {batch: 4, lag: 1}
budget: {evaluations: 24}
execution: {workers: 2}
"""

Figures = dict[str, Any]


def kills_at_steps(stride: int) -> Figures:
    """Kill at every `stride`-th step of a run, then at one of its resumption."""
    figures: Figures = {"kills": 0, "lost": 0, "corrupt": 0, "different": 0}
    with tempfile.TemporaryDirectory() as scratch:
        whole = _folder(scratch, "whole")
        toys.finish(partial(toys.counted_run, whole, THREE_CYCLES))
        n_steps = int((whole / "steps").read_text())
        reference = toys.content(whole)
        for first in range(1, n_steps + 1, stride):
            folder = _folder(scratch, f"cut-{first}")
            # The second kill falls into opening, then into what is left to do.
            for fatal in (first, 1 + 5 * first % 60):
                pid = toys.start(partial(toys.counted_run, folder, THREE_CYCLES, fatal))
                figures["kills"] += toys.ended(pid) == -signal.SIGKILL
                _inspect(folder, figures)
            toys.finish(partial(toys.run, folder, THREE_CYCLES))
            figures["different"] += toys.content(folder) != reference
    return {**figures, "steps": n_steps}


def kills_at_moments(engine: str, n_kills: int, seed: int) -> Figures:
    """Kill one run with workers again and again, then let it end."""
    rng = np.random.default_rng(seed)
    # It starts within 1 s on a quiet machine, and lasts longer than all its lives.
    longest_s = {"local": 2.5, "dask": 12.0}[engine]
    plan = toys.Plan(engine=engine, cycles=3 + 2 * n_kills, work_s=0.05)
    figures: Figures = {
        "kills": 0, "lost": 0, "corrupt": 0, "orphans": 0, "different": 0, "runs": 1
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder, whole = _folder(scratch, "cut"), _folder(scratch, "whole")
        while figures["kills"] < n_kills:
            with toys.marked() as mark:
                pid = toys.start(partial(toys.run, folder, plan))
                status = toys.ended(pid, rng.uniform(0.0, longest_s))
                if status is not None:
                    break  # it had ended by itself
                toys.kill(pid)
                figures["kills"] += 1
                figures["orphans"] += toys.count_orphans(mark)
            _inspect(folder, figures)
        toys.finish(partial(toys.run, folder, plan))
        toys.finish(
            partial(toys.run, whole, toys.Plan(**{**_asdict(plan), "engine": "local"}))
        )
        figures["different"] += toys.content(folder) != toys.content(whole)
        figures["evaluations"] = 4 * plan.cycles
    return figures


def faulty_candidates(engine: str, n: int, work_s: float) -> Figures:
    """Evaluate candidates of which a fifth is deadly; account for every one."""
    rng = np.random.default_rng(5)
    ids = [candidate_id(0, index) for index in range(n)]
    chosen = iter(rng.permutation(ids).tolist())
    faults = {
        next(chosen): f for f, share in SHARES.items() for _ in range(int(n * share))
    }
    context = ToyContext(seed=1, work_s=work_s, faults=faults)
    section = ExecutionSection(
        engine=engine,  # type: ignore[arg-type]
        workers=toys.WORKERS,
        candidate_limit_s=LIMIT_S,
        memory_limit_gb=MEMORY_GB,
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_executor(pack(context), section, Path(scratch), module=toys.TOYS) as pool,
    ):
        warm = [pool.submit(_candidate(1, index)) for index in range(toys.WORKERS)]
        for future in warm:
            future.result()
        began, cpu = time.monotonic(), time.process_time()
        futures = [pool.submit(_candidate(0, index)) for index in range(n)]
        outcomes = {f.result().evaluation.id: f.result() for f in futures}
        wall_s = time.monotonic() - began
        cpu = time.process_time() - cpu
    failures = {
        i: o.evaluation.failure for i, o in outcomes.items() if o.evaluation.failure
    }
    wrong = [
        f"{i}: {failures.get(i)}"
        for i in ids
        if failures.get(i) != REASONS.get(faults.get(i, ""))
    ]
    used_s = sum(o.timing.wall_s for o in outcomes.values() if o.timing)
    limits_s = LIMIT_S * sum(fault == "hang" for fault in faults.values())
    paid_s = toys.WORKERS * wall_s
    return {
        "candidates": n,
        "accounted": len(outcomes),
        "wrong_reason": len(wrong),
        "innocent_lost": sum(i not in faults for i in failures),
        "idle_percent": round(100 * (paid_s - used_s) / (paid_s - limits_s), 1),
        "controller_cpu_ms_each": round(1000 * cpu / n, 2),
        "wall_s": round(wall_s, 1),
        "faults": dict(Counter(faults.values())),
        "examples_of_wrong": wrong[:3],
    }  # fmt: skip


def workers_come_and_go() -> Figures:
    """Kill a dask worker in the middle of a run, add one; compare with a local run."""
    plan = toys.Plan(engine="dask", cycles=15, work_s=0.1)
    local = toys.Plan(engine="local", cycles=15, work_s=0.1)
    done: set[str] = set()

    def meddle(executor: Any, n_known: int) -> None:
        client = executor.client
        if n_known >= 15 and "killed" not in done:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            done.add("killed")
        if n_known >= 30 and "added" not in done:
            client.cluster.scale(toys.WORKERS + 1)
            deadline = time.monotonic() + 60.0
            while len(executor.workers_ready) <= toys.WORKERS:
                if time.monotonic() > deadline:
                    raise TimeoutError("the worker that was added is not ready")
                time.sleep(0.05)
            done.add("added")
        (folder / "workers").write_text(str(len(executor.workers_used)))

    with tempfile.TemporaryDirectory() as scratch:
        folder, whole = _folder(scratch, "dask"), _folder(scratch, "local")
        toys.finish(partial(toys.run, folder, plan, meddle))
        toys.finish(partial(toys.run, whole, local))
        return {
            # two at first, one in place of the dead one, one more
            "workers_used": int((folder / "workers").read_text()),
            "different": int(toys.content(folder) != toys.content(whole)),
        }


def lammps_run(seed: int) -> Figures:
    """Cut a run with LAMMPS twice and resume it."""
    rng = np.random.default_rng(seed)
    figures: Figures = {
        "kills": 0,
        "lost": 0,
        "corrupt": 0,
        "orphans": 0,
        "different": 0,
    }
    with tempfile.TemporaryDirectory() as scratch:
        run_file = Path(scratch) / "cut.yaml"
        run_file.write_text(LAMMPS_RUN)
        whole, cut = Path(scratch) / "whole", Path(scratch) / "cut"
        _autoloop("run", str(run_file), "--out", str(whole)).wait()
        words = ["run", str(run_file), "--out", str(cut)]
        for wanted in sorted(rng.integers(1, 20, size=2)):
            with toys.marked() as mark:
                process = _autoloop(*words)
                while process.poll() is None and _count(cut) < wanted:
                    time.sleep(0.02)
                process.kill()
                figures["kills"] += process.wait() == -signal.SIGKILL
                figures["orphans"] += toys.count_orphans(mark)
            figures["corrupt"] += toys.is_corrupt(cut)
            words = ["resume", str(cut)]
        _autoloop(*words).wait()
        figures["different"] += toys.content(cut) != toys.content(whole)
    return {**figures, "runs": 1}


def _autoloop(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "autoloop", *words], stdout=subprocess.DEVNULL
    )


def _count(folder: Path) -> int:
    try:
        with Journal.read(folder / "journal.sqlite") as journal:
            return len(journal.evaluations())
    except Exception:  # not there yet
        return 0


def _inspect(folder: Path, figures: Figures) -> None:
    figures["corrupt"] += toys.is_corrupt(folder)
    figures["lost"] += toys.count_lost(folder)


def _candidate(cycle: int, index: int) -> Candidate:
    rng = np.random.default_rng((cycle, index))
    proposal = Proposal(
        parents=(), mutation="assemble", parameters=toy_space().sample(rng)
    )
    return Candidate(
        id=candidate_id(cycle, index), cycle=cycle, index=index, proposal=proposal
    )


def _folder(scratch: str, name: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    return folder


def _asdict(plan: toys.Plan) -> dict[str, Any]:
    return {"engine": plan.engine, "cycles": plan.cycles, "work_s": plan.work_s}


def parts(quick: bool) -> dict[str, Callable[[], Figures]]:
    """Return what to measure, by name."""
    if quick:
        return {
            "steps": partial(kills_at_steps, 17),
            "moments local": partial(kills_at_moments, "local", 3, 0),
            "faulty local": partial(faulty_candidates, "local", 60, 0.1),
            "dask workers": workers_come_and_go,
            "monitor": partial(watched_run, 320, 64),
            "slots": partial(many_slots, 16, 32, 4, (0.3, 1.5)),
        }
    return {
        "steps": partial(kills_at_steps, 1),
        **{
            f"moments local {k}": partial(kills_at_moments, "local", 16, k)
            for k in range(20)
        },
        **{
            f"moments dask {k}": partial(kills_at_moments, "dask", 6, 100 + k)
            for k in range(2)
        },
        **{f"lammps {k}": partial(lammps_run, k) for k in range(2)},
        "faulty local": partial(faulty_candidates, "local", 1000, 0.25),
        "faulty dask": partial(faulty_candidates, "dask", 1000, 0.25),
        "dask workers": workers_come_and_go,
        "monitor": partial(watched_run, 10_000, 128),
        "slots": partial(many_slots, 64, 128, 40),
        "slots brief": partial(many_slots, 2, 128, 16, (0.01, 0.02)),
    }


def main() -> int:
    """Run what has not run, print the table; 1 if anything was lost."""
    options = _options()
    os.environ["OMP_NUM_THREADS"] = "1"
    results = {}
    for name, measure in parts(options.quick).items():
        if not name.startswith(options.part):
            continue
        file = options.out / f"{name.replace(' ', '_')}.json"
        if not options.quick and file.exists():
            results[name] = json.loads(file.read_text())
        else:
            results[name] = toys.apart(measure)
            if not options.quick:
                options.out.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(results[name]))
        told = ", ".join(f"{key} {value}" for key, value in results[name].items())
        print(f"{name:18}{told}", flush=True)
    summary = _summary(results)
    print(json.dumps({**summary, "parts": results}))
    return int(any(summary[key] for key in summary if key not in ("kills", "runs")))


def _summary(results: dict[str, Figures]) -> dict[str, int]:
    keys = [*("kills", "lost", "corrupt", "orphans", "different", "runs")]
    keys += ["wrong_reason", "innocent_lost", "reader_errors"]
    return {key: sum(int(r.get(key, 0)) for r in results.values()) for key in keys}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="within a minute")
    parser.add_argument(
        *("--part", "--only"), metavar="PART", default="", help="whose name begins so"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("runs/reliability"),
        help="where finished parts are kept",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
