"""Images, the columns in them, and what a micrograph says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain.arrays import lock


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What a micrograph says: the frame, the boundary and the phase of each lattice.

    Attributes
    ----------
    pixel_size, pixel_size_nominal : float
        As the lattices show it, and as the file or the user gave it [Å].
    angle_deg : float
        Counterclockwise angle of the boundary's x from the image's right [degrees].
    shear : float
        Slant of the scan (see `autoloop.geometry.Frame`).
    origin_px : (float, float)
        A point (x, y) on the boundary line, near the centre of the crop [pixels of the
        whole image].
    upper_origin_px, lower_origin_px : (float, float)
        A point where the origin of each grain's conventional cell projects, the one
        nearest to `origin_px` [pixels of the whole image].
    confidence : float
        0 to 1: how clearly both lattices are seen.
    upper_matrix, lower_matrix : (2, 2) tuple, optional
        Each grain's own map from (x, y) in its crystal, as it lies in the boundary
        frame [Å], to pixels, where the columns near the boundary allow one; else that
        of the frame holds for both.
    """

    pixel_size: float
    pixel_size_nominal: float
    angle_deg: float
    shear: float
    origin_px: tuple[float, float]
    upper_origin_px: tuple[float, float]
    lower_origin_px: tuple[float, float]
    confidence: float
    upper_matrix: tuple[tuple[float, float], tuple[float, float]] | None = None
    lower_matrix: tuple[tuple[float, float], tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """Intensities on a grid of square pixels, measured or simulated.

    Attributes
    ----------
    values : (n_y, n_x) float array
        Intensities; row 0 is the top.
    pixel_size : float
        Edge of a pixel [Å].
    """

    values: NDArray[np.float64]
    pixel_size: float

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"an image has two axes, got shape {self.values.shape}")
        lock(self, ("values",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Atomic columns as an image shows them, or as a structure projects them.

    Attributes
    ----------
    positions : (n, 2) float array
        x and y. The unit and frame are those of the function that made them: pixels of
        the whole image as read, or Å in the boundary frame.
    intensities : (n,) float array
        Intensity of each column; for a structure the sum of Z**exponent.
    """

    positions: NDArray[np.float64]
    intensities: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.intensities), 2):
            raise ValueError(
                f"positions must have shape ({len(self.intensities)}, 2), "
                f"one row for each intensity, got {self.positions.shape}"
            )
        lock(self, ("positions", "intensities"))

    def __len__(self) -> int:
        return len(self.intensities)
