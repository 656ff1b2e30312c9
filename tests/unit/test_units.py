"""Conversions against tables."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.units import EV_PER_A2_IN_J_PER_M2, FWHM_IN_SIGMA, electron_wavelength


@pytest.mark.parametrize(
    ("kev", "picometre"),
    # Williams and Carter, Transmission Electron Microscopy (2009), table 1.2.
    [(100, 3.70), (120, 3.35), (200, 2.51), (300, 1.97), (400, 1.64), (1000, 0.87)],
)
def test_wavelengths_of_the_textbook(kev: float, picometre: float) -> None:
    # The table has two decimals.
    assert electron_wavelength(kev) * 100 == pytest.approx(picometre, abs=0.0051)


def test_energies_per_area() -> None:
    # 1 J/m² is 62.415 meV/Å².
    joule = 0.0624150907 * EV_PER_A2_IN_J_PER_M2
    assert joule == pytest.approx(1.0, rel=1e-8)


def test_full_width_at_half_maximum() -> None:
    assert np.exp(-((FWHM_IN_SIGMA / 2) ** 2) / 2) == pytest.approx(0.5)
