"""How often the right structure is found from its image, and in how few relaxations.

    python experiments/benchmarks/recovery.py [--quick] [--part images|energy] [--seen]
        [--only NAME]... [--policy NAME]... [--seeds N] [--cases DIR] [--out DIR]

Images: `autoloop init` writes a run file from each simulated image of a folder of cases
(image.tif, image.json, and the truth, which the program never sees), `autoloop run`
searches, and the finalists are compared with the truth column by column.

Energy: the number of relaxations until a boundary is within 3 mJ/m² of its known energy
or below, for several policies in the same search space, without an image; with --seen
the portfolio has an image of that boundary besides, and is held against the portfolio
without. Two counts: of boundaries relaxed to the end, and of all force evaluations
times atoms, brief trials included, in units of what a relaxation of the baseline takes.
Runs are censored at a limit; means of censored numbers have bootstrap intervals of
95 %.

Every run is one line of DIR/runs.jsonl and is not repeated. Writes figures of success
against evaluations; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np
from recovery_energies import efficiency
from recovery_images import N_EVALUATIONS, recover
from recovery_records import Record, keep, read_records, seeds
from recovery_tables import draw, median_of

HERE: Final = Path(__file__).parent
CASES: Final = HERE.parents[2] / "shared" / "data" / "synthetic"


def main() -> int:
    """Run what has not run, print the tables, draw the figures."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    records = read_records(options.out / "runs.jsonl")
    summary: Record = {"runs": 0, "right": 0, "in_set": 0, "median_evaluations": None}
    if options.part in (None, "images"):
        summary.update(_images(options, records))
    if options.part in (None, "energy"):
        summary["efficiency"] = efficiency(options, records)
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
    parser.add_argument(
        "--seen", action="store_true", help="energies: with an image as well"
    )
    parser.add_argument("--image-only", action="store_true", help="energy weight 0")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmarks/recovery"),
        help="folder of the runs; what finished there is not repeated",
    )
    return parser.parse_args()


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
        for seed in seeds(options, full=5, quick=1):
            key = f"image {case.name} {policy} {seed} {int(options.image_only)}"
            if key not in records:
                run = recover(case, policy, seed, options)
                records[key] = keep(options, {"key": key, **run})
            found.append(records[key])
        rows += found
        print(
            f"{case.name:34} {len(found):>5} {sum(r['right'] for r in found):>5} "
            f"{sum(r['in_set'] for r in found):>6} "
            f"{median_of([r['n'] for r in found])!s:>11} "
            f"{np.mean([r['cpu_s'] for r in found]):>6.1f}",
            flush=True,
        )
    curve = {policy: [r["n"] if r["right"] else None for r in rows]}
    draw(options.out / "images.png", "all images", curve, N_EVALUATIONS)
    return {
        "runs": len(rows),
        "right": sum(r["right"] for r in rows),
        "in_set": sum(r["in_set"] for r in rows),
        "median_evaluations": median_of([r["n"] for r in rows if r["right"]]),
        "max_cpu_s": max(r["cpu_s"] for r in rows),
    }


if __name__ == "__main__":
    raise SystemExit(main())
