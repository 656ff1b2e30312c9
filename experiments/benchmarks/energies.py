"""Boundary energies of known boundaries, found by the program, against references.

    python experiments/benchmarks/energies.py [--quick] [--only NAME] [--out DIR]

Runs each run file of the folder `energies` with `autoloop run`, and prints computed and
reference energies. Most of them draw boundaries at random; the one with two periods has
a policy of its own beside it that also repeats the cell, takes atoms and anneals. Runs
that have finished in DIR are not repeated, runs that were cut are resumed. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_FILES = Path(__file__).parent / "energies"
TOLERANCE = 0.005
"""Largest difference that counts as agreement [J/m²]."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One known boundary.

    Attributes
    ----------
    name : str
        Its run file, without ending.
    title : str
        As people call it.
    reference : float, optional
        Energy from an independent search with the same potential [J/m²], if there is
        one.
    source : str
        Where it is published, or what else is known.
    quick : bool
        Whether the quick benchmark runs it.
    """

    name: str
    title: str
    reference: float | None
    source: str = ""
    quick: bool = False


ROWS = (
    Row(
        name="cu_s3_111",
        title="Cu S3(111) [110]",
        reference=0.0222,
        source="0.022, npj Comput. Mater. 2021",
        quick=True,
    ),
    Row(
        name="cu_s5_310",
        title="Cu S5(310) [001]",
        reference=0.9048,
        source="0.905, Frolov et al., Nat. Commun. 2013",
        quick=True,
    ),
    Row(
        name="cu_s5_210",
        title="Cu S5(210) [001], one period",
        reference=0.9511,
        source="0.951, GRIP",
    ),
    Row(
        name="cu_s5_210_two_periods",
        title="  two periods, thinned, annealed",
        reference=0.9422,
        source="0.942, GRIP",
    ),
    Row(name="cu_s11_113", title="Cu S11(113) [110]", reference=0.3098),
    Row(name="al_s5_310", title="Al S5(310) [001]", reference=0.4898),
    Row(name="si_s3_111", title="Si S3(111) [110]", reference=0.0),
    Row(name="si_s3_111_tersoff", title="Si S3(111), Tersoff Si(C)", reference=0.0),
    Row(
        name="si_s5_310",
        title="Si S5(310) [001]",
        reference=0.6651,
        source="0.67, thesis of Elankovan",
    ),
    Row(name="si_s5_310_tersoff", title="Si S5(310), Tersoff Si(C)", reference=0.6542),
    Row(name="si_s9_221", title="Si S9(221) [110]", reference=0.4535, quick=True),
    Row(name="cdte_s3_111", title="CdTe S3(111) [110] twin", reference=0.0),
    Row(name="cdte_s5_310", title="CdTe S5(310) [001], Gamma 0", reference=0.504),
    Row(
        name="cdte_s3_112",
        title="CdTe S3(112) [110], Gamma 0",
        reference=0.779,
    ),
    Row(
        name="cdte_s3_112_mirror",
        title="  the same, polarities reversed",
        reference=None,
    ),
    Row(
        name="cdte_s3_112_turned",
        title="  the same, polarity changes",
        reference=None,
    ),
    Row(
        name="cdte_s3_112_cd_rich",
        title="  Cd-rich limit, any composition",
        reference=None,
        source="an earlier search ended in 0.629, here the second best",
    ),
    Row(
        name="cdte_s3_112_te_rich",
        title="  Te-rich limit, any composition",
        reference=0.681,
    ),
    Row(
        name="cdte_s9_221",
        title="CdTe S9(221) [110], Gamma 0",
        reference=0.396,
        quick=True,
    ),
)


def main() -> int:
    """Run what has not run, print the table; 1 if an energy is off."""
    options = _options()
    rows = [r for r in ROWS if r.quick or not options.quick]
    if options.only:
        rows = [r for r in ROWS if r.name in options.only]
    print(f"{'boundary':32} {'computed':>9} {'reference':>9} {'diff.':>8}", end="")
    print(f" {'evals':>6} {'failed':>6} {'CPU s':>7}  published")
    results = []
    for row in rows:
        result = _measure(row, options)
        results.append(result)
        print(_line(row, result), flush=True)
    compared = [r for r in results if r["difference_j_per_m2"] is not None]
    off = [r["name"] for r in compared if abs(r["difference_j_per_m2"]) > TOLERANCE]
    worst = max((abs(r["difference_j_per_m2"]) for r in compared), default=None)
    print(
        json.dumps(
            {
                "rows": results,
                "compared": len(compared),
                "within_5_mj": len(compared) - len(off),
                "off": off,
                "largest_difference_j_per_m2": worst,
            }
        )
    )
    return 1 if off else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="four rows, a minute")
    parser.add_argument(
        "--only",
        action="append",
        choices=[r.name for r in ROWS],
        metavar="NAME",
        help="one row; may be given several times",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmarks/energies"),
        help="folder of the runs; what finished there is not repeated",
    )
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _measure(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    folder = options.out / row.name
    state = _status(folder).get("state") if folder.exists() else None
    if state is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_file = str(RUN_FILES / f"{row.name}.yaml")
        workers = str(options.workers)
        _autoloop("run", run_file, "--out", str(folder), "--workers", workers)
    elif state != "finished":
        _autoloop("resume", str(folder))
    status = _status(folder)
    energy = (status.get("best") or {}).get("energy_j_per_m2")
    known = energy is not None and row.reference is not None
    return {
        "name": row.name,
        "energy_j_per_m2": energy,
        "reference_j_per_m2": row.reference,
        "difference_j_per_m2": energy - row.reference if known else None,
        "evaluations": status["evaluations"],
        "failed": status["failed"],
        "cpu_s": status["cpu_s"],
    }


def _status(folder: Path) -> dict[str, Any]:
    return dict(json.loads(_autoloop("status", str(folder), "--json")))


def _autoloop(*arguments: str) -> str:
    """Run the program; its output. Exit status 5 (all failed) is a result too."""
    done = subprocess.run(
        [sys.executable, "-m", "autoloop", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 5):
        raise SystemExit(
            f"autoloop {' '.join(arguments)} ended with {done.returncode}: "
            f"{done.stderr.strip()[-500:]}"
        )
    return done.stdout


def _line(row: Row, result: dict[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    columns = [number(result["energy_j_per_m2"]), number(row.reference)]
    difference = result["difference_j_per_m2"]
    shown = "-" if difference is None else f"{difference:+.4f}"
    return (
        f"{row.title:32} {columns[0]:>9} {columns[1]:>9} {shown:>8} "
        f"{result['evaluations']:>6} {result['failed']:>6} {result['cpu_s']:>7.1f}  "
        f"{row.source}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
