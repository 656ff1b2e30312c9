"""Short molecular dynamics before a relaxation, as policies draw it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

SHORT: Final = (200, 600)
"""Steps of the dynamics that whole boundaries begin with: about one relaxation more.

Of boundaries assembled at random, heated to 600-1000 K for 300 steps, 54 % reached the
minimum of CdTe S9(221) (33 % without) and 23 % that of Si S5(310) in Tersoff's
potential (1 %), for 2.2 and 1.7 times the work.
"""
MODERATE: Final = (400.0, 1200.0)
"""Temperatures of it [K]: all of that range did about as well."""


def heating(
    rng: np.random.Generator,
    temperatures: tuple[float, float] = MODERATE,
    steps: tuple[int, int] = SHORT,
) -> dict[str, Any]:
    """Draw temperature and length, each evenly in its logarithm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the two draws.
    temperatures : (float, float)
        Range [K].
    steps : (int, int)
        Range.

    Returns
    -------
    dict
        `temperature_k` and `steps`: parameters that a proposal may carry.
    """
    u, v = rng.random(2)
    (cold, hot), (few, many) = temperatures, steps
    return {
        "temperature_k": round(min(float(cold * (hot / cold) ** u), hot), 1),
        "steps": round(few * (many / few) ** v),
    }
