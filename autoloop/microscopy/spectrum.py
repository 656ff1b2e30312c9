"""Which zones, and how turned, the two sides of an image may show: spectra searched.

The image is cut along trial lines; the spectrum of each side is compared with the
kinematic patterns of all zones at all angles. Nothing but the crystals is known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import DataError
from autoloop.microscopy.lattice_search import Placement, View, ramp
from autoloop.microscopy.orientations import natural_ups
from autoloop.microscopy.reflections import Array, Reflections, zone_reflections

SECTOR: Final = 15.0
"""Step of the angles at which trial lines are laid [degrees]."""

TURN: Final = 1.5
"""Step of the in-plane angles [degrees]: spots of 20 Å wide grains are wider."""

SCALES: Final = np.log(np.linspace(0.95, 1.05, 7))
SHEARS: Final = np.array([-0.02, 0.0, 0.02])

DISTINCT: Final = 4.0
"""Hypotheses of one zone closer than this are the same [degrees]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hypothesis:
    """A crystal in an orientation that one side of a line may show.

    Attributes
    ----------
    grain : Grain
        In the frame of the image: y up, x right.
    score : float
        Amplitude at the expected reflections, each weighted as expected.
    log_scale, shear : float
        At which it was found.
    """

    grain: Grain
    score: float
    log_scale: float
    shear: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """A zone of a crystal and its reflections before it is turned."""

    grain: Grain
    reflections: Reflections


def patterns_of(
    crystal: Crystal, zones: tuple[tuple[int, int, int], ...], resolution: float
) -> list[Pattern]:
    """Return the zones that show a lattice at a resolution [Å]."""
    patterns = []
    for zone in zones:
        grain = Grain(crystal=crystal, zone_axis=zone, up=natural_ups(crystal, zone)[0])
        try:
            reflections = zone_reflections(grain, resolution)
        except DataError:
            continue
        patterns.append(Pattern(grain=grain, reflections=reflections))
    return patterns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalogue:
    """All patterns at all angles, scales and shears, as places in a spectrum.

    Attributes
    ----------
    matrix : sparse (n, m)
        Weights of the m places for each of n entries.
    places : (m,) int array
        Indices of the places in the flattened half spectrum.
    pattern, turn, log_scale, shear : (n,) arrays
        What each entry stands for; turns in degrees.
    """

    matrix: Any
    places: NDArray[np.int64]
    pattern: NDArray[np.int64]
    turn: Array
    log_scale: Array
    shear: Array


def catalogue_of(
    patterns: list[Pattern], view: View, size: tuple[int, int]
) -> Catalogue:
    """Lay out all patterns on a padded spectrum of a view.

    Parameters
    ----------
    patterns : list of Pattern
        What may be seen.
    view : View
        For its pixel size.
    size : (int, int)
        Rows and columns of the padded image.
    """
    from scipy.sparse import csr_matrix

    turns = np.arange(0.0, 180.0, TURN)
    scale, shear = (v.ravel() for v in np.meshgrid(SCALES, SHEARS, indexing="ij"))
    inverses = np.linalg.inv(
        [
            Placement(angle_deg=0.0, log_scale=a, shear=s).frame(view).matrix
            for a, s in zip(scale, shear, strict=True)
        ]
    )
    angle = np.deg2rad(turns)
    turning = np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    ).transpose(2, 0, 1)
    maps = (turning[:, None] @ inverses[None]).reshape(-1, 2, 2)
    columns, weights, owner = [], [], []
    for number, pattern in enumerate(patterns):
        expected = np.abs(pattern.reflections.amplitudes)
        f = pattern.reflections.g @ maps
        n = len(f)
        columns.append(_places(f, size).ravel())
        weights.append(np.tile(expected / np.linalg.norm(expected), n))
        owner.append(np.repeat(np.arange(n) + n * number, len(expected)))
    places, inverse = np.unique(np.concatenate(columns), return_inverse=True)
    n = len(maps)
    matrix = csr_matrix(
        (np.concatenate(weights), (np.concatenate(owner), inverse)),
        shape=(n * len(patterns), len(places)),
        dtype=np.float32,
    )
    repeat = len(patterns)
    return Catalogue(
        matrix=matrix,
        places=places,
        pattern=np.repeat(np.arange(repeat), n),
        turn=np.tile(np.repeat(turns, len(scale)), repeat),
        log_scale=np.tile(np.tile(scale, len(turns)), repeat),
        shear=np.tile(np.tile(shear, len(turns)), repeat),
    )


def _places(f: Array, size: tuple[int, int]) -> NDArray[np.int64]:
    """Nearest places of frequencies (..., 2) in the flattened half spectrum."""
    n_y, n_x = size
    f = np.where(f[..., :1] < 0, -f, f)
    column = np.minimum(np.round(f[..., 0] * n_x).astype(np.int64), n_x // 2)
    row = np.round(f[..., 1] * n_y).astype(np.int64) % n_y
    return np.asarray(row * (n_x // 2 + 1) + column)


def padded_size(view: View) -> tuple[int, int]:
    """Rows and columns of the padded image: spots then span two places or more."""
    from scipy.fft import next_fast_len

    n_y, n_x = (int(next_fast_len(2 * n, real=True)) for n in view.shape)
    return n_y, n_x + n_x % 2


def side_spectra(
    view: View, lines: list[Placement], size: tuple[int, int], places: NDArray[np.int64]
) -> Array:
    """Return spectra of both sides of lines at places, above their surroundings.

    Returns
    -------
    (m, 2 k) float array
        Above and below each of k lines, in turn; moduli per unit weight.
    """
    from scipy.fft import rfft2

    edges, spectra = view.edge_weights, []
    ring, n_rings = _rings(size, places)
    for line in lines:
        heights = line.heights(view)
        for side in (1, -1):
            window = edges * ramp(side * heights)
            values = (view.values * window).astype(np.float32)
            spectrum = np.abs(rfft2(values, size)).ravel()[places]
            spectrum = spectrum / max(float(window.sum()), 1.0)
            total = np.bincount(ring, spectrum, n_rings)
            mean = total / np.maximum(np.bincount(ring, minlength=n_rings), 1)
            spectra.append(spectrum - mean[ring])
    return np.array(spectra).T


def _rings(
    size: tuple[int, int], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    n_y, n_x = size
    row, column = np.divmod(places, n_x // 2 + 1)
    f_y = (row / n_y + 0.5) % 1.0 - 0.5
    ring = (np.hypot(f_y, column / n_x) * 40).astype(np.int64)
    return ring, int(ring.max()) + 1


def best_hypotheses(
    catalogue: Catalogue, patterns: list[Pattern], scores: Array, n: int
) -> tuple[Hypothesis, ...]:
    """Return the best entries that differ in zone or angle, at most n.

    Parameters
    ----------
    catalogue, patterns
        What the scores stand for.
    scores : (n,) float array
        Of one side; -inf where an entry is ruled out.
    n : int
        How many.
    """
    per_turn = len(SCALES) * len(SHEARS)
    turns = scores.reshape(-1, per_turn)
    top = turns.argmax(axis=1)
    height = turns.max(axis=1).copy()
    found: list[Hypothesis] = []
    n_turns = round(180.0 / TURN)
    while len(found) < n:
        k = int(height.argmax())
        if not np.isfinite(height[k]):
            break
        entry = k * per_turn + int(top[k])
        pattern = patterns[catalogue.pattern[entry]]
        found.append(_hypothesis(catalogue, pattern, entry, float(height[k])))
        symmetric = _turns_alike(pattern)
        for turn in symmetric:
            about = catalogue.turn[entry] + turn
            away = np.arange(n_turns) * TURN - about
            away = np.abs((away + 90.0) % 180.0 - 90.0) < DISTINCT
            start = int(catalogue.pattern[entry]) * n_turns
            height[start : start + n_turns][away] = -np.inf
    return tuple(found)


def _hypothesis(
    catalogue: Catalogue, pattern: Pattern, entry: int, score: float
) -> Hypothesis:
    grain = pattern.grain
    return Hypothesis(
        grain=Grain(
            crystal=grain.crystal,
            zone_axis=grain.zone_axis,
            up=grain.up,
            rotation_deg=float(catalogue.turn[entry]),
        ),
        score=score,
        log_scale=float(catalogue.log_scale[entry]),
        shear=float(catalogue.shear[entry]),
    )


def _turns_alike(pattern: Pattern) -> list[float]:
    """Return the turns that leave the moduli of a pattern as they are [degrees]."""
    g, weight = pattern.reflections.g, np.abs(pattern.reflections.amplitudes)
    both, twice = np.vstack((g, -g)), np.tile(weight, 2)
    alike = []
    for turn in (0.0, 60.0, 90.0, 120.0):
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        moved = both @ np.array([[c, s], [-s, c]])
        gaps = np.linalg.norm(moved[:, None] - both, axis=2)
        partner = gaps.argmin(axis=1)
        same = np.abs(twice - twice[partner]) < 0.02 * weight.max()
        if np.all((gaps.min(axis=1) < 1e-3) & same):
            alike.append(turn)
    return alike
