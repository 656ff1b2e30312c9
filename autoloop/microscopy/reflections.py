"""Bragg reflections of a grain seen along its zone axis, and what their phases say.

A reflection g [1/Å] of the boundary frame stands for the pair (g, -g); an amplitude c
means 2 Re(c exp(2 pi i g.r)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Grain
from autoloop.errors import DataError
from autoloop.geometry import orientation

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

ATOMIC_NUMBER_EXPONENT: Final = 1.7
"""Scattering of a column into the annular detector goes about as Z to this power."""

PROBE_SIGMA: Final = 0.4
"""Width of a usual probe with its source [Å]: what damps the fine reflections."""

N_REFLECTIONS: Final = 12
"""Pairs that are kept, the strongest; beyond these nothing is above the noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reflections:
    """What a grain's lattice contributes to an image.

    Attributes
    ----------
    g : (n, 2) float array
        Reflections in the boundary frame, one of each pair [1/Å].
    amplitudes : (n,) complex array
        Expected amplitudes, for the conventional cell's origin at 0; strongest first.
    cell : (2, 2) float array
        Basis of the projected lattice as rows, in the boundary frame [Å].
    """

    g: Array
    amplitudes: ComplexArray
    cell: Array


def zone_reflections(grain: Grain, resolution: float) -> Reflections:
    """Return the strongest kinematic reflections of a grain along its zone axis.

    Parameters
    ----------
    grain : Grain
        Crystal and its orientation in the boundary frame.
    resolution : float
        Finest spacing to include [Å].

    Raises
    ------
    DataError
        If they do not span the image plane.
    """
    crystal = grain.crystal
    hkl = _zone_indices(grain, resolution)
    g = (hkl @ np.linalg.inv(crystal.cell).T @ orientation(grain).T)[:, :2]
    weights = crystal.numbers.astype(float) ** ATOMIC_NUMBER_EXPONENT
    phases = np.exp(-2j * np.pi * (hkl @ crystal.scaled_positions.T))
    length = np.linalg.norm(g, axis=1)
    damping = np.exp(-2 * (np.pi * PROBE_SIGMA * length) ** 2)
    amplitudes = (phases @ weights) * damping
    amplitudes[length * resolution > 1] = 0
    order = np.argsort(-np.abs(amplitudes).round(6), kind="stable")[:N_REFLECTIONS]
    kept = order[np.abs(amplitudes[order]) > 0.01 * np.abs(amplitudes).max(initial=0)]
    g = g[kept]
    if len(g) < 2 or np.ptp(np.abs(g[:, 0] * g[0, 1] - g[:, 1] * g[0, 0])) < 1e-6:
        raise DataError(
            f"{crystal.name} along {list(grain.zone_axis)} shows no lattice at a "
            f"resolution of {resolution:.2f} Å; give a zone_axis of lower indices, or "
            f"an image with finer pixels"
        )
    return Reflections(g=g, amplitudes=amplitudes[kept], cell=projected_cell(grain))


def _zone_indices(grain: Grain, resolution: float) -> NDArray[np.int64]:
    """Return indices (n, 3) of the reflections in the zone, one of each pair."""
    reach = np.ceil(np.linalg.norm(grain.crystal.cell, axis=1) / resolution)
    axes = [np.arange(-n, n + 1) for n in reach.astype(int)]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[hkl @ np.asarray(grain.zone_axis) == 0]
    # In this order the indices come as -h ... 0 ... h: the second half is one of each.
    return np.asarray(hkl[len(hkl) // 2 + 1 :])


def projected_cell(grain: Grain) -> Array:
    """Return the two shortest vectors (rows) of the lattice projected along the beam.

    In the boundary frame [Å].
    """
    reach = max(2, *(abs(i) for i in grain.zone_axis))
    steps = np.arange(-reach, reach + 1)
    whole = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)
    translations = (whole + grain.crystal.translations).reshape(-1, 3)
    flat = (translations @ grain.crystal.cell @ orientation(grain).T)[:, :2]
    length = np.linalg.norm(flat, axis=1)
    order = np.argsort(length.round(6), kind="stable")
    flat = flat[order[length[order] > 1e-3]]
    a = flat[0]
    across = np.abs(a[0] * flat[:, 1] - a[1] * flat[:, 0]) > 1e-3 * (a @ a)
    return np.array([a, flat[np.argmax(across)]])


def lattice_origin(reflections: Reflections, amplitudes: ComplexArray) -> Array:
    """Return where the conventional cell's origin lies, by the measured phases.

    Parameters
    ----------
    reflections : Reflections
        What is expected.
    amplitudes : (n,) complex array
        What was measured, with phases relative to some point.

    Returns
    -------
    (2,) float array
        Displacement from that point to one lattice point, boundary frame [Å].
    """
    cross = amplitudes * reflections.amplitudes.conj()

    def best(points: Array) -> Array:
        phases = np.exp(2j * np.pi * (points @ reflections.g.T))
        return np.asarray(points[np.argmax((phases @ cross).real)])

    n = int(np.ceil(np.linalg.norm(reflections.cell, axis=1).max() / 0.1))
    unit = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2) / n
    point = best(unit @ reflections.cell)
    for step in (0.02, 0.004, 0.0008):
        steps = step * np.arange(-5, 6)
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        point = best(point + grid)
    return point


def nearest_lattice_point(cell: Array, point: Array, target: Array) -> Array:
    """Return the translate of `point` by lattice vectors (rows) nearest to `target`."""
    coarse = np.round((target - point) @ np.linalg.inv(cell))
    near = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    points = point + (coarse + near) @ cell
    return np.asarray(points[np.argmin(np.linalg.norm(points - target, axis=1))])
