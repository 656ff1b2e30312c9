"""How often the right structure is found from its image, and in how few relaxations.

    python experiments/benchmarks/recovery.py [--quick] [--part images|energy]
        [--only NAME]... [--policy NAME]... [--seeds N] [--cases DIR] [--out DIR]

Images: `autoloop init` writes a run file from each simulated image of a folder of cases
(image.tif, image.json, and the truth, which the program never sees), `autoloop run`
searches, and the finalists are compared with the truth column by column.

Energy: the number of relaxations until a boundary is within 3 mJ/m² of its known energy
or below, for several policies in the same search space, without an image. Runs are
censored at a limit; means of censored numbers have bootstrap intervals of 95 %.

Every run is one line of DIR/runs.jsonl and is not repeated. Writes figures of success
against evaluations; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import alike
from autoloop.config import load_campaign
from autoloop.controller import Controller
from autoloop.domain import Candidate, Evaluation
from autoloop.errors import SimulationError
from autoloop.evaluation import Evaluator, evaluate
from autoloop.journal import Journal
from autoloop.plugins import load_policy
from autoloop.preparation import Prepared, prepare
from autoloop.protocols import Outcome

HERE: Final = Path(__file__).parent
CASES: Final = HERE.parents[2] / "shared" / "data" / "synthetic"
CLOSE: Final = 0.003
"""A boundary within this of the known energy is found [J/m²]."""
BASELINE: Final = "random_search"
N_EVALUATIONS: Final = 60
"""Budget of a run on an image."""
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class System:
    """A boundary of known energy.

    Attributes
    ----------
    name, title : str
        For the command line and for people.
    run_file : str
        In the folder `energies`, without ending.
    energy : float
        Known, from an independent search or the best of all runs so far [J/m²].
    limit : int
        Relaxations after which a run is censored.
    overrides : mapping
        For the run file: a larger space.
    quick : bool
        Whether the quick benchmark has it.
    """

    name: str
    title: str
    run_file: str
    energy: float
    limit: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False


SYSTEMS: Final = (
    System(
        name="cdte_s9_221",
        title="CdTe S9(221), Gamma 0",
        run_file="cdte_s9_221",
        energy=0.3959,
        limit=60,
        quick=True,
    ),
    System(
        name="cdte_s9_221_missing",
        title="  and up to two of each missing",
        run_file="cdte_s9_221",
        energy=0.3959,
        limit=80,
        overrides={"cell.max_missing": 2},
        quick=True,
    ),
    System(
        name="si_s5_310",
        title="Si S5(310), Tersoff Si(C)",
        run_file="si_s5_310_tersoff",
        energy=0.6542,
        limit=400,
    ),
    System(
        name="cdte_s3_112",
        title="CdTe S3(112), Gamma 0",
        run_file="cdte_s3_112",
        energy=0.7791,
        limit=60,
    ),
    System(
        name="cdte_s3_112_missing",
        title="  and up to two of each missing",
        run_file="cdte_s3_112",
        energy=0.7791,
        limit=200,
        overrides={"cell.max_missing": 2},
    ),
    # the boundaries of the simulated images, without them
    System(
        name="si_s9_221",
        title="Si S9(221)",
        run_file="si_s9_221",
        energy=0.4535,
        limit=200,
    ),
    System(
        name="cdte_s5_310",
        title="CdTe S5(310), Gamma 0",
        run_file="cdte_s5_310",
        energy=0.5037,
        limit=200,
    ),
    System(
        name="cu_s5_310",
        title="Cu S5(310)",
        run_file="cu_s5_310",
        energy=0.9048,
        limit=60,
    ),
    System(
        name="cu_s5_210",
        title="Cu S5(210), two periods",
        run_file="cu_s5_210_two_periods",
        energy=0.9422,
        limit=60,
    ),
)


def main() -> int:
    """Run what has not run, print the tables, draw the figures."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    records = _read_records(options.out / "runs.jsonl")
    summary: Record = {"runs": 0, "right": 0, "in_set": 0, "median_evaluations": None}
    if options.part in (None, "images"):
        summary.update(_images(options, records))
    if options.part in (None, "energy"):
        summary["efficiency"] = _efficiency(options, records)
    print(json.dumps(summary))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ends within a minute")
    parser.add_argument("--part", choices=["images", "energy"], help="only this part")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="system or case"
    )
    parser.add_argument("--policy", action="append", metavar="NAME")
    parser.add_argument("--seeds", type=int, help="5 on images, 30 on energies")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lag", type=int, default=0)
    parser.add_argument("--cases", type=Path, default=CASES, help="folder of cases")
    parser.add_argument("--image-only", action="store_true", help="energy weight 0")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmarks/recovery"),
        help="folder of the runs; what finished there is not repeated",
    )
    return parser.parse_args()


def _seeds(options: argparse.Namespace, full: int, quick: int) -> range:
    n = options.seeds or (quick if options.quick else full)
    return range(options.first_seed, options.first_seed + n)


def _read_records(path: Path) -> dict[str, Record]:
    """Return the runs that are done, by key; a line cut short is left out."""
    if not path.exists():
        return {}
    records: dict[str, Record] = {}
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[record["key"]] = record
    return records


def _keep(options: argparse.Namespace, record: Record) -> Record:
    with (options.out / "runs.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


# -- energy ----------------------------------------------------------------------------


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


def _efficiency(options: argparse.Namespace, records: dict[str, Record]) -> Record:
    policies = options.policy or [BASELINE, "portfolio"]
    systems = [s for s in SYSTEMS if s.quick or not options.quick]
    if options.only:
        systems = [s for s in SYSTEMS if s.name in options.only]
    print(
        f"\n{'relaxations until the known energy':34} {'policy':>14} {'runs':>5}",
        end="",
    )
    print(
        f" {'found':>5} {'mean [95 %]':>20} {'of random [95 %]':>18} {'work':>8}",
        end="",
    )
    print(f" {'CPU s':>6}")
    results: Record = {}
    for system in systems:
        prepared: Prepared | None = None
        rows: dict[str, list[Record]] = {}
        for policy in policies:
            for seed in _seeds(options, full=30, quick=3):
                key = f"energy {system.name} {policy} {seed} {options.batch}"
                key += f" {options.lag}"
                if key not in records:
                    prepared = prepared or _prepared(system)
                    run = _search(system, prepared, policy, seed, options)
                    records[key] = _keep(options, {"key": key, **run})
                rows.setdefault(policy, []).append(records[key])
        results[system.name] = _tabulate(system, rows)
        _draw(
            options.out / f"{system.name}.png",
            system.title.strip(),
            {p: [r["n"] for r in found] for p, found in rows.items()},
            system.limit,
        )
    return results


def _prepared(system: System) -> Prepared:
    path = HERE / "energies" / f"{system.run_file}.yaml"
    return prepare(load_campaign(path, system.overrides))


def _search(
    system: System,
    prepared: Prepared,
    policy: str,
    seed: int,
    options: argparse.Namespace,
) -> Record:
    """Search with one policy and seed; what it took."""
    start = time.process_time()
    evaluator = Evaluator(_seeded(prepared, seed))
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


def _seeded(prepared: Prepared, seed: int) -> Any:
    from dataclasses import replace

    return replace(prepared.context, seed=seed)


def _maker(evaluation: Evaluation) -> str:
    proposal = evaluation.proposal
    return f"{proposal.policy} {proposal.mutation}".strip()


def _tabulate(system: System, rows: Mapping[str, Sequence[Record]]) -> Record:
    results: Record = {}
    counts = {policy: _censored(found, system.limit) for policy, found in rows.items()}
    baseline = counts.get(BASELINE)
    for place, (policy, found) in enumerate(rows.items()):
        mean = _interval([counts[policy]], lambda sample: float(sample[0].mean()))
        ratio = None
        if baseline is not None and policy != BASELINE:
            ratio = _interval(
                [counts[policy], baseline],
                lambda sample: float(sample[0].mean() / sample[1].mean()),
            )
        n_found = sum(r["n"] is not None for r in found)
        results[policy] = {
            "runs": len(found),
            "found": n_found,
            "mean": mean[0],
            "mean_95": mean[1:],
            "ratio": None if ratio is None else ratio[0],
            "ratio_95": None if ratio is None else ratio[1:],
            "work": float(np.mean([r["work"] for r in found])),
            "cpu_s": float(np.mean([r["cpu_s"] for r in found])),
        }
        title = system.title if place == 0 else ""
        print(
            f"{title:34} {policy:>14} {len(found):>5} {n_found:>5} "
            f"{_shown(mean, 1):>20} {_shown(ratio, 2):>18} "
            f"{results[policy]['work'] / 1e6:>7.2f}M {results[policy]['cpu_s']:>6.1f}",
            flush=True,
        )
    return results


def _censored(found: Sequence[Record], limit: int) -> NDArray[np.float64]:
    return np.array([r["n"] or limit for r in found], dtype=np.float64)


def _interval(
    groups: Sequence[NDArray[np.float64]], figure: Any, n: int = 4000
) -> tuple[float, float, float]:
    """Return a figure of groups of runs, and its 95 % interval over resampled runs."""
    rng = np.random.default_rng(0)
    drawn = [
        figure([g[rng.integers(len(g), size=len(g))] for g in groups]) for _ in range(n)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return figure(groups), float(low), float(high)


def _shown(interval: tuple[float, float, float] | None, digits: int) -> str:
    if interval is None:
        return ""
    value, low, high = (f"{x:.{digits}f}" for x in interval)
    return f"{value} [{low}, {high}]"


# -- images ----------------------------------------------------------------------------


def _images(options: argparse.Namespace, records: dict[str, Record]) -> Record:
    cases = sorted(p.parent for p in options.cases.glob("*/image.json"))
    if options.only:
        cases = [c for c in cases if c.name in options.only]
    if options.quick:
        cases = cases[1:2]
    if not cases:
        print(f"images: no cases in {options.cases}; name a folder with --cases")
        return {}
    policy = (options.policy or ["portfolio"])[-1]
    print(
        f"{'image':34} {'seeds':>5} {'right':>5} {'in set':>6} {'evaluations':>11}",
        end="",
    )
    print(f" {'CPU s':>6}")
    rows: list[Record] = []
    for case in cases:
        found = []
        for seed in _seeds(options, full=5, quick=1):
            key = f"image {case.name} {policy} {seed} {int(options.image_only)}"
            if key not in records:
                run = _recover(case, policy, seed, options)
                records[key] = _keep(options, {"key": key, **run})
            found.append(records[key])
        rows += found
        print(
            f"{case.name:34} {len(found):>5} {sum(r['right'] for r in found):>5} "
            f"{sum(r['in_set'] for r in found):>6} "
            f"{_median([r['n'] for r in found])!s:>11} "
            f"{np.mean([r['cpu_s'] for r in found]):>6.1f}",
            flush=True,
        )
    curve = {policy: [r["n"] if r["right"] else None for r in rows]}
    _draw(options.out / "images.png", "all images", curve, N_EVALUATIONS)
    return {
        "runs": len(rows),
        "right": sum(r["right"] for r in rows),
        "in_set": sum(r["in_set"] for r in rows),
        "median_evaluations": _median([r["n"] for r in rows if r["right"]]),
        "max_cpu_s": max(r["cpu_s"] for r in rows),
    }


def _median(values: Iterable[int | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(median(known)) if known else None


def _recover(case: Path, policy: str, seed: int, options: argparse.Namespace) -> Record:
    """Make a run file from the image alone, run it, judge its finalists."""
    about = json.loads((case / "image.json").read_text())
    mode = "image" if options.image_only else "full"
    folder = options.out / "images" / f"{case.name}_{policy}_{mode}_{seed}"
    run_file = folder.with_suffix(".yaml")
    run_file.parent.mkdir(parents=True, exist_ok=True)
    if not run_file.exists():
        _autoloop(
            *("init", str(case / "image.tif")),
            *("--crystal", about["crystal"].split()[0]),
            *("--pixel-size", str(about["pixel_size_A"]), "-o", str(run_file)),
        )
        _complete(run_file, about, policy, image_only=options.image_only)
    if not folder.exists():
        _autoloop(
            *("run", str(run_file), "--out", str(folder), "--seed", str(seed)),
            *("--evaluations", str(N_EVALUATIONS), "--workers", "1"),
        )
    elif _status(folder)["state"] != "finished":
        _autoloop("resume", str(folder))
    ranked = (p for p in (folder / "best").iterdir() if p.name.isdecimal())
    finalists = sorted(ranked, key=lambda p: int(p.name))
    right = [_is_right(case, about, f, options.image_only) for f in finalists]
    status = _status(folder)
    score = json.loads((finalists[0] / "score.json").read_text())
    answer = json.loads((folder / "best" / "answer.json").read_text())
    return {
        "right": right[0],
        "in_set": any(right[rank - 1] for rank in answer["members"]),
        "n": _first_alike(folder, score["evaluation_id"]),
        "cpu_s": status["cpu_s"],
        "energy": score["energy_j_per_m2"],
        "ssim": score["ssim"],
    }


def _first_alike(folder: Path, evaluation_id: str) -> int:
    """Return after how many evaluations a structure was met for the first time."""
    with Journal.read(folder / "journal.sqlite") as journal:
        evaluations = journal.evaluations()
    answer = next(e for e in evaluations if e.id == evaluation_id)
    return 1 + next(k for k, e in enumerate(evaluations) if alike(e, answer))


def _complete(
    run_file: Path, about: Mapping[str, Any], policy: str, *, image_only: bool
) -> None:
    """Write into a run file what a microscopist knows and no image says."""
    inner, outer = about["detector_mrad"]
    told = {
        "  detector_mrad:": f"  detector_mrad: [{inner}, {outer}]",
        "  beam_energy_kev:": f"  beam_energy_kev: {about['beam_energy_kev']}",
        "  convergence_mrad:": f"  convergence_mrad: {about['convergence_mrad']}",
        "policy:": f"policy: {policy}",
        "energy:": "energy: {potential: " + about["potential"] + "}",
    }
    if image_only:
        told["objective:"] = "objective: {ssim: 1.0, emd: 0.5, energy: 0.0}"
    lines = []
    for line in run_file.read_text().splitlines():
        instead = next((new for key, new in told.items() if line.startswith(key)), line)
        lines.append(instead)
    run_file.write_text("\n".join(lines) + "\n")


def _is_right(
    case: Path, about: Mapping[str, Any], finalist: Path, image_only: bool
) -> bool:
    """Whether a finalist has the true columns within 8 Å of the boundary.

    Recall and precision of 0.98 at 0.5 Å, 0.2 Å RMS, species right in 95 %, and an
    energy at most 5 mJ/m² above the true one (within 10 mJ/m² of a metastable one).
    """
    from scipy.optimize import linear_sum_assignment

    truth = json.loads((case / "truth" / "truth.json").read_text())
    true, height, elements = _columns(case / "truth" / "columns.csv")
    found, _, named = _columns(finalist / "columns.csv")
    high, wide = about["shape"]
    margin = 6
    limit = np.array([wide, high]) - margin
    inner, counted = (np.all((p > margin) & (p < limit), axis=1) for p in (true, found))
    inner &= np.abs(height) < 8.0
    apart = np.linalg.norm(found[:, None] - true[None], axis=2)
    counted &= np.abs(height[apart.argmin(axis=1)]) < 8.0
    t, c = true[inner], found[counted]
    if not len(t) or not len(c):
        return False
    distance = np.linalg.norm(c[None] - t[:, None], axis=2) * truth["pixel_size_A"]
    i, j = linear_sum_assignment(np.minimum(distance, 5.0))
    close = distance[i, j] <= 0.5
    if close.sum() < 0.98 * max(len(t), len(c)):
        return False
    names = [
        (elements[inner][a], named[counted][b])
        for a, b in zip(i[close], j[close], strict=True)
        if sum(letter.isupper() for letter in elements[inner][a]) == 1
    ]
    rms = float(np.sqrt(np.mean(distance[i, j][close] ** 2)))
    species = all(not n for n in names) or np.mean([a == b for a, b in names]) >= 0.95
    return (
        rms <= 0.2 and bool(species) and (image_only or _energy_right(finalist, truth))
    )


def _energy_right(finalist: Path, truth: Mapping[str, Any]) -> bool:
    score = json.loads((finalist / "score.json").read_text())
    if score["energy_j_per_m2"] is None:
        return False
    above = score["energy_j_per_m2"] - truth["gamma_J_per_m2"]
    return abs(above) <= 0.01 if truth.get("metastable") else above <= 0.005


def _columns(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    places = np.array([[float(r["x_px"]), float(r["y_px"])] for r in rows])
    height = [float(r.get("distance_to_boundary_A", "nan")) for r in rows]
    return (
        places.reshape(-1, 2),
        np.array(height),
        np.array([r["element"] for r in rows]),
    )


def _status(folder: Path) -> Record:
    return dict(json.loads(_autoloop("status", str(folder), "--json")))


def _autoloop(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "autoloop", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode not in (0, 5):
        raise SystemExit(
            f"autoloop {' '.join(arguments)} ended with {done.returncode}: "
            f"{done.stderr.strip()[-500:]}"
        )
    return done.stdout


# -- figures ---------------------------------------------------------------------------


def _draw(
    path: Path, title: str, counts: Mapping[str, Sequence[int | None]], limit: int
) -> None:
    """Draw the share of runs that succeeded against the number of evaluations."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    for policy, numbers in counts.items():
        steps = sorted(n for n in numbers if n is not None)
        share = np.arange(len(steps) + 1) / len(numbers)
        axes.step(
            [0, *steps, limit],
            [*share, share[-1]],
            where="post",
            label=f"{policy} ({len(numbers)} runs)",
        )
    axes.set(xlabel="evaluations", ylabel="share of runs", title=title, ylim=(0, 1.02))
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
