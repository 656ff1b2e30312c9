"""The orientations that spectra suggest, judged on the pixels of one side of a line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoloop.domain import Grain
from autoloop.microscopy.lattice_fit import Fit, Patch, fit_lattice, own_turn
from autoloop.microscopy.lattice_pair import patch_of
from autoloop.microscopy.lattice_search import Placement, View, half_spectra, match
from autoloop.microscopy.orientations import (
    half_turned,
    pattern_correlation,
    same_orientation,
)
from autoloop.microscopy.reflections import Array, Reflections, zone_reflections
from autoloop.microscopy.spectrum import Hypothesis

LIKELY_STRAIN: Final = 0.045
"""Lattices are drawn out by drift and shear by less than this; more takes from the
confidence, and twice as much leaves none."""

LIKELY_SCALE: Final = 0.06
"""The same of the pixel size: right within 5 %, and drift adds to it."""

SIGNIFICANT: Final = 3.0
"""Amplitude of a reflection that is seen, in units of the noise between reflections."""

SAME_LATTICE: Final = 2.0
"""Fits that started apart and end closer than this found one lattice [degrees]."""

SAME_RING: Final = 0.05
"""Reflections whose lengths differ by less are of one ring."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A hypothesis fitted to the pixels.

    Attributes
    ----------
    grain : Grain
        In the frame of the image, as `Hypothesis.grain`; turned as fitted.
    matrix : (2, 2) float array
        Its map from the frame of the image (y up) [Å] to working pixels.
    quality : float
        0 to 1: share of the image that the expected pattern explains, less for strains
        that no scan has.
    rings : int
        How many different lengths of reflections are seen.
    """

    grain: Grain
    matrix: Array
    quality: float
    rings: int

    @property
    def log_scale_shear(self) -> tuple[float, float]:
        """Logarithm of its pixel size [working pixels] and its slant."""
        a, b = self.matrix[0]
        c, d = self.matrix[1]
        scale = 0.5 * np.log(abs(a * d - b * c))
        return float(-scale), float(-(a * c + b * d) / (c * c + d * d))


def judged(
    view: View,
    line: Placement,
    side: int,
    hypotheses: tuple[Hypothesis, ...],
    resolution: float,
) -> list[Judged]:
    """Fit hypotheses to one side of a line, best first.

    Parameters
    ----------
    view : View
        The micrograph.
    line : Placement
        The trial line.
    side : int
        1 above it, -1 below it.
    hypotheses : tuple of Hypothesis
        To be compared.
    resolution : float
        Finest spacing to include [Å].
    """
    spectrum = half_spectra(view, line)[0 if side > 0 else 1]
    patch = patch_of(view, line, side, 1.5)
    found = []
    for hypothesis in hypotheses:
        reflections = zone_reflections(hypothesis.grain, resolution)
        start = _sharpened(view, reflections, spectrum, hypothesis)
        try:
            matrix, fit = fit_lattice(patch, reflections.g, start.frame(view).matrix)
        except np.linalg.LinAlgError:
            continue
        found.append(_judge(view, patch, hypothesis.grain, reflections, matrix, fit))
    return sorted(found, key=lambda j: -j.quality)


def _sharpened(
    view: View, reflections: Reflections, spectrum: Array, hypothesis: Hypothesis
) -> Placement:
    """Improve angle, scale and shear of a hypothesis on the spectrum of its side."""
    placement = Placement(
        angle_deg=0.0, log_scale=hypothesis.log_scale, shear=hypothesis.shear
    )
    near = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    for halving in (2, 4, 8):
        steps = near * np.array([1.5, 0.016, 0.02]) / halving
        scores = match(view, (reflections,), [spectrum], placement, steps)
        placement = placement.moved(steps[np.argmax(scores)])
    return placement


def _judge(
    view: View,
    patch: Patch,
    grain: Grain,
    reflections: Reflections,
    matrix: Array,
    fit: Fit,
) -> Judged:
    agreement = pattern_correlation(reflections, fit.amplitudes)
    stretch = np.linalg.svd(matrix * view.pixel_size, compute_uv=False)
    strain = abs(float(np.log(stretch[0] / stretch[1])))
    scale = abs(float(np.log(stretch[0] * stretch[1]))) / 2
    likely = np.clip(2 - strain / LIKELY_STRAIN, 0, 1) * np.clip(
        (1.5 * LIKELY_SCALE - scale) / (0.5 * LIKELY_SCALE), 0, 1
    )
    flat = Placement(angle_deg=0.0).frame(view).matrix
    return Judged(
        grain=half_turned(grain, own_turn(matrix, flat)),
        matrix=matrix,
        quality=float((1 - fit.unexplained) * agreement**2 * likely),
        rings=_rings_seen(view, patch, reflections, fit),
    )


def _rings_seen(view: View, patch: Patch, reflections: Reflections, fit: Fit) -> int:
    """Count the different lengths of reflections above the noise."""
    weights = patch.weights
    variance = float(weights @ fit.residual**2 / weights.sum())
    alike = max(1.0, 2.0 / view.pixel_size**2)
    noise = np.sqrt(variance * alike * float(weights @ weights)) / weights.sum()
    seen = np.abs(fit.amplitudes) > SIGNIFICANT * noise
    rings: list[float] = []
    for length in np.sort(np.linalg.norm(reflections.g[seen], axis=1)):
        if not rings or length > (1 + SAME_RING) * rings[-1]:
            rings.append(float(length))
    return len(rings)


def rival(found: list[Judged]) -> Judged | None:
    """Return the best that shows another lattice than the first."""
    best = found[0]
    for other in found[1:]:
        if not same_orientation(best.grain, other.grain, SAME_LATTICE):
            return other
    return None


def in_line_frame(found: Judged, angle_deg: float) -> Grain:
    """Return a grain as it lies in the frame of a line [degrees]."""
    turned = found.grain.rotation_deg - angle_deg
    return replace(found.grain, rotation_deg=turned)
