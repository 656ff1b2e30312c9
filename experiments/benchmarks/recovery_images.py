"""One run from a simulated image to its finalists, held against the truth."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import alike
from autoloop.journal import Journal

N_EVALUATIONS: Final = 60
"""Budget of a run on an image."""
Record = dict[str, Any]


def recover(case: Path, policy: str, seed: int, options: argparse.Namespace) -> Record:
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
