"""Simulated micrographs of the boundaries whose energy is known."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from recovery_systems import System

from autoloop import simulate
from autoloop.config import load_campaign
from autoloop.domain import Bicrystal
from autoloop.preparation import Prepared, prepare
from autoloop.report.export.structures import to_atoms

HERE: Final = Path(__file__).parent
PIXEL_SIZE: Final = 0.15
"""Of the images [Å]."""
WIDTH: Final = 60.0
"""Of the images along the boundary, at the least [Å]."""
ELECTRONS: Final = 200.0
"""Mean count of a pixel: each column stands well out of the noise."""
JITTER: Final = 0.05
"""Standard deviation of the shift of a scan line [Å]."""
EDGE: Final = 3.0
"""Cut off above and below, where the structure ends [Å]."""
OPTICS: Final = (
    "microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}"
)


def prepared_with_image(system: System, structure: Bicrystal, folder: Path) -> Prepared:
    """Return space and engines of a system that has a micrograph besides.

    Parameters
    ----------
    system : System
        Of known energy; searched in the same space as without an image.
    structure : Bicrystal
        What the micrograph shows.
    folder : Path
        For the image and the run file; what is there is used again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{system.run_file}.npy"
    if not image.exists():
        np.save(image, micrograph(structure))
    text = (HERE / "energies" / f"{system.run_file}.yaml").read_text()
    run_file = folder / f"{system.name}.yaml"
    seen = f"micrograph: {{path: {image.name}, pixel_size: {PIXEL_SIZE}}}"
    run_file.write_text(f"{text}{seen}\n{OPTICS}\n")
    return prepare(load_campaign(run_file, system.overrides))


def micrograph(structure: Bicrystal) -> NDArray[np.float64]:
    """Return an image (n_y, n_x) [electrons] with shot noise and lines that jitter.

    From the column sum of the program itself: this measures how a search uses an image,
    not whether the image is right.
    """
    repeat = int(np.ceil(WIDTH / structure.cell[0, 0]))
    clean = simulate(to_atoms(structure), pixel_size=PIXEL_SIZE, repeat=repeat).values
    heights = structure.positions[:, 1]
    room = (len(clean) * PIXEL_SIZE - np.ptp(heights)) / 2
    cut = round((max(room, 0.0) + EDGE) / PIXEL_SIZE)
    clean = clean[cut:-cut]
    rng = np.random.default_rng(0)
    x = np.arange(clean.shape[1], dtype=float)
    shifts = JITTER / PIXEL_SIZE * rng.normal(size=len(clean))
    lines = [np.interp(x + s, x, row) for s, row in zip(shifts, clean, strict=True)]
    return rng.poisson(ELECTRONS * np.array(lines) / clean.mean()).astype(float)
