"""How placed atoms look in one micrograph: blur, contrast, background, shifted lines.

With one plain fit for the micrograph, or, where the micrograph calls for it, as the
joint refit of both grains' bulk has it: a blur and a gain of each grain, and lines that
are shifted.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison.target import (
    Target,
    frame_of,
    pixel_coordinates,
    smooth_coordinates,
)
from autoloop.domain import Columns
from autoloop.imaging.bulk import BulkImaging
from autoloop.imaging.convolution import MARGIN, ColumnImager
from autoloop.imaging.distortion import LineShifter
from autoloop.imaging.fit import BLEND, grain_share, intensity_maps
from autoloop.scoring.placing import Bending
from autoloop.scoring.registration import CovarianceMap, bounding_box

Array = NDArray[np.float64]
Box = tuple[slice, slice]


class Appearance(Protocol):
    """Makes images of atoms over one rectangle of the crop."""

    def image(self, atoms: Columns) -> Array:
        """Return the image (n_y, n_x) of placed atoms on the micrograph's intensities.

        Parameters
        ----------
        atoms : Columns
            Where the micrograph shows them [pixels of the whole image], with their
            scattering powers.
        """
        ...

    def covariances(self, excess: Array) -> tuple[Array, tuple[float, float]]:
        """Return what an atom adds to the covariance with an image, by its place.

        Parameters
        ----------
        excess : (n_y, n_x) float array
            The micrograph from its mean, 0 where it does not count.

        Returns
        -------
        values : (m_y, m_x) float array
            For an atom of scattering power 1.
        origin_px : (float, float)
            x and y of the first of them [pixels of the whole image].
        """
        ...


def appearance(target: Target, box: Box) -> Appearance:
    """Return how atoms look over rows and columns of the crop."""
    if target.bulk is None:
        return _Plain(target, box)
    return _Refitted(target, target.bulk, box)


def bending(target: Target) -> Bending | None:
    """Return how far the micrograph shows atoms from where they are placed."""
    if target.bulk is None:
        return None
    frame, pad = frame_of(target.reading), math.ceil(MARGIN / target.reading.pixel_size)
    n_y, n_x = target.measured.shape
    first = target.offset_px[0] - pad, target.offset_px[1] - pad
    points = pixel_coordinates((n_y + 2 * pad, n_x + 2 * pad), first)
    heights = frame.to_boundary(points.reshape(-1, 2))[:, 1].reshape(points.shape[:2])
    return Bending(
        target.bulk.shifts(points, heights), (float(first[0]), float(first[1]))
    )


def covariance_map(
    shown: Appearance, excess: Array, bent: Bending | None
) -> CovarianceMap:
    """Return what a column adds to the covariance, by its place before any bending.

    Parameters
    ----------
    shown : Appearance
        Over the pixels of `excess`.
    excess : (n_y, n_x) float array
        The micrograph from its mean, 0 where it does not count.
    bent : Bending, optional
        Of the micrograph. In the map, hypotheses need not undergo it one by one.
    """
    values, origin = shown.covariances(excess)
    if bent is None:
        return CovarianceMap(values, origin)
    from scipy.ndimage import map_coordinates

    points = pixel_coordinates(values.shape, (0, 0)) + np.array(origin)
    local = points + bent(points) - np.array(origin)
    moved = map_coordinates(values, np.moveaxis(local, -1, 0)[::-1], order=1)
    return CovarianceMap(np.asarray(moved), origin)


class _Plain:
    """One blur; gain and background as smooth maps."""

    def __init__(self, target: Target, box: Box) -> None:
        self._target, self._box = target, box
        _, smooth = smooth_coordinates(
            target.reading, target.measured.shape, target.offset_px
        )
        self._gain, self._background = intensity_maps(target.imaging, smooth[box])
        self._imager = _imager(target, box, target.imaging.blur_sigma)

    def image(self, atoms: Columns) -> Array:
        return self._gain * self._imager.image(atoms) + self._background

    def covariances(self, excess: Array) -> tuple[Array, tuple[float, float]]:
        blur = self._target.imaging.blur_sigma
        return _with_probe(self._target, self._box, excess * self._gain, blur)


class _Refitted:
    """A blur and a gain of each grain, a background, and lines that are shifted."""

    def __init__(self, target: Target, bulk: BulkImaging, box: Box) -> None:
        self._target, self._bulk, self._box = target, bulk, box
        self._frame = frame_of(target.reading)
        points = pixel_coordinates(target.measured.shape, target.offset_px)[box]
        upper, lower, self._background = bulk.maps(points)
        heights = self._frame.to_boundary(points.reshape(-1, 2))[:, 1]
        heights = heights.reshape(upper.shape)
        first = target.offset_px[1] + box[0].start
        self._lines = bulk.lines(first, len(heights))
        self._shift = LineShifter(self._lines)
        self._gains = upper, lower
        self._grains = [
            _Grain(target, box, gain, heights * side, blur)
            for gain, side, blur in zip((upper, lower), (1, -1), bulk.blur, strict=True)
        ]

    def image(self, atoms: Columns) -> Array:
        share = self._share(atoms.positions)
        contrast = np.zeros(self._background.shape)
        for grain, part in zip(self._grains, (share, 1 - share), strict=True):
            own = part > 0
            grain.add(
                contrast,
                Columns(
                    positions=atoms.positions[own],
                    intensities=(atoms.intensities * part)[own],
                ),
            )
        return self._shift(contrast) + self._background

    def covariances(self, excess: Array) -> tuple[Array, tuple[float, float]]:
        straight = LineShifter(-self._lines)(excess)
        (upper, origin), (lower, _) = (
            _with_probe(self._target, self._box, straight * gain, blur)
            for gain, blur in zip(self._gains, self._bulk.blur, strict=True)
        )
        points = pixel_coordinates(upper.shape, (0, 0)) + np.array(origin)
        share = self._share(points.reshape(-1, 2)).reshape(upper.shape)
        return share * upper + (1 - share) * lower, origin

    def _share(self, points: Array) -> Array:
        return grain_share(self._frame.to_boundary(points)[:, 1], BLEND)


class _Grain:
    """One grain's part of an image, computed only where the grain shows."""

    def __init__(
        self, target: Target, box: Box, gain: Array, heights: Array, blur: float
    ) -> None:
        # its atoms end at -BLEND, their tails a margin further
        self._box = bounding_box(heights > -BLEND - MARGIN, margin=0)
        rows, columns = self._box
        self._gain = gain[self._box]
        whole = (
            slice(box[0].start + rows.start, box[0].start + rows.stop),
            slice(box[1].start + columns.start, box[1].start + columns.stop),
        )
        self._imager = _imager(target, whole, blur)

    def add(self, image: Array, atoms: Columns) -> None:
        """Add the grain's atoms to an image over all pixels."""
        image[self._box] += self._gain * self._imager.image(atoms)


def _imager(target: Target, box: Box, blur: float) -> ColumnImager:
    rows, columns = box
    x, y = target.offset_px
    return ColumnImager(
        (rows.stop - rows.start, columns.stop - columns.start),
        frame_of(target.reading).matrix,
        (float(x + columns.start), float(y + rows.start)),
        target.microscope,
        blur,
    )


def _with_probe(
    target: Target, box: Box, image: Array, blur: float
) -> tuple[Array, tuple[float, float]]:
    """Return an image correlated with the blurred probe, and where that begins."""
    half = math.ceil(MARGIN / target.reading.pixel_size)
    probe = ColumnImager(
        (2 * half + 1, 2 * half + 1),
        frame_of(target.reading).matrix,
        (-float(half), -float(half)),
        target.microscope,
        blur,
    ).image(Columns(positions=np.zeros((1, 2)), intensities=np.ones(1)))
    rows, columns = box
    x, y = target.offset_px
    # the probe is even: correlation is convolution
    return _convolved(image, probe), (
        float(x + columns.start - half),
        float(y + rows.start - half),
    )


def _convolved(a: Array, b: Array) -> Array:
    """Return the full convolution of two images."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    full = [n + m - 1 for n, m in zip(a.shape, b.shape, strict=True)]
    shape = [next_fast_len(n, real=True) for n in full]
    spectrum = rfft2(a, shape, workers=1) * rfft2(b, shape, workers=1)
    return np.asarray(irfft2(spectrum, s=shape, workers=1)[: full[0], : full[1]])
