"""The column convolution against multislice (abTEM), with nothing fitted to the image.

    python experiments/benchmarks/verify.py [--quick] [--only NAME] [--source Å]
        [--out DIR]

Three boundaries are built and relaxed by the program (the lowest in energy of 16 drawn)
and simulated by PRISM with frozen phonons: 200 keV, 22 mrad, HAADF 70 to 150 mrad,
focus on the entrance surface. The convolution knows the microscope, the atoms, the
source size (a Gaussian of 0.8 Å full width at half maximum, or --source, over both
images; a smaller one shows more of the difference), the r.m.s. vibration of each
crystal and the thickness; no number of it is fitted to the image that it is compared
with. Its scale is one gain and one background, by least squares between abTEM's and its
own image of the *perfect crystal* of that thickness, another simulation with other
phonons: that takes out what channelling does in bulk.

SSIM (pixels of 0.2 Å; windows of 7 px and of one nearest-neighbour distance; over the
range of the reference) and correlation, which has no scale, are over one period along x
and 7.5 Å either side of the boundary, 3 Å from the ends of the slab. `floor` is what
few phonons leave: the correlation of the reference with its own limit of infinitely
many configurations, from the scatter between them. No model can exceed it by much, and
c/f, correlation over floor, estimates the correlation with that limit. `thin` is SSIM_7
with a probe that stays in focus at any depth, on the scale that suits this very image
best. `absolute` is the mean of the reference over that of the convolution, both as
shares of the beam; a fifth too low by the grid (see `autoloop.imaging.multislice`).

Images of abTEM are kept in DIR and not computed again. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.config import load_campaign
from autoloop.domain import Bicrystal, Candidate, Proposal, candidate_id, stream
from autoloop.errors import SimulationError
from autoloop.evaluation import Evaluator, evaluate
from autoloop.geometry import Frame
from autoloop.imaging.limits import ACCEPTED, linear_warning
from autoloop.imaging.multislice import (
    CellImage,
    Multislice,
    at_points,
    blurred,
    cell_image,
)
from autoloop.imaging.probe import Microscope
from autoloop.imaging.simulation import View, simulate
from autoloop.imaging.specimen import Specimen, from_bicrystal
from autoloop.preparation import prepare
from autoloop.scoring.similarity import ssim
from autoloop.units import FWHM_IN_SIGMA

Array = NDArray[np.float64]

ENERGIES = Path(__file__).parent / "energies"
MICROSCOPE: Final = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 150.0)
)
SOURCE: Final = 0.8
"""Full width at half maximum, unless said otherwise [Å]."""
PIXEL: Final = 0.2
KEPT: Final = 10.5
"""Half-height of the slab that is simulated [Å]."""
SCORED: Final = 7.5
"""Half-height of what is compared [Å]."""
N_DRAWN: Final = 16
N_PHONONS: Final = {30.0: 6, 60.0: 4, 100.0: 4}
"""Configurations by thickness [Å]: short columns average less by themselves."""
BULK_WIDTH: Final = 10.0
"""Least width and height of the perfect crystal [Å]: columns to average over."""
BULK_SEED: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Case:
    """A boundary.

    Attributes
    ----------
    name : str
        That of its run file.
    title : str
        As people call it.
    vibration : mapping
        R.m.s. displacement along each axis at room temperature, by element [Å].
    crystal : (str, str, float)
        Formula, structure and lattice constant [Å] of the perfect crystal.
    along_110 : bool
        Whether it is seen along [110]; else along [001].
    neighbours : float
        Shortest distance of its columns [Å].
    """

    name: str
    title: str
    vibration: Mapping[str, float]
    crystal: tuple[str, str, float]
    along_110: bool
    neighbours: float

    @property
    def mean_vibration(self) -> float:
        """Of all elements, as the blur has it [Å]."""
        return math.sqrt(np.mean(np.square(list(self.vibration.values()))))


CASES: Final = (
    Case(
        name="cu_s5_310",
        title="Cu S5(310) [001]",
        vibration={"Cu": 0.084},
        crystal=("Cu", "fcc", 3.615),
        along_110=False,
        neighbours=1.81,
    ),
    Case(
        name="si_s9_221",
        title="Si S9(221) [110]",
        vibration={"Si": 0.076},
        crystal=("Si", "diamond", 5.431),
        along_110=True,
        neighbours=1.36,
    ),
    Case(
        name="cdte_s3_112",
        title="CdTe S3(112) [110]",
        vibration={"Cd": 0.14, "Te": 0.13},
        crystal=("CdTe", "zincblende", 6.478),
        along_110=True,
        neighbours=1.62,
    ),
)


def main() -> int:
    """Compute what is not there, print the table; 1 where the program does not warn."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    print(
        f"{'boundary':20} {'Å':>4} {'n':>2} {'corr':>6} {'floor':>6} {'c/f':>6} "
        f"{'SSIM_7':>6} {'SSIM_w':>6} {'thin':>6} {'absolute':>8} {'gain':>5} "
        f"{'warns':>5}"
    )
    rows = []
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        if options.quick and not options.only and case is not CASES[0]:
            continue
        specimen = _boundary(case)
        for thickness in (30.0,) if options.quick else N_PHONONS:
            n = 2 if options.quick else N_PHONONS[thickness]
            rows.append(_measured(case, specimen, thickness, n, options))
            print(_line(rows[-1]), flush=True)
    # A bad image without a warning is a defect; a warning too many is not.
    silent = [r for r in rows if not r["accepted"] and not r["warns"]]
    cpu_s = round(time.process_time() - started, 1)
    summary = {"rows": rows, "silent": len(silent), "cpu_s": cpu_s}
    print(json.dumps(summary))
    return int(bool(silent) and not options.quick and options.source >= SOURCE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="copper, 30 Å, two phonons"
    )
    parser.add_argument(
        "--only", action="append", choices=[c.name for c in CASES], metavar="NAME"
    )
    parser.add_argument(
        "--source",
        type=float,
        default=SOURCE,
        metavar="Å",
        help="full width at half maximum of the source (default: 0.8)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmarks/verify"),
        help="folder of abTEM's images; what is there is not computed again",
    )
    return parser.parse_args()


def _boundary(case: Case) -> Specimen:
    """Return the best of a few boundaries, cut to a slab about y = 0."""
    prepared = prepare(load_campaign(ENERGIES / f"{case.name}.yaml"))
    evaluator = Evaluator(prepared.context)
    found: list[tuple[float, Bicrystal]] = []
    for index in range(N_DRAWN):
        parameters = prepared.space.sample(stream(1, 0, index))
        candidate = Candidate(
            id=candidate_id(0, index),
            cycle=0,
            index=index,
            proposal=Proposal(parents=(), mutation="assemble", parameters=parameters),
        )
        try:
            outcome = evaluate(evaluator, candidate)
        except SimulationError:
            continue
        if outcome.details is not None and outcome.evaluation.cost is not None:
            found.append((outcome.evaluation.cost, outcome.details.bicrystal))
    best = min(found, key=lambda pair: pair[0])[1]
    height = best.positions[:, 1] - best.boundary_height
    kept = np.abs(height) < KEPT
    return Specimen(
        numbers=best.numbers[kept],
        positions=best.positions[kept] - np.array([0.0, best.boundary_height, 0.0]),
        cell=best.cell,
        periodic=from_bicrystal(best).periodic,
    )


def _perfect(case: Case) -> Specimen:
    """Return the perfect crystal, in an orthogonal cell of many columns."""
    from ase.build import bulk, cut

    formula, structure, constant = case.crystal
    atoms = bulk(formula, structure, a=constant, cubic=True)
    if case.along_110:
        atoms = cut(atoms, a=(0, 0, 1), b=(0.5, -0.5, 0), c=(0.5, 0.5, 0))
        atoms.set_cell(np.diag(atoms.cell.lengths()), scale_atoms=True)
    n_x, n_y = (math.ceil(BULK_WIDTH / atoms.cell[i, i]) for i in (0, 1))
    atoms = atoms.repeat((n_x, n_y, 1))
    return Specimen(
        numbers=np.asarray(atoms.numbers, np.int64),
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        periodic=(True, True),
    )


def _reference(
    case: Case, specimen: Specimen, thickness: float, seed: int, folder: Path, kind: str
) -> CellImage:
    """Return abTEM's image for one configuration of phonons, if need be computed."""
    path = folder / f"{case.name}_{kind}_{thickness:.0f}_{seed}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return CellImage(
                values=kept["values"],
                extent=tuple(kept["extent"].tolist()),
                origin=tuple(kept["origin"].tolist()),
                periodic=specimen.periodic,
                thickness=float(kept["thickness"]),
            )
    image = cell_image(
        specimen,
        replace(MICROSCOPE, thickness=thickness),
        Multislice(n_phonons=1, vibration=case.vibration, seed=seed),
    )
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        values=image.values,
        extent=image.extent,
        origin=image.origin,
        thickness=image.thickness,
    )
    partial.replace(path)
    return image


def _measured(
    case: Case,
    specimen: Specimen,
    thickness: float,
    n: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return the figures of one boundary and thickness."""
    shape = 2 * round(SCORED / PIXEL) + 1, max(40, round(specimen.cell[0, 0] / PIXEL))
    frame = Frame(origin_px=(0.0, (shape[0] - 1) / 2), pixel_size=PIXEL, angle_deg=0.0)
    view = View(shape=shape, frame=frame)
    images = [
        _reference(case, specimen, thickness, seed, options.out, "boundary")
        for seed in range(n)
    ]
    source = options.source / FWHM_IN_SIGMA
    drawn = np.array([_seen(image, view, source) for image in images])
    reference = drawn.mean(axis=0)
    deep = replace(MICROSCOPE, thickness=images[0].thickness)
    gain, background = _scale(case, deep, source, options.out)
    blur = math.hypot(source, case.mean_vibration)
    model = simulate(specimen, view, deep, blur).values
    scaled = gain * model + background
    thin = simulate(specimen, view, MICROSCOPE, blur).values
    # the thin model gets the best scale there is, on the image itself
    thin = np.polyval(np.polyfit(thin.ravel(), reference.ravel(), 1), thin)
    everywhere, span = np.ones(shape, bool), float(np.ptp(reference))
    window = 2 * round(case.neighbours / PIXEL / 2) + 1
    chance = float(drawn.var(axis=0, ddof=1).mean()) / n
    floor = math.sqrt(max(0.0, 1 - chance / float(reference.var())))
    corr = float(np.corrcoef(reference.ravel(), model.ravel())[0, 1])
    ssim_7 = ssim(reference, scaled, 7, everywhere, span)
    ssim_w = ssim(reference, scaled, window, everywhere, span)
    warning = linear_warning(deep)
    return {
        "name": case.name,
        "title": case.title,
        "thickness": thickness,
        "n_phonons": n,
        "correlation": corr,
        "floor": floor,
        "correlation_over_floor": corr / floor,
        "ssim_7": ssim_7,
        "ssim_window": ssim_w,
        "window_px": window,
        "ssim_7_thin": ssim(reference, thin, 7, everywhere, span),
        "absolute": float(reference.mean() / model.mean()),
        "gain": gain,
        "accepted": bool(min(corr / floor, ssim_7) >= ACCEPTED),
        "warns": warning is not None,
    }


def _scale(
    case: Case, microscope: Microscope, source: float, folder: Path
) -> tuple[float, float]:
    """Return gain and background of the perfect crystal of the same thickness."""
    perfect = _perfect(case)
    image = _reference(
        case, perfect, round(microscope.thickness), BULK_SEED, folder, "bulk"
    )
    n_x, n_y = (round(perfect.cell[i, i] / PIXEL) for i in (0, 1))
    frame = Frame(origin_px=(0.0, n_y - 1.0), pixel_size=PIXEL, angle_deg=0.0)
    view = View(shape=(n_y, n_x), frame=frame)
    microscope = replace(microscope, thickness=image.thickness)
    blur = math.hypot(source, case.mean_vibration)
    model = simulate(perfect, view, microscope, blur).values
    seen = _seen(image, view, source)
    gain, background = np.polyfit(model.ravel(), seen.ravel(), 1)
    return float(gain), float(background)


def _seen(image: CellImage, view: View, source: float) -> Array:
    rows, columns = np.indices(view.shape, dtype=float)
    pixels = np.stack((columns, rows), axis=-1).reshape(-1, 2)
    points = view.frame.to_boundary(pixels)
    return at_points(blurred(image, source), points).reshape(view.shape)


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['title']:20} {row['thickness']:4.0f} {row['n_phonons']:2} "
        f"{row['correlation']:6.4f} {row['floor']:6.4f} "
        f"{row['correlation_over_floor']:6.4f} {row['ssim_7']:6.4f} "
        f"{row['ssim_window']:6.4f} {row['ssim_7_thin']:6.4f} {row['absolute']:8.3f} "
        f"{row['gain']:5.2f} {'yes' if row['warns'] else 'no':>5}"
    )


if __name__ == "__main__":
    sys.exit(main())
