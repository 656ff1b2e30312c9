"""How a finished run explains a measured tilt boundary, beside a published fit.

    python experiments/benchmarks/tilt.py RUN [RUN ...] [--published CELL.vasp]
        [--middle Å] [--most-energy J/m²]

For every finalist of each run, or with --most-energy for every different structure of
it below that energy:

- SSIM with windows of 35 and 7 pixels, by scikit-image, over 301 pixels across the
  boundary and 159 along it: as candidates are shown in the run, nothing of the
  candidate fitted (`plain`), and with the imaging refitted to the bulk of its grains
  (`refitted`; the core takes no part);
- how far that refit moves the upper grain, along and across the boundary;
- the capped earth mover's distance to the columns detected in the image, within 5 Å of
  the boundary and over one period.

The same distance for a published cell (with --published): a bicrystal with its boundary
normal along the third axis, the boundary at --middle, its period along the second. It
is laid over the detected columns by whatever affine map suits it best, mirrored if need
be: more freedom than the candidates of a run have.

With several runs, the distance between the cores of their structures of lowest cost,
and of largest weight: the same figure between their columns within 5 Å of the boundary.
The last line is one JSON object.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.metrics import structural_similarity

from autoloop.comparison import RESOLVED, Comparison
from autoloop.comparison.refit import placed_candidate
from autoloop.domain import Bicrystal, Columns, Evaluation
from autoloop.errors import AutoloopError
from autoloop.evaluation import load_context
from autoloop.imaging.refine import refine
from autoloop.journal import Journal
from autoloop.scoring.emd import capped_emd, merge_close

ACROSS, ALONG = 301, 159
"""Pixels over which the published fit was scored."""
CORE = 5.0
"""Half-height of the core [Å]."""
FREE = 1.5
"""Unmatched columns this close to the edge of the core are free [Å]."""
SEAM = 1.0
"""Left out at either end of the period [Å]."""
EXPONENT = 1.8
"""Of the atomic number, for the weight of a published cell's columns."""
ONE_COLUMN = 0.35
"""Atoms whose projections lie closer are one column [Å]."""
FIT_HEIGHT = 18.0
"""Columns this far from the boundary take part in laying a published cell [Å]."""

Array = NDArray[np.float64]


class Core:
    """The columns that one micrograph shows at the boundary, over one period."""

    def __init__(self, comparison: Comparison) -> None:
        scene = comparison.scene
        target = scene.target
        self.frame = scene.frame
        self.merge = RESOLVED * target.column_width
        self.half = scene.template.width / 2 - SEAM
        rows, columns = np.nonzero(scene.region)
        middle = np.array([[columns.mean(), rows.mean()]]) + target.offset_px
        self.centre = float(self.frame.to_boundary(middle)[0, 0])
        self.positions = self.frame.to_boundary(target.columns.positions)
        self.seen = self._inside(
            Columns(positions=self.positions, intensities=target.columns.intensities)
        )

    def columns(self, pixels: Array, weights: Array) -> Columns:
        """Return what of a structure's columns the image resolves in the core [Å]."""
        own = Columns(positions=self.frame.to_boundary(pixels), intensities=weights)
        return self._inside(merge_close(own, self.merge))

    def laid_distance(self, pixels: Array, weights: Array) -> float:
        """Return the distance to what is seen after the best affine map onto it [Å]."""
        tree = cKDTree(self.positions)
        _, laid = _affine(self, tree, self.frame.to_boundary(pixels))
        return self.distance(
            self.seen, self.columns(self.frame.to_pixels(laid), weights)
        )

    def distance(self, one: Columns, other: Columns) -> float:
        """Return the capped distance between two sets of columns [Å per column]."""
        return capped_emd(one, other, self._free(one), self._free(other)).value

    def _inside(self, columns: Columns) -> Columns:
        x, y = columns.positions.T
        kept = (np.abs(y) <= CORE) & (np.abs(x - self.centre) <= self.half)
        return Columns(
            positions=columns.positions[kept], intensities=columns.intensities[kept]
        )

    def _free(self, columns: Columns) -> NDArray[np.bool_]:
        x, y = columns.positions.T
        near_side = np.abs(x - self.centre) > self.half - FREE
        return np.asarray((np.abs(y) > CORE - FREE) | near_side)


class Run:
    """A finished run, as its journal has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal.read(folder / "journal.sqlite")
        comparison = load_context(self.journal.get_record("context")).comparison
        if comparison is None:
            raise SystemExit(f"{folder}: a run without a micrograph has no image")
        self.comparison = comparison
        self.core = Core(comparison)
        self.evaluations = {e.id: e for e in self.journal.evaluations() if e.score}

    def finalists(self) -> list[Evaluation]:
        """Return the finalists, best first."""
        return [self.evaluations[score["evaluation_id"]] for score in self._scores()]

    def weightiest(self) -> Evaluation:
        """Return the finalist of largest weight."""
        score = max(self._scores(), key=lambda score: score.get("weight") or 0.0)
        return self.evaluations[score["evaluation_id"]]

    def _scores(self) -> list[dict[str, Any]]:
        ranks = sorted(
            (p for p in (self.folder / "best").iterdir() if p.name.isdigit()),
            key=lambda p: int(p.name),
        )
        return [json.loads((p / "score.json").read_text()) for p in ranks]

    def below(self, energy: float) -> list[Evaluation]:
        """Return the different structures below an energy [J/m²], lowest first."""
        kept: dict[tuple[float, float], Evaluation] = {}
        for evaluation in sorted(self.evaluations.values(), key=_energy):
            score = evaluation.score
            if score is not None and _energy(evaluation) <= energy:
                key = (round(_energy(evaluation), 3), round(score.ssim_35 or 0.0, 2))
                kept.setdefault(key, evaluation)
        return list(kept.values())

    def bicrystal(self, evaluation: Evaluation) -> Bicrystal:
        """Return the relaxed structure of an evaluation."""
        return self.journal.details(evaluation.id).bicrystal

    def core_of(self, bicrystal: Bicrystal) -> Columns:
        """Return the columns of a candidate's core."""
        placement = self.comparison.place(bicrystal)
        return self.core.columns(
            placement.columns.positions, placement.columns.intensities
        )

    def box(self) -> tuple[slice, slice]:
        """Return the rows and columns that are scored."""
        spans = [
            (int(v.min()) + int(v.max())) // 2
            for v in np.nonzero(self.comparison.region)
        ]
        y, x = (
            slice(m - n // 2, m - n // 2 + n)
            for m, n in zip(spans, (ACROSS, ALONG), strict=True)
        )
        return y, x


def _energy(evaluation: Evaluation) -> float:
    score = evaluation.score
    energy = None if score is None else score.energy_j_per_m2
    return np.inf if energy is None else energy


def similarity(measured: Array, simulated: Array) -> tuple[float, float]:
    """Return SSIM with windows of 35 and 7 pixels."""
    wide, narrow = (
        float(
            structural_similarity(
                measured, simulated, win_size=w, data_range=float(np.ptp(measured))
            )
        )
        for w in (35, 7)
    )
    return wide, narrow


def figures(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """Return what is printed of one structure."""
    bicrystal, box = run.bicrystal(evaluation), run.box()
    scene = run.comparison.scene
    translation = run.comparison.register(bicrystal).translation
    placed = placed_candidate(run.comparison, bicrystal, box)
    shown = scene.simulate_crop(bicrystal, translation)[box]
    refitted = refine(placed)
    core = run.core_of(bicrystal)
    return {
        "id": evaluation.id,
        "energy_j_per_m2": _energy(evaluation),
        "plain": similarity(placed.measured, shown),
        "refitted": similarity(placed.measured, refitted.simulated),
        "core_emd": run.core.distance(run.core.seen, core),
        "columns": [len(run.core.seen), len(core)],
    }


def projected(path: Path, middle: float) -> tuple[Array, Array, float]:
    """Return columns (n, 2) [Å] of a published cell, their weights and their period."""
    atoms = ase.io.read(path)
    period, height = atoms.cell[1, 1], atoms.cell[2, 2]
    y = (atoms.positions[:, 2] - middle + height / 2) % height - height / 2
    points = np.column_stack((atoms.positions[:, 1], y))
    kept = np.abs(y) < height / 2 - 10  # of the other boundary, or the surface
    points, weights = points[kept], atoms.numbers[kept] ** EXPONENT
    columns = merge_close(Columns(positions=points, intensities=weights), ONE_COLUMN)
    return columns.positions, columns.intensities, float(period)


def laid(core: Core, columns: Array, period: float) -> Iterator[tuple[float, Array]]:
    """Yield the columns of a cell laid over those seen, with how far off they are."""
    tree = cKDTree(core.positions)
    for mirror in itertools.product((1, -1), (1, -1)):
        own = columns * mirror
        tiled = np.concatenate([own + np.array([k * period, 0]) for k in range(-2, 3)])
        starts = []
        for dx, dy in itertools.product(
            np.arange(0, period, 0.5), np.arange(-4, 4.01, 0.5)
        ):
            at = tiled + np.array([dx + core.centre - period / 2, dy])
            off = tree.query(at[_near(core, at, 14.0, core.half)])[0]
            starts.append((float(np.minimum(off, 1.0).mean()), dx, dy))
        for _, dx, dy in sorted(starts)[:5]:
            yield _affine(
                core, tree, tiled + np.array([dx + core.centre - period / 2, dy])
            )


def _near(core: Core, at: Array, height: float, half: float) -> NDArray[np.bool_]:
    return np.asarray(
        (np.abs(at[:, 1]) < height) & (np.abs(at[:, 0] - core.centre) < half)
    )


def _affine(core: Core, tree: Any, start: Array) -> tuple[float, Array]:
    """Return the best affine map of columns to those seen, from one start."""
    at = start
    terms = np.column_stack((start, np.ones(len(start))))
    for step in range(12):
        off, partner = tree.query(at)
        used = _near(core, at, FIT_HEIGHT, core.half + 2 * SEAM)
        used &= off < (1.0 if step < 6 else 0.7)
        seen = core.positions[partner[used]]
        at = terms @ np.linalg.lstsq(terms[used], seen, rcond=None)[0]
    off = tree.query(at[_near(core, at, FIT_HEIGHT, core.half)])[0]
    return float(np.minimum(off, 1.0).mean()), at


def published_emd(core: Core, path: Path, middle: float) -> float:
    """Return the distance of a published cell's core to the columns seen [Å]."""
    columns, weights, period = projected(path, middle)
    _, best = min(laid(core, columns, period), key=lambda pair: pair[0])
    return core.distance(
        core.seen, core.columns(core.frame.to_pixels(best), np.tile(weights, 5))
    )


def main() -> None:
    """Print the figures of runs given on the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--published", type=Path, metavar="CELL.vasp")
    parser.add_argument("--middle", type=float, default=38.0, metavar="Å")
    parser.add_argument("--most-energy", type=float, metavar="J/m²")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    cores: dict[str, list[tuple[Run, Columns]]] = {"cost": [], "weight": []}
    for run in map(Run, given.runs):
        most = given.most_energy
        chosen = run.finalists() if most is None else run.below(most)
        print(f"{run.folder}\n  evaluation  J/m²    SSIM-35/7 plain  refitted    EMD Å")
        for evaluation in chosen:
            try:
                row = {"run": str(run.folder), **figures(run, evaluation)}
            except AutoloopError as error:
                print(f"  {evaluation.id}: {error}")
                continue
            rows.append(row)
            (a, b), (c, d) = row["plain"], row["refitted"]
            print(
                f"  {row['id']}     {row['energy_j_per_m2']:.4f}  {a:.3f}/{b:.3f}"
                f"      {c:.3f}/{d:.3f}  {row['core_emd']:.3f}",
                flush=True,
            )
        for by, one in (("cost", run.finalists()[0]), ("weight", run.weightiest())):
            cores[by].append((run, run.core_of(run.bicrystal(one))))
    last: dict[str, Any] = {"structures": rows, "between_cores": {}}
    if given.published is not None:
        core = cores["cost"][0][0].core
        last["published_core_emd"] = published_emd(core, given.published, given.middle)
        print(
            f"published cell, within {CORE:.0f} Å: {last['published_core_emd']:.3f} Å"
        )
    for by, found in cores.items():
        pairs = [
            (str(a.folder), str(b.folder), a.core.distance(one, other))
            for (a, one), (b, other) in itertools.combinations(found, 2)
        ]
        for first, second, distance in pairs:
            print(f"best by {by} of {first} and {second}: {distance:.3f} Å apart")
        last["between_cores"][by] = pairs
    print(json.dumps(last))


if __name__ == "__main__":
    sys.exit(main())
