"""How often the library tells which crystal an image shows, and how fast.

    python experiments/benchmarks/library.py [--quick] [--library DIR] [--targets N]
        [--out DIR]

Targets are entries of the library, distorted (`distortions.py`): all turned by any
angle, moved by up to a period, seen from either side. For each level: how often the
entry comes first and among the first five, by the fused score, and by MSE, SSIM and EMD
alone among the entries that were aligned. A second table has the measures alone over
some hundred entries, with every entry aligned and with none, on targets as they lie in
the library and on turned and moved ones.

Then: how often nothing is said to fit, for targets whose entry is left out and for
those whose entry is there; precision and recall over the threshold; the CPU time of a
query, also with copies of descriptors up to 100000 entries, which cost what real ones
do.

Without a library one is built from the built-in crystals, and from prototypes where
they are installed: all of them, with --quick 24. Every query is one line of
DIR/queries.jsonl and is not repeated. All times are CPU seconds of one thread. The last
line is one JSON object.
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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # for the targets beside this file

from distortions import LEVELS, PIXEL_SIZE, UNPOSED, Distortion, streams, target

from autoloop.domain import Image
from autoloop.errors import AutoloopError
from autoloop.library.alignment import Pose
from autoloop.library.build import ALIKE, build
from autoloop.library.scores import Figures, figures, prepare_query
from autoloop.library.search import (
    FITS,
    SCALE_BOUND,
    THOROUGH,
    Answer,
    Depth,
    Match,
    nearest,
    search,
)
from autoloop.library.sources import INSTALL, crystal_sources, prototype_version
from autoloop.library.spectra import patches, polar, transform
from autoloop.library.store import INDEX, Library, load

Array = NDArray[np.float64]
Record = dict[str, Any]

SEED: Final = 1
MEASURES: Final = ("score", "mse", "ssim", "emd_angstrom_per_column")
ABSENT: Final = "absent"
"""Levels of targets whose entry is left out begin so."""
SIZES: Final = (1_000, 10_000, 100_000)


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


class Records:
    """The queries that were made: one line each, by level and entry."""

    def __init__(self, file: Path, sha256: str) -> None:
        self.file, self.sha256 = file, sha256
        self.known: dict[tuple[str, int], Record] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:  # the last line of a run that was cut
                    continue
                if record["sha256"] == sha256:
                    self.known[record["level"], record["entry"]] = record

    def add(self, level: str, entry: int, record: Record) -> Record:
        """Keep a record."""
        record = {"level": level, "entry": entry, "sha256": self.sha256, **record}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        self.known[level, entry] = record
        return record


def measured(
    library: Library, records: Records, name: str, how: Distortion, entries: list[int]
) -> list[Record]:
    """Look for the targets of a level, among the others if they are to be absent."""
    absent = name.startswith(ABSENT)
    found = []
    for entry, rng in zip(entries, streams(SEED, name, entries), strict=True):
        if (name, entry) not in records.known:
            image = target(library.view(entry), how, rng)
            family = look_alikes(library, entry) if absent else []
            start = time.process_time()
            answer = search(library, image, PIXEL_SIZE, without=family)
            taken = time.process_time() - start
            records.add(name, entry, {"cpu_s": taken, **ranks(answer, entry)})
        found.append(records.known[name, entry])
    return found


def look_alikes(library: Library, entry: int) -> list[int]:
    """Return all views of an entry's structure, and what differs from it in size."""
    image = target(library.view(entry), LEVELS["clean"], np.random.default_rng(SEED))
    most = THOROUGH.aligned
    found = search(library, image, PIXEL_SIZE, top=most, depth=Depth(scored=most))
    alike = {m.index for m in found.matches if m.pose.explained >= ALIKE}
    own = library.names[entry].prototype
    views = {k for k, name in enumerate(library.names) if name.prototype == own}
    return sorted(alike | views)


def ranks(answer: Answer, entry: int) -> Record:
    """Return the place of an entry by each measure, from 0; -1 where it is missing."""
    places: Record = {
        "fits": answer.fits,
        "confidence": answer.confidence,
        "explained": answer.matches[0].pose.explained,
        "first": answer.matches[0].index,
        "first_score": answer.matches[0].score,
    }
    for measure in MEASURES:
        order = sorted(answer.matches, key=lambda m: -goodness(m, measure))
        indices = [match.index for match in order]
        places[measure] = indices.index(entry) if entry in indices else -1
    return places


def goodness(found: Match | Figures, measure: str) -> float:
    """Return a measure such that more is better."""
    if isinstance(found, Match) and measure != "score":
        return goodness(found.figures, measure)
    value = float(getattr(found, measure))
    return value if measure in ("score", "ssim") else -value


def top(found: Sequence[Record], measure: str, k: int) -> float:
    """Return the share of the targets whose entry is among the first k."""
    return float(np.mean([0 <= record[measure] < k for record in found]))


def table(levels: dict[str, list[Record]]) -> str:
    """Return top-1 and top-5 by level and measure."""
    head = "".join(f"{m:>14}" for m in ("fused", "MSE", "SSIM", "EMD"))
    lines = [f"{'top-1 / top-5':20}{head}{'CPU ms':>9}{'explained':>11}"]
    for name, found in levels.items():
        cells = "".join(
            f"{top(found, m, 1):8.3f}/{top(found, m, 5):.3f}" for m in MEASURES
        )
        ms = 1e3 * float(np.median([record["cpu_s"] for record in found]))
        share = float(np.quantile([record["explained"] for record in found], 0.05))
        lines.append(f"{name:20}{cells}{ms:9.0f}{share:11.3f}")
    return "\n".join(lines)


def measures_alone(
    library: Library, records: Records, n_targets: int, n_entries: int
) -> str:
    """Return top-1 of single measures, every entry aligned or none."""
    rng = np.random.default_rng(SEED)
    some = library.chosen(np.sort(rng.permutation(len(library))[:n_entries]).tolist())
    whole = Depth(turned=len(some), aligned=len(some), scored=len(some))
    lines = [f"{'top-1 alone':40}{'MSE':>8}{'SSIM':>8}{'EMD':>8}"]
    kinds = [(f"{k}, in place", v) for k, v in UNPOSED.items()]
    kinds += [(f"{k}, turned and moved", LEVELS[k]) for k in UNPOSED]
    for name, how in kinds:
        entries = list(range(min(n_targets, len(some))))
        for aligned in (False, True):
            key = f"{'aligned' if aligned else 'as it is'}: {name}"
            found = []
            for k, stream in zip(entries, streams(SEED, name, entries), strict=True):
                if (key, k) not in records.known:
                    image = target(some.view(k), how, stream)
                    if aligned:
                        answer = search(
                            some, image, PIXEL_SIZE, top=len(some), depth=whole
                        )
                        record = ranks(answer, k)
                    else:
                        record = unaligned(some, image, k)
                    records.add(key, k, record)
                found.append(records.known[key, k])
            row = "".join(f"{top(found, m, 1):8.3f}" for m in MEASURES[1:])
            lines.append(f"{key:40}{row}")
    return "\n".join(lines)


def unaligned(library: Library, image: Array, entry: int) -> Record:
    """Return the place of an entry among all, each compared as it lies."""
    query = prepare_query(patches(Image(values=image, pixel_size=PIXEL_SIZE))[0])
    still = Pose(matrix=np.eye(2), shift=np.zeros(2), blur=0.4, explained=0.0)
    found = [figures(query, library.view(k), still) for k in range(len(library))]
    places: Record = {}
    for measure in MEASURES:
        values = np.array([goodness(one, measure) for one in found])
        places[measure] = int(np.sum(values > values[entry]))
    return places


def refusals(
    there: Sequence[Record], absent: Sequence[Record]
) -> tuple[str, dict[str, float]]:
    """Return precision and recall by threshold, and the rates at the program's own."""
    lines = [f"{'explained above':>16}{'precision':>11}{'recall':>8}{'refused':>9}"]
    for threshold in (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99):
        said = [r for r in (*there, *absent) if r["explained"] >= threshold]
        right = [r for r in said if r["level"][:6] != ABSENT and r["score"] == 0]
        refused = np.mean([r["explained"] < threshold for r in absent])
        lines.append(
            f"{threshold:16.2f}{len(right) / max(1, len(said)):11.3f}"
            f"{len(right) / max(1, len(there)):8.3f}{refused:9.3f}"
        )
    own = {
        "refused_absent": float(np.mean([not r["fits"] for r in absent])),
        "refused_present": float(np.mean([not r["fits"] for r in there])),
    }
    lines.append(
        f"at the program's threshold, {FITS}: nothing fits in "
        f"{own['refused_absent']:.3f} of {len(absent)} whose entry is left out, in "
        f"{own['refused_present']:.3f} of {len(there)} whose entry is there"
    )
    return "\n".join(lines), own


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
    n_targets = arguments.targets or (6 if arguments.quick else 400)
    order = np.random.default_rng(SEED).permutation(len(library))
    entries = np.sort(order[:n_targets]).tolist()
    levels = {}
    for name, how in LEVELS.items():
        levels[name] = measured(library, records, name, how, entries)
        print(f"{name}: {top(levels[name], 'score', 1):.3f}", file=sys.stderr)
    print(f"\n{len(entries)} targets a level\n{table(levels)}\n")
    few_levels = ("clean", "noise", "2 % affine")
    left_out = entries[: max(6, n_targets // 4)]
    absent = [
        r
        for name in few_levels
        for r in measured(library, records, f"{ABSENT}, {name}", LEVELS[name], left_out)
    ]
    there = [r for name in few_levels for r in levels[name]]
    text, own = refusals(there, absent)
    print(text)
    few = max(4, n_targets // 4), min(400, max(24, n_targets))
    print(f"\n{measures_alone(library, records, *few)}\n")
    every = [record for found in levels.values() for record in found]
    query_ms = 1e3 * float(np.median([record["cpu_s"] for record in every]))
    curve = growth(library, query_ms)
    print(
        "entries: CPU ms a query; " + ", ".join(f"{k}: {v}" for k, v in curve.items())
    )
    last = {
        "entries": len(library),
        "targets": len(every),
        "top1": round(top(every, "score", 1), 4),
        "top5": round(top(every, "score", 5), 4),
        "query_ms": round(query_ms, 1),
        "top1_by_level": {k: round(top(v, "score", 1), 4) for k, v in levels.items()},
        **{k: round(v, 4) for k, v in own.items()},
        "query_ms_by_entries": curve,
        "load_s": round(load_s, 3),
    }
    print(json.dumps(last))


if __name__ == "__main__":
    raise SystemExit(main())
