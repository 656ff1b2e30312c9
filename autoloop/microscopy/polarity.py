"""Which way a polar crystal lies: read from the dumbbells, through the reflections.

The two polarities have one lattice; their images differ by what is not symmetric in
the pattern, for zincblende along <110> by the brightness of the two columns of a
dumbbell. How much of the antisymmetric part the measured amplitudes hold is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from autoloop.domain import Grain
from autoloop.microscopy.lattice_fit import SeenLattice, power_between
from autoloop.microscopy.orientations import amplitudes_of, turned_variants
from autoloop.microscopy.reflections import (
    Array,
    ComplexArray,
    lattice_origin,
    zone_reflections,
)

DECIDED: Final = 0.95
"""Probability from which on a polarity counts as seen."""

SYSTEMATIC: Final = 0.03
"""Asymmetry that a tilt of some mrad or coma may feign, relative to the amplitudes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Polarity:
    """What an image says of the polarity of a grain.

    Attributes
    ----------
    grain : Grain
        The likelier orientation.
    verdict : str
        "none" if the crystal has no polarity, "seen" if the image decides, else
        "undecided".
    confidence : float
        Probability of `grain` against the other one, 0.5 to 1; 1 for "none".
    """

    grain: Grain
    verdict: str
    confidence: float


def polarity_of(grain: Grain, seen: SeenLattice, resolution: float) -> Polarity:
    """Compare a fitted lattice with both polarities of its grain.

    Parameters
    ----------
    grain : Grain
        Orientation in the boundary frame, one of the two.
    seen : SeenLattice
        Its lattice as fitted.
    resolution : float
        Finest spacing included in the fit [Å].
    """
    expected = seen.reflections.amplitudes
    rivals = [
        (v, amplitudes_of(seen.reflections, zone_reflections(v, resolution)))
        for v in turned_variants(grain)[1:]
    ]
    n_own = len(turned_variants(grain)) // 2
    polar = n_own > 1
    best = Polarity(grain=grain, verdict="none", confidence=1.0)
    if not polar:
        return best
    for rival, amplitudes in rivals:
        share = _antisymmetric_share(seen, expected, amplitudes)
        if share is None:
            continue
        value, sigma = share
        odds = float(np.clip(2 * value / sigma**2, -50, 50))
        chance = 1 / (1 + np.exp(-odds))
        confidence = float(max(chance, 1 - chance))
        return Polarity(
            grain=grain if chance >= 0.5 else rival,
            verdict="seen" if confidence >= DECIDED else "undecided",
            confidence=confidence,
        )
    return Polarity(grain=grain, verdict="undecided", confidence=0.5)


def _antisymmetric_share(
    seen: SeenLattice, own: ComplexArray, other: ComplexArray
) -> tuple[float, float] | None:
    """Return where between other (-1) and own (1) the amplitudes lie, and its sigma.

    None where the two patterns do not differ.
    """
    g = seen.reflections.g
    other = other * _waves(g, lattice_origin(seen.reflections, other))
    even, odd = (own + other) / 2, (own - other) / 2
    weight = np.linalg.norm(odd) / np.linalg.norm(even)
    if weight < SYSTEMATIC / 2:
        return None
    measured = seen.fit.amplitudes
    measured = measured * _waves(g, lattice_origin(seen.reflections, measured))
    damping = _damping(measured, even, g)
    terms = [even, odd, *(2j * np.pi * g.T * even)]
    design = np.array([damping * t for t in terms]).T
    split = np.vstack((design.real, design.imag))
    target = np.concatenate((measured.real, measured.imag))
    solution, *_ = np.linalg.lstsq(split, target, rcond=None)
    left = target - split @ solution
    noise = power_between(seen) / len(g) / 2
    variance = max(noise, float(left @ left) / (len(target) - 4))
    covariance = variance * np.linalg.inv(split.T @ split)
    sigma = np.sqrt(covariance[1, 1]) / abs(solution[0])
    return (
        float(solution[1] / solution[0]),
        float(np.hypot(sigma, SYSTEMATIC / weight)),
    )


def _waves(g: Array, origin: Array) -> ComplexArray:
    return np.asarray(np.exp(2j * np.pi * (g @ origin)))


def _damping(measured: ComplexArray, even: ComplexArray, g: Array) -> Array:
    """Fall of the measured amplitudes with the square of g against the expected."""
    seen = np.abs(even) > 0.05 * np.abs(even).max()
    square = np.sum(g**2, axis=1)
    ratio = np.log(np.abs(measured[seen]) / np.abs(even[seen]))
    weights = np.abs(measured[seen])
    slope, level = np.polyfit(square[seen], ratio, 1, w=weights)
    return np.asarray(np.exp(level + slope * square))
