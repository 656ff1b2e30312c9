"""How often the set of structures that a run reports holds the truth.

    python experiments/benchmarks/calibration.py [--quick] [--images N] [--out DIR]

A run on the quickstart's image gives distinct relaxed structures. An image tells these
apart nearly always, so each gets near twins, with the columns of its core moved by what
such an image can hardly show. Of this pool the truth is drawn, as likely as its energy
makes it, and made into an image: noise of a drawn strength, scan lines that jitter, and
columns a little off where the potential puts them, which no structure explains. Columns
are found again in that image, and the pool is weighed. Counted is how often the fewest
structures that hold 90 % of the weight hold the truth. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import Archive
from autoloop.comparison import Comparison, Target
from autoloop.domain import Bicrystal, Columns, Image
from autoloop.errors import SimulationError
from autoloop.evaluation import Evaluator, load_context
from autoloop.geometry import project_columns
from autoloop.journal import Journal
from autoloop.microscopy.columns import fit_columns
from autoloop.report.answer import SHARE, column_evidence
from autoloop.scoring.weights import ENERGY_SIGMA, credible_set, weights

RUN_FILE = Path(__file__).parents[1] / "quickstart.yaml"
NOISE = (0.3, 1.8)
"""Standard deviation of the noise, in those of the image without it: from an image that
anybody would publish to one in which columns can hardly be seen."""
JITTER_PX = 0.3
"""Standard deviation of the shift of a scan line [pixels]."""
MISFIT = 0.04
"""Standard deviation of a column's place about where the potential puts it [Å]."""
TWINS = 5
"""Near twins of each structure."""
TWIN_STEP = 0.02
"""Standard deviation of the moves of a twin's columns [Å]."""
CORE = 5.0
"""Distance from the boundary within which they move [Å]."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One image.

    Attributes
    ----------
    truth : int
        Index into the pool.
    noise : float
        In standard deviations of the image.
    members : tuple of int
        The set reported.
    n_columns : int
        Columns found in the image.
    """

    truth: int
    noise: float
    members: tuple[int, ...]
    n_columns: int

    @property
    def held(self) -> bool:
        """Whether the set holds the truth."""
        return self.truth in self.members


def main() -> int:
    """Weigh the pool for each image; 1 if the set is not as good as it says."""
    options = _options()
    evaluator, pool, energies = _pool(options)
    above = (np.array(energies) - min(energies)) / ENERGY_SIGMA
    prior = np.exp(-(above**2) / 2)
    prior /= prior.sum()
    print("pool [J/m²]: " + ", ".join(f"{e:.4f}" for e in energies))
    n_images = 8 if options.quick else options.images
    trials = []
    for k in range(n_images):
        rng = np.random.default_rng([options.seed, k])
        trials.append(_trial(evaluator, pool, energies, prior, options.noise, rng))
        print(_line(k, trials[-1]), flush=True)
    held = sum(trial.held for trial in trials)
    sizes = [len(trial.members) for trial in trials]
    coverage = held / len(trials)
    print(
        f"the {100 * SHARE:.0f} % set holds the truth in {held} of {len(trials)} "
        f"images, with {np.mean(sizes):.1f} structures of {len(pool)}; "
        f"{sum(n > 1 for n in sizes)} images leave more than one"
    )
    print(
        json.dumps(
            {
                "images": len(trials),
                "held": held,
                "coverage": coverage,
                "mean_members": float(np.mean(sizes)),
                "ambiguous": sum(n > 1 for n in sizes),
                "pool": len(pool),
            }
        )
    )
    return 0 if coverage >= 0.8 else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="eight images")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--pool", type=int, default=4, help="relaxed structures")
    parser.add_argument("--run-file", type=Path, default=RUN_FILE)
    parser.add_argument("--noise", type=float, nargs=2, default=NOISE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/calibration"))
    return parser.parse_args()


def _pool(
    options: argparse.Namespace,
) -> tuple[Evaluator, list[Bicrystal], list[float]]:
    """Return the evaluator and distinct structures of lowest energy of a run."""
    folder, n = options.out, options.pool
    if not (folder / "journal.sqlite").exists():
        run_file = str(options.run_file)
        command = ["run", run_file, "--out", str(folder), "--evaluations", "120"]
        subprocess.run([sys.executable, "-m", "autoloop", *command], check=True)
    with Journal.read(folder / "journal.sqlite") as journal:
        evaluator = load_context(journal.get_record("context"))
        by_energy = [
            replace(e, cost=e.score.energy_j_per_m2)
            for e in journal.evaluations()
            if e.score is not None and e.score.energy_j_per_m2 is not None
        ]
        best = Archive(by_energy).best(n)
        found = [journal.details(e.id).bicrystal for e in best]
    rng = np.random.default_rng([options.seed, 10**6])
    pool, energies = [], []
    for bicrystal, evaluation in zip(found, best, strict=True):
        pool += [bicrystal]
        pool += [_displaced(bicrystal, TWIN_STEP, rng, CORE) for _ in range(TWINS)]
        above = np.abs(ENERGY_SIGMA * rng.normal(size=TWINS))
        energies += [float(evaluation.cost or 0.0) + e for e in (0.0, *above)]
    return evaluator, pool, energies


def _trial(
    evaluator: Evaluator,
    pool: list[Bicrystal],
    energies: list[float],
    prior: NDArray[np.float64],
    range_of_noise: tuple[float, float],
    rng: np.random.Generator,
) -> Trial:
    target = evaluator.context.target
    if target is None or evaluator.comparison is None:
        raise SystemExit(f"{RUN_FILE} has no micrograph")
    truth = int(rng.choice(len(pool), p=prior))
    noise = float(np.exp(rng.uniform(*np.log(range_of_noise))))
    nature = _displaced(pool[truth], MISFIT, rng)
    drawn = evaluator.comparison.place(nature).simulated
    seen = _seen(target, _spoilt(drawn, noise, rng))
    comparison = Comparison(evaluator.context.template, seen)
    evidence, kept = [], []
    for k, each in enumerate(pool):
        # a run would have dropped a structure that cannot be registered
        with suppress(SimulationError):
            evidence.append(column_evidence(comparison, seen, each))
            kept.append(k)
    found = weights(evidence, [energies[k] for k in kept])
    members = [kept[i] for i in credible_set(found, SHARE)]
    return Trial(
        truth=truth,
        noise=noise,
        members=tuple(members),
        n_columns=len(seen.columns),
    )


def _displaced(
    bicrystal: Bicrystal,
    sigma: float,
    rng: np.random.Generator,
    reach: float = np.inf,
) -> Bicrystal:
    """Return a bicrystal with columns a little off, the same in every period."""
    columns, labels = project_columns(bicrystal, np.ones(len(bicrystal.numbers)))
    step = np.zeros((len(columns), 3))
    step[:, :2] = sigma * rng.normal(size=(len(columns), 2))
    height = columns.positions[:, 1] - bicrystal.boundary_height
    step[np.abs(height) > reach] = 0.0
    return replace(bicrystal, positions=bicrystal.positions + step[labels])


def _spoilt(
    image: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    shifted = np.empty_like(image)
    x = np.arange(image.shape[1], dtype=float)
    for row, shift in enumerate(JITTER_PX * rng.normal(size=len(image))):
        shifted[row] = np.interp(x + shift, x, image[row])
    return np.asarray(shifted + noise * image.std() * rng.normal(size=image.shape))


def _seen(target: Target, values: NDArray[np.float64]) -> Target:
    """Return the target that the new image would have given."""
    found = fit_columns(Image(values=values, pixel_size=target.reading.pixel_size))
    columns = Columns(
        positions=found.columns.positions + target.offset_px,
        intensities=found.columns.intensities,
    )
    return replace(target, measured=values, columns=columns)


def _line(k: int, trial: Trial) -> str:
    held = "holds the truth" if trial.held else "MISSES"
    named: Any = ", ".join(map(str, trial.members))
    return (
        f"image {k:3}  noise {trial.noise:4.2f}  {trial.n_columns:4} columns  truth "
        f"{trial.truth:2}  set {{{named}}}  {held}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
