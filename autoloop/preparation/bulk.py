"""The perfect bulk of both grains in a micrograph, and the imaging refitted to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import (
    Scene,
    Target,
    frame_of,
    grain_matrices,
    pixel_coordinates,
    smooth_coordinates,
)
from autoloop.comparison.appearance import appearance
from autoloop.domain import Columns, Grain, GrainBoundary, Reading
from autoloop.errors import DataError
from autoloop.imaging.bulk import kept_for_candidates
from autoloop.imaging.probe import Microscope, z_exponent
from autoloop.imaging.refine import PlacedStructure, refine
from autoloop.structure.lattices import bulk_atoms
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]


def with_bulk_refit(
    target: Target, template: BoundaryTemplate, reference: GrainBoundary
) -> tuple[Target, str]:
    """Refit the imaging to the bulk of both grains, for candidates to be shown by.

    Parameters
    ----------
    target : Target
        With the plain fit.
    template : BoundaryTemplate
        What candidates share; it says which pixels are compared.
    reference : GrainBoundary
        The perfect crystals with the lattice constants that set the scale.

    Returns
    -------
    target : Target
        With the refit, or as it was where the refit fails or describes the bulk no
        better.
    note : str
        Which of them, for people.
    """
    scene = Scene(template, target)
    placed = placed_bulk(target, reference, scene.view)
    plain = appearance(target, scene.view).image(placed.atoms)
    x, y = scene.placing.centre_px()
    try:
        found = refine(placed)
    except (DataError, np.linalg.LinAlgError) as error:
        return target, f"imaging as fitted plainly: {error}"
    kept = kept_for_candidates(
        found, placed, (float(x), float(y)), placed.measured - plain
    )
    if kept is None:
        return target, "imaging as fitted plainly: a joint refit would not gain enough"
    return replace(target, bulk=kept), (
        f"imaging refitted jointly, {100 * (1 - kept.rms / kept.plain_rms):.0f} % less "
        "left in the bulk"
    )


def placed_bulk(
    target: Target, reference: GrainBoundary, box: tuple[slice, slice]
) -> PlacedStructure:
    """Return both perfect grains over a rectangle of the crop, to the boundary line.

    What a refit of them finds belongs to the micrograph: nothing of any candidate goes
    into it.

    Parameters
    ----------
    target : Target
        With each grain's own map.
    reference : GrainBoundary
        The perfect crystals with the lattice constants that set the scale.
    box : (slice, slice)
        Rows and columns of the crop.
    """
    reading, offset = target.reading, target.offset_px
    shape = target.measured.shape
    atoms = bulk_columns(reading, shape, offset, reference, target.microscope)
    frame = frame_of(reading)
    measured = target.measured[box]
    return PlacedStructure(
        measured=measured,
        mask=np.ones(measured.shape, dtype=bool),
        corner=(offset[0] + box[1].start, offset[1] + box[0].start),
        heights=smooth_coordinates(reading, shape, offset)[0][..., 1][box],
        atoms=atoms,
        atom_heights=frame.to_boundary(atoms.positions)[:, 1],
        matrix=frame.matrix,
        microscope=target.microscope,
        blur_sigma=target.imaging.blur_sigma,
    )


def grain_sides(
    reading: Reading, reference: GrainBoundary
) -> tuple[tuple[str, Grain, Array, Array, int], ...]:
    """Return name, crystal, lattice origin, map and side of each grain."""
    upper, lower = grain_matrices(reading)
    origins = np.array([reading.upper_origin_px, reading.lower_origin_px])
    return (
        ("upper", reference.upper, origins[0], upper, 1),
        ("lower", reference.lower, origins[1], lower, -1),
    )


def bulk_columns(
    reading: Reading,
    shape: tuple[int, ...],
    offset: tuple[int, int],
    reference: GrainBoundary,
    microscope: Microscope,
) -> Columns:
    """Return the atoms of both perfect grains over the crop [pixels], to the line."""
    exponent = z_exponent(microscope)
    parts = []
    for _, grain, origin, matrix, side in grain_sides(reading, reference):
        points, per_depth = grain_atoms(
            reading, shape, offset, grain, origin, matrix, side, exponent
        )
        parts.append((points, per_depth))
    return Columns(
        positions=np.vstack([points for points, _ in parts]),
        intensities=np.concatenate([weights for _, weights in parts]),
    )


def grain_atoms(
    reading: Reading,
    shape: tuple[int, ...],
    offset: tuple[int, int],
    grain: Grain,
    origin: Array,
    matrix: Array,
    side: int,
    exponent: float = 0.0,
) -> tuple[Array, Array]:
    """Return the atoms of one perfect grain over its side of the crop.

    Returns
    -------
    points : (n, 2) float array
        [pixels].
    weights : (n,) float array
        Z**exponent for each ångström of depth.
    """
    corners = pixel_coordinates(shape, offset)[[0, 0, -1, -1], [0, -1, 0, -1]]
    inside = (corners - origin) @ np.linalg.inv(matrix).T
    margin = 6.0  # [Å]: tails of probes from beyond the crop
    points, numbers, depth = bulk_atoms(
        grain, inside.min(axis=0) - margin, inside.max(axis=0) + margin
    )
    pixels = points @ matrix.T + origin
    kept = side * frame_of(reading).to_boundary(pixels)[:, 1] > 0
    return pixels[kept], numbers[kept] ** exponent / depth
