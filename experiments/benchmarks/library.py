"""How often the library tells which crystal an image shows, and how fast.

    python experiments/benchmarks/library.py [--quick] [--library DIR] [--targets N]
        [--out DIR] [--tune | --fresh]

Targets are entries of the library, distorted (`distortions.py`): all turned by any
angle, moved by up to a period, seen from either side. For each level: how often the
entry comes first and among the first five, by the fused score, and by MSE, SSIM and EMD
alone among the entries that were aligned. A second table has the measures alone over
some hundred entries, with every entry aligned and with none, on targets as they lie in
the library and on turned and moved ones.

Then: how often nothing is said to fit, for targets whose structure is left out and for
those whose entry is there; precision and recall over the threshold; the CPU time of a
query, also with copies of descriptors up to 100000 entries, which cost what real ones
do.

With --tune the weights of that verdict (`autoloop.library.verdict`) are found instead,
on structures that no target of the benchmark is of. With --fresh it is measured alone,
at four levels, on targets of structures that had no part in either: neither weights nor
threshold were chosen with them in view.

Without a library one is built from the built-in crystals, and from prototypes where
they are installed: all of them, with --quick 24. Every query is one line of
DIR/queries.jsonl and is not repeated; smaller runs are part of larger ones. All times
are CPU seconds of one thread. The last line is one JSON object.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # for the files beside this one

from distortions import LEVELS, PIXEL_SIZE, UNPOSED, streams, target
from library_queries import (
    ABSENT,
    MEASURES,
    SEED,
    Record,
    Records,
    fits,
    measured,
    ranked_alone,
    sureness,
)

from autoloop.domain import Image
from autoloop.errors import AutoloopError
from autoloop.library.build import build
from autoloop.library.search import SCALE_BOUND, THOROUGH, nearest
from autoloop.library.sources import INSTALL, crystal_sources, prototype_version
from autoloop.library.spectra import patches, polar, transform
from autoloop.library.store import INDEX, Library, load
from autoloop.library.verdict import COMMON, FITS, Evidence, terms

Array = NDArray[np.float64]
Levels = dict[str, list[Record]]

SIZES: Final = (1_000, 10_000, 100_000)
STEPS: Final = (25, 50, 100, 200, 400)
"""Targets a level after which the next level has its turn: what a run that was cut has
measured is spread evenly."""
LEFT_OUT: Final = ("clean", "noise", "2 % affine", "as measured")
"""Levels at which targets have their structure left out, too."""
ABSENTEES: Final = 100
"""Of each of these levels."""
TUNED: Final = (*LEFT_OUT, "all", "as measured", "point defects", "blur, low counts")
"""Levels of the targets that the verdict is tuned with, in turn."""
N_TUNED: Final = 240
RIDGE: Final = 0.3
"""Of the regression, in units of each figure's spread."""


def opened(folder: Path | None, out: Path, quick: bool) -> tuple[Library, float]:
    """Return the library and the CPU seconds that loading it took."""
    place = folder or out / ("library_quick" if quick else "library")
    if folder is None and not (place / INDEX).is_file():
        if prototype_version() is None:
            print(f"only built-in crystals; for prototypes: {INSTALL}")
        sources = crystal_sources(prototypes=prototype_version() is not None)
        if quick:
            chosen = np.random.default_rng(SEED).permutation(len(sources))[:24]
            sources = [sources[k] for k in sorted(chosen)]
        start = time.perf_counter()
        found = build(sources, place)
        print(
            f"built {len(found.library)} entries of {found.n_views} views from "
            f"{len(sources)} structures in {time.perf_counter() - start:.0f} s; "
            f"{len(found.skipped)} left out"
        )
    start = time.process_time()
    library = load(place)
    return library, time.process_time() - start


def top(found: Sequence[Record], measure: str, k: int) -> float:
    """Return the share of the targets whose entry is among the first k."""
    return float(np.mean([0 <= record[measure] < k for record in found]))


def table(levels: Levels) -> str:
    """Return top-1 and top-5 by level and measure."""
    head = "".join(f"{m:>14}" for m in ("fused", "MSE", "SSIM", "EMD"))
    lines = [f"{'top-1 / top-5':20}{head}{'CPU ms':>9}{'fits':>8}"]
    for name, found in levels.items():
        cells = "".join(
            f"{top(found, m, 1):8.3f}/{top(found, m, 5):.3f}" for m in MEASURES
        )
        ms = 1e3 * float(np.median([record["cpu_s"] for record in found]))
        share = float(np.mean([fits(record) for record in found]))
        lines.append(f"{name:20}{cells}{ms:9.0f}{share:8.3f}")
    return "\n".join(lines)


def measures_alone(
    library: Library, records: Records, n_targets: int, n_entries: int
) -> str:
    """Return top-1 of single measures, every entry aligned or none."""
    rng = np.random.default_rng(SEED)
    some = library.chosen(np.sort(rng.permutation(len(library))[:n_entries]).tolist())
    entries = np.random.default_rng(SEED + 1).permutation(len(some))[:n_targets]
    kinds = [
        (f"{k}, turned and moved", LEVELS[k], way)
        for way in (True, False)
        for k in UNPOSED
    ]
    for n in [*(step for step in STEPS if step < n_targets), n_targets]:
        for name, how, way in kinds:
            ranked_alone(some, records, name, how, entries[:n].tolist(), way)
        print(f"{n} targets for measures alone", file=sys.stderr, flush=True)
    kinds += [(f"{k}, in place", how, False) for k, how in UNPOSED.items()]
    rows = [
        ranked_alone(some, records, name, how, entries.tolist(), way)
        for name, how, way in kinds
    ]
    lines = [
        f"{len(rows[0])} targets, {len(some)} entries",
        f"{'top-1 / top-5 alone':40}{'MSE':>14}{'SSIM':>14}{'EMD':>14}",
    ]
    for (name, _, aligned), found in zip(kinds, rows, strict=True):
        row = "".join(
            f"{top(found, m, 1):8.3f}/{top(found, m, 5):.3f}" for m in MEASURES[1:]
        )
        lines.append(f"{name + (', aligned' if aligned else ''):40}{row}")
    return "\n".join(lines)


def refusals(there: Levels, absent: Levels) -> tuple[str, dict[str, float]]:
    """Return precision and recall by threshold, and the rates at the program's own.

    Those over all levels together are without 'as measured', which is given apart.
    """
    lines = [f"{'fits from':>16}{'precision':>11}{'recall':>8}{'refused':>9}"]
    plain = [r for name in LEFT_OUT[:-1] for r in there[name]]
    other = [r for name in LEFT_OUT[:-1] for r in absent[name]]
    for threshold in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 0.97):
        said = [r for r in (*plain, *other) if sureness(r) >= threshold]
        right = [r for r in said if r["level"][:6] != ABSENT and r["score"] == 0]
        refused = np.mean([sureness(r) < threshold for r in other])
        lines.append(
            f"{threshold:16.2f}{len(right) / max(1, len(said)):11.3f}"
            f"{len(right) / max(1, len(plain)):8.3f}{refused:9.3f}"
        )
    every = [r for found in there.values() for r in found]
    own = {
        "refused_absent": refused_share(other),
        "refused_present": refused_share(plain),
        "refused_absent_as_measured": refused_share(absent[LEFT_OUT[-1]]),
        "refused_present_as_measured": refused_share(there[LEFT_OUT[-1]]),
        "refused_present_all_levels": refused_share(every),
    }
    lines.append(f"at the program's threshold, {FITS}, nothing is said to fit in")
    groups = (
        (", ".join(LEFT_OUT[:-1]), other, plain),
        (LEFT_OUT[-1], absent[LEFT_OUT[-1]], there[LEFT_OUT[-1]]),
    )
    lines += [
        f"  {name}: {refused_share(without):.3f} of {len(without)} whose structure is "
        f"left out, {refused_share(within):.3f} of {len(within)} whose entry is there"
        for name, without, within in groups
    ]
    lines.append(
        f"  all levels: {own['refused_present_all_levels']:.3f} of {len(every)} whose "
        "entry is there"
    )
    return "\n".join(lines), own


def refused_share(found: Sequence[Record]) -> float:
    """Return the share in which nothing is said to fit."""
    return float(np.mean([not fits(record) for record in found]))


def verdict_alone(library: Library, records: Records, entries: list[int]) -> str:
    """Return how often the verdict is right on targets of some entries."""
    there, absent = (
        {k: measured(library, records, k, entries, absent=way) for k in LEFT_OUT}
        for way in (False, True)
    )
    text, own = refusals(there, absent)
    return f"{len(entries)} targets a level\n{text}\n{json.dumps(own)}"


def tuned(library: Library, records: Records, entries: list[int]) -> str:
    """Return weights of the verdict, and how often it is right on what gave them."""
    found: list[Record] = []
    for k, entry in enumerate(entries):
        level = TUNED[k % len(TUNED)]
        for absent in (False, True):
            found += measured(library, records, level, [entry], absent=absent)
    figures = np.array([terms(Evidence(**r["evidence"])) for r in found])
    there = np.array([r["level"][:6] != ABSENT for r in found])
    weights, offset = regression(figures, there)
    common = np.array([r["evidence"]["common"] for r in found])
    chances = 1.0 / (1.0 + np.exp(-(figures @ weights + offset + COMMON * common)))
    lines = [f"weights {np.round(weights, 2).tolist()}, offset {offset:.2f}"]
    for name in dict.fromkeys(TUNED):
        own = np.array([r["level"].endswith(name) for r in found])
        if np.any(own & there):
            lines.append(
                f"{name:20}refused of the absent "
                f"{np.mean(chances[own & ~there] < FITS):.3f}, of those there "
                f"{np.mean(chances[own & there] < FITS):.3f}"
            )
    lines.append(
        f"{'all of these':20}refused of the absent "
        f"{np.mean(chances[~there] < FITS):.3f}, of those there "
        f"{np.mean(chances[there] < FITS):.3f}, of {len(entries)} entries"
    )
    return "\n".join(lines)


def regression(figures: Array, there: NDArray[np.bool_]) -> tuple[Array, float]:
    """Return weights (k,) and offset of a logistic regression on figures (n, k)."""
    mean, spread = figures.mean(axis=0), figures.std(axis=0)
    design = np.column_stack(((figures - mean) / spread, np.ones(len(figures))))
    penalty = np.diag([RIDGE] * figures.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        chances = 1.0 / (1.0 + np.exp(-(design @ weights)))
        slope = design.T @ (there - chances) - penalty @ weights
        bend = (design * (chances * (1 - chances))[:, None]).T @ design + penalty
        weights = weights + np.linalg.solve(bend, slope)
    own = weights[:-1] / spread
    return own, float(weights[-1] - own @ mean)


def growth(library: Library, query_ms: float) -> dict[str, float]:
    """Return the CPU milliseconds of a query over more entries than there are.

    Only the first step of a search sees all entries: it is measured on copies of
    descriptors, and the others are what they are here.
    """
    image = target(library.view(0), LEVELS["clean"], streams(SEED, "growth", [0])[0])
    rings = polar([transform(patches(Image(values=image, pixel_size=PIXEL_SIZE))[0])])
    own = np.asarray(library.descriptors)

    def first_step(descriptors: NDArray[np.float32]) -> float:
        taken = []
        for _ in range(4):
            start = time.process_time()
            nearest(descriptors, rings, SCALE_BOUND, THOROUGH.turned)
            taken.append(time.process_time() - start)
        return 1e3 * float(np.median(taken[1:]))

    rest = query_ms - first_step(own)
    rng = np.random.default_rng(SEED)
    curve = {str(len(library)): round(query_ms, 1)}
    for size in SIZES:
        copies = own[rng.integers(0, len(own), size)]
        curve[str(size)] = round(rest + first_step(copies), 1)
    return curve


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few targets")
    parser.add_argument("--library", type=Path, help="one that is built already")
    parser.add_argument("--targets", type=int, help="of each level (default: 400)")
    parser.add_argument(
        "--tune", action="store_true", help="find the weights of the verdict"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="only the verdict, on other structures"
    )
    parser.add_argument("--out", type=Path, help="folder that stays (default: none)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        try:
            _run(arguments, out)
        except AutoloopError as error:
            parser.exit(error.exit_status, f"library: {error}\n")
    return 0


def _run(arguments: argparse.Namespace, out: Path) -> None:
    library, load_s = opened(arguments.library, out, arguments.quick)
    print(f"{len(library)} entries, loaded in {load_s:.2f} CPU-s")
    records = Records(out / "queries.jsonl", library.sha256)
    n_targets = arguments.targets or (6 if arguments.quick else STEPS[-1])
    order = np.random.default_rng(SEED).permutation(len(library)).tolist()
    spare = {library.names[k].prototype for k in order[: STEPS[-1]]}
    others = [k for k in order if library.names[k].prototype not in spare]
    if arguments.tune:
        print(tuned(library, records, others[: arguments.targets or N_TUNED]))
        return
    if arguments.fresh:
        used = {library.names[k].prototype for k in others[:N_TUNED]}
        fresh = [k for k in others if library.names[k].prototype not in used]
        print(verdict_alone(library, records, fresh[: arguments.targets or ABSENTEES]))
        return
    there: Levels = {}
    absent: Levels = {}
    for n in [*(step for step in STEPS if step < n_targets), n_targets]:
        left_out = order[: min(n, ABSENTEES)]
        there = {k: measured(library, records, k, order[:n]) for k in LEVELS}
        absent = {
            k: measured(library, records, k, left_out, absent=True) for k in LEFT_OUT
        }
        print(f"{n} targets a level", file=sys.stderr, flush=True)
    few = max(4, n_targets // 4), 24 if arguments.quick else 400
    alone = measures_alone(library, records, *few)
    text, own = refusals(there, absent)
    every = [record for found in there.values() for record in found]
    query_ms = 1e3 * float(np.median([record["cpu_s"] for record in every]))
    curve = growth(library, query_ms)
    print(f"\n{n_targets} targets a level\n{table(there)}\n\n{text}\n\n{alone}\n")
    print(
        "entries: CPU ms a query; " + ", ".join(f"{k}: {v}" for k, v in curve.items())
    )
    last = {
        "entries": len(library),
        "targets": len(every),
        "top1": round(top(every, "score", 1), 4),
        "top5": round(top(every, "score", 5), 4),
        "query_ms": round(query_ms, 1),
        "top1_by_level": {k: round(top(v, "score", 1), 4) for k, v in there.items()},
        **{k: round(v, 4) for k, v in own.items()},
        "query_ms_by_entries": curve,
        "load_s": round(load_s, 3),
    }
    print(json.dumps(last))


if __name__ == "__main__":
    raise SystemExit(main())
