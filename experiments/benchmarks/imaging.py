"""What it costs to simulate, register and score one candidate.

    python experiments/benchmarks/imaging.py [--quick] [--run RUN.yaml]
        [--image FILE] [--structure FILE]

Prepares a campaign as a run does (by default `experiments/quickstart.yaml`; with
--image the CdTe tilt campaign, its image replaced), builds one candidate, and measures
each step of an evaluation outside the relaxer. Without --structure the candidate is
assembled where the micrograph has it, repeated along the beam towards 680 atoms. A
structure file has x along the boundary, y its normal and z along the beam, as exported
by the program, and the campaign's orientations.

All times are CPU milliseconds of one thread, medians. `register` is what choosing among
the hypotheses costs beyond simulating the one that is chosen; `SSIM` is one figure over
the region compared, below it all three of an evaluation; `EMD` are both, with the
candidate's columns; `total` is an evaluation without the relaxer. Beside them stand the
plain calls of scikit-image and POT on the same data, and two bare Fourier transforms of
the size. The last line is one JSON object.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import Comparison, Target
from autoloop.config import load_campaign
from autoloop.domain import FREE, Bicrystal
from autoloop.errors import AutoloopError, DataError
from autoloop.preparation import Prepared, prepare
from autoloop.scoring.similarity import Similarity
from autoloop.structure.assemble import assemble
from autoloop.structure.template import BoundaryTemplate

EXPERIMENTS = Path(__file__).parents[1]
QUICKSTART = EXPERIMENTS / "quickstart.yaml"
TILT = EXPERIMENTS / "cdte_tilt_given.yaml"
ATOMS = 680
"""Atoms of the peers' CdTe bicrystal, which the assembled candidate comes near to."""
MOST_REPEATS = 3
"""More would be atoms behind atoms that no search has."""
ON_SITE = 0.3
"""Atoms this close to a lattice site belong to it [Å]."""

Array = NDArray[np.float64]


def prepared(run: Path | None, image: Path | None) -> Prepared:
    """Prepare the campaign, its image replaced if one is given."""
    file = run or (TILT if image else QUICKSTART)
    overrides = {}
    if image is not None:
        os.environ.setdefault("CDTE_TILT_IMAGE", str(image.resolve()))
        overrides["micrograph.path"] = str(image.resolve())
    return prepare(load_campaign(file, overrides))


def assembled(found: Prepared) -> Bicrystal:
    """Build a candidate, of up to `ATOMS` atoms or so, where the micrograph has it."""
    rng = np.random.default_rng(0)
    vector = dict(found.space.sample_near_image(rng))
    single = assemble(found.context.template, {**vector, "repeat_z": 1})
    repeat = min(MOST_REPEATS, max(1, round(ATOMS / len(single.numbers))))
    return assemble(found.context.template, {**vector, "repeat_z": repeat})


def read_structure(path: Path, template: BoundaryTemplate) -> Bicrystal:
    """Read a slab and find where its lower grain's lattice lies."""
    from ase.io import read

    try:
        atoms = read(path)
    except Exception as error:
        raise DataError(f"{path}: not readable as a structure ({error})") from error
    y = atoms.positions[:, 1]
    middle = (y.min() + y.max()) / 2
    grains = np.where(y > middle, 1, 2)
    if "grain" in atoms.arrays:
        grains = np.asarray(atoms.arrays["grain"], int)
        middle = (y[grains == 1].min() + y[grains == 2].max()) / 2
    bicrystal = Bicrystal(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        boundary_height=float(middle),
        grains=grains,
        regions=np.full(len(atoms), FREE),
    )
    return replace(bicrystal, origins=_origins(bicrystal, template, path))


def _origins(bicrystal: Bicrystal, template: BoundaryTemplate, path: Path) -> Array:
    """Return a point of the lower grain's lattice, where most atoms fit."""
    y, height = bicrystal.positions[:, 1], bicrystal.boundary_height
    deep = bicrystal.positions[(y < height - 8.0) & (y > height - 20.0)]
    lattice, basis = template.lower.lattice, template.lower.basis
    inverse = np.linalg.inv(lattice)
    best, origin = 0.0, np.zeros(3)
    for place in deep[:1] - basis:
        steps = (deep - place)[:, None] - basis
        fractional = steps @ inverse
        off = np.linalg.norm((fractional - np.round(fractional)) @ lattice, axis=2)
        fits = float(np.mean(off.min(axis=1) < ON_SITE))
        if fits > best:
            best, origin = fits, place
    if best < 0.5:
        raise DataError(
            f"{path}: {100 * best:.0f} % of its lower grain lie on the lattice of the "
            "campaign; it needs x along the boundary, y its normal, z along the beam"
        )
    # hypotheses are lattice points near the boundary: start from one of them
    reach = np.arange(-8, 9)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    points = origin + cells @ lattice
    nearest = points[np.argmin(np.abs(points[:, 1] - height))]
    return np.array([nearest, nearest])


def cpu_ms(step: Callable[[], object], repeats: int) -> float:
    """Return the median CPU time of a step [ms]."""
    step()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return 1e3 * float(np.median(taken))


def measure(
    comparison: Comparison, bicrystal: Bicrystal, repeats: int
) -> dict[str, float]:
    """Measure each step, and the plain calls of others beside them."""
    scene, found = comparison.scene, comparison.register(bicrystal)
    simulated = found.simulated

    def timed(step: Callable[[], object]) -> float:
        return cpu_ms(step, repeats)

    simulate = timed(lambda: scene.simulate(bicrystal, found.translation))
    own = comparison.distances(bicrystal, found)[2]
    one = Similarity(
        scene.measured, [(7, scene.region[scene.view])], comparison.data_range
    )
    return {
        "simulate_ms": simulate,
        "register_ms": timed(lambda: comparison.register(bicrystal)) - simulate,
        "ssim_ms": timed(lambda: one(simulated)),
        "ssim_three_ms": timed(lambda: comparison.similarities(simulated)),
        "emd_ms": timed(lambda: comparison.distances(bicrystal, found)),
        "total_ms": timed(lambda: comparison.compare(bicrystal)),
        **others(scene.measured, simulated, scene.target, comparison.data_range, timed),
        **plain_emd(scene.seen(8.0).positions, own.positions, timed),
    }


def others(
    measured: Array,
    simulated: Array,
    target: Target,
    data_range: float,
    timed: Callable[[Callable[[], object]], float],
) -> dict[str, float]:
    """Measure scikit-image's SSIM and bare Fourier transforms on the same pixels."""
    from scipy.fft import irfft2, rfft2
    from skimage.metrics import structural_similarity

    def transforms(image: NDArray[np.floating]) -> Callable[[], object]:
        return lambda: irfft2(rfft2(image, workers=1), s=image.shape, workers=1)

    return {
        "skimage_ssim_ms": timed(
            lambda: structural_similarity(
                measured, simulated, win_size=7, data_range=data_range
            )
        ),
        "two_ffts_view_ms": timed(transforms(measured)),
        "two_ffts_crop_ms": timed(transforms(target.measured)),
        "two_ffts_crop_float32_ms": timed(
            transforms(target.measured.astype(np.float32))
        ),
    }


def plain_emd(
    seen: Array, own: Array, timed: Callable[[Callable[[], object]], float]
) -> dict[str, float]:
    """Measure POT's exact transport between the same columns, all pairs allowed."""
    import ot

    a, b = (np.full(len(points), 1 / len(points)) for points in (seen, own))
    return {
        "pot_emd2_ms": timed(lambda: ot.emd2(a, b, ot.dist(seen, own, "euclidean")))
    }


def table(figures: dict[str, float]) -> str:
    """Return the figures for people, each beside what others need for it."""
    f = figures
    rows = (
        ("step", "CPU ms", "the same by others"),
        (
            "simulate",
            f"{f['simulate_ms']:.2f}",
            f"two bare FFTs: {f['two_ffts_view_ms']:.2f}; of the whole crop "
            f"{f['two_ffts_crop_ms']:.2f}, in float32 "
            f"{f['two_ffts_crop_float32_ms']:.2f}",
        ),
        ("register", f"{f['register_ms']:.2f}", ""),
        ("SSIM", f"{f['ssim_ms']:.2f}", f"scikit-image: {f['skimage_ssim_ms']:.2f}"),
        ("  three", f"{f['ssim_three_ms']:.2f}", ""),
        (
            "EMD",
            f"{f['emd_ms']:.2f}",
            f"POT emd2, once, balanced: {f['pot_emd2_ms']:.2f}",
        ),
        ("total", f"{f['total_ms']:.2f}", "Ingrained, per evaluation: 790 (published)"),
    )
    return "\n".join(f"{a:10}{b:>8}   {c}".rstrip() for a, b, c in rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--run", type=Path, help="run file of the campaign")
    parser.add_argument("--image", type=Path, help="image, over that of the campaign")
    parser.add_argument("--structure", type=Path, help="candidate, x y z as above")
    arguments = parser.parse_args(argv)
    try:
        found = prepared(arguments.run, arguments.image)
        template, target = found.context.template, found.context.target
        if target is None:
            raise DataError("the campaign has no micrograph")
        bicrystal = (
            assembled(found)
            if arguments.structure is None
            else read_structure(arguments.structure, template)
        )
        comparison = Comparison(template, target)
        figures = measure(comparison, bicrystal, 15 if arguments.quick else 101)
    except AutoloopError as error:
        parser.exit(error.exit_status, f"imaging: {error}\n")
    rows, columns = comparison.scene.measured.shape
    score, _ = comparison.compare(bicrystal)
    print(
        f"{len(bicrystal.numbers)} atoms; crop of {target.measured.shape[1]} x "
        f"{target.measured.shape[0]} px, of which {columns} x {rows} px are compared; "
        f"{len(comparison.scene.seen(8.0))} columns measured near the boundary; SSIM "
        f"{score.ssim or 0:.3f}, confidence {score.confidence or 0:.2f}\n"
    )
    print(table(figures))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
