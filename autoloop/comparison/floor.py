"""How well a candidate would score if it were the truth: the noise floor."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison.compare import Comparison
from autoloop.comparison.scene import BAND, Scene
from autoloop.domain import Bicrystal, Columns, Image
from autoloop.errors import DataError
from autoloop.scoring.noise import Bulk, NoiseFloor, fit_noise, noise_figures
from autoloop.scoring.placing import lattice_basis

BULK: Final = 6.0
"""Distance from the boundary beyond which a grain counts as perfect, for noise [Å]."""


def noise_floor(
    comparison: Comparison, bicrystal: Bicrystal, rng: np.random.Generator
) -> NoiseFloor:
    """Return the scores that a bicrystal would have if it were the truth.

    Parameters
    ----------
    comparison : Comparison
        With the micrograph whose noise counts.
    bicrystal : Bicrystal
        The candidate; its own simulation stands for the truth.
    rng : Generator
        For the draws of noise.

    Raises
    ------
    SimulationError
        If it cannot be registered.
    DataError
        If too little bulk is in view to tell the noise.

    Notes
    -----
    About a CPU second: columns are looked for in some of the draws, as they were in the
    micrograph. Meant for the best of a run, not for every candidate.
    """
    scene = comparison.scene
    candidate = comparison.register(bicrystal)
    try:
        noise = fit_noise(scene.target.measured, bulk_of(scene))
    except ValueError as error:
        raise DataError(
            f"noise of the micrograph: {error}; take a larger crop"
        ) from error
    own = scene.resolved(bicrystal, candidate.period, candidate.translation, BAND)
    # The second grain alone: it is registered, and where a candidate puts the first one
    # wrongly, that grain's bulk would say that nothing better can be reached.
    far = (scene.heights < -BULK) & scene.region
    return noise_figures(
        noise,
        candidate.simulated,
        scene.measured,
        scene.windows(),
        (scene.target.window, far[scene.view]),
        scene.region[scene.view],
        comparison.data_range,
        lambda image: scene.emd(_columns_in(scene, image), own, BAND).value,
        rng,
    )


def bulk_of(scene: Scene) -> tuple[Bulk, ...]:
    """Return both grains' bulk over the whole crop, upper first."""
    template, placing = scene.template, scene.placing
    projected = (
        grain.lattice[:, :2] @ matrix.T
        for grain, matrix in (
            (template.upper, placing.upper),
            (template.lower, placing.lower),
        )
    )
    return tuple(
        Bulk(
            mask=(side * scene.heights > BULK)
            & (side * scene.heights < scene.target.extent),
            cell_px=lattice_basis(vectors),
            pixel_size=scene.frame.pixel_size,
        )
        for side, vectors in zip((1, -1), projected, strict=True)
    )


def _columns_in(scene: Scene, image: NDArray[np.float64]) -> Columns:
    """Return the columns that detection finds near the boundary in an image [Å]."""
    from autoloop.microscopy.columns import find_columns

    found = find_columns(Image(values=image, pixel_size=scene.frame.pixel_size))
    rows, columns = scene.view
    x, y = scene.target.offset_px
    corner = np.array([x + columns.start, y + rows.start])
    seen = Columns(
        positions=scene.frame.to_boundary(found.positions + corner),
        intensities=found.intensities,
    )
    return scene.within(seen, BAND)
