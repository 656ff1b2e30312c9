"""The probe against the analytic limit, a brute-force transform and abTEM."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from autoloop.errors import DataError
from autoloop.imaging.cross_sections import cross_section, scattering_factor
from autoloop.imaging.probe import (
    Microscope,
    probe_transfer,
    scattering_power,
    z_exponent,
)


def microscope(**changes: object) -> Microscope:
    settings = {
        "beam_energy_kev": 200.0,
        "convergence_mrad": 22.0,
        "detector_mrad": (70.0, 135.0),
    }
    return Microscope(**(settings | changes))


@pytest.mark.parametrize(("energy", "alpha"), [(200.0, 22.0), (60.0, 31.0)])
def test_without_aberrations_it_is_the_overlap_of_two_circles(energy, alpha):
    scope = microscope(beam_energy_kev=energy, convergence_mrad=alpha)
    k = np.linspace(0, 1.2 * scope.cutoff, 701)
    x = np.clip(k / scope.cutoff, 0, 1)
    exact = 2 / np.pi * (np.arccos(x) - x * np.sqrt(1 - x**2))
    # the spline through the table leaves 4e-8
    np.testing.assert_allclose(probe_transfer(scope, k), exact, atol=1e-6)


@pytest.mark.parametrize(("defocus", "cs"), [(60.0, 0.0), (-40.0, 0.02), (0.0, 0.05)])
def test_with_aberrations_it_is_the_transform_of_the_probe(defocus, cs):
    scope = microscope(defocus=defocus, spherical_aberration_mm=cs)
    n, extent = 1024, 150.0  # the probes are within 30 Å
    f = np.fft.fftfreq(n, extent / n)
    q = np.hypot(*np.meshgrid(f, f))
    wavelength = scope.wavelength
    chi = np.pi * wavelength * -defocus * q**2
    chi += np.pi / 2 * cs * 1e7 * wavelength**3 * q**4
    aperture = (q <= scope.cutoff / 2) * np.exp(-1j * chi)
    transfer = np.fft.fft2(np.abs(np.fft.ifft2(aperture)) ** 2).real
    transfer /= transfer[0, 0]
    # the grid's aperture has a ragged edge: 132 pixels wide, error 3e-4
    np.testing.assert_allclose(probe_transfer(scope, q), transfer, atol=1e-3)


@pytest.mark.parametrize(("defocus", "cs"), [(0.0, 0.0), (40.0, 0.0), (80.0, 0.04)])
def test_it_agrees_with_abtem(defocus, cs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of abTEM's own dependencies
        import abtem

        probe = abtem.Probe(
            energy=200e3,
            semiangle_cutoff=22.0,
            defocus=defocus,
            Cs=cs * 1e7,
            extent=(60.0, 60.0),
            gpts=(512, 512),
            soft=False,
        )
        intensity = np.asarray(probe.build(lazy=False).intensity().array, float)
    transfer = np.abs(np.fft.fft2(intensity))
    transfer /= transfer[0, 0]
    f = np.fft.fftfreq(512, 60.0 / 512)
    k = np.hypot(*np.meshgrid(f, f))
    ours = np.abs(
        probe_transfer(microscope(defocus=defocus, spherical_aberration_mm=cs), k)
    )
    # the ragged edge of an aperture 106 pixels wide
    np.testing.assert_allclose(ours, transfer, atol=2e-3)
    # and the sign of the defocus matters where there is spherical aberration
    if cs:
        wrong = np.abs(
            probe_transfer(microscope(defocus=-defocus, spherical_aberration_mm=cs), k)
        )
        assert np.abs(wrong - transfer).max() > 0.1


@pytest.mark.parametrize(("defocus", "cs"), [(0.0, 0.0), (60.0, 0.04)])
def test_a_thick_specimen_has_the_mean_of_the_probes_at_all_depths(defocus, cs):
    scope = microscope(defocus=defocus, spherical_aberration_mm=cs, thickness=90.0)
    k = np.linspace(0, scope.cutoff, 83)
    depths = (np.arange(60) + 0.5) * 1.5
    probes = [
        probe_transfer(replace(scope, thickness=0.0, defocus=defocus - z), k)
        for z in depths
    ]
    # the midpoint rule with 1.5 Å leaves 1e-5, the splines in k 1e-3
    np.testing.assert_allclose(
        probe_transfer(scope, k), np.mean(probes, axis=0), atol=1e-3
    )


def test_scattering_factors_are_those_of_abtem():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from abtem.parametrizations import LobatoParametrization

    q = np.linspace(0.0, 8.0, 50)
    for number, symbol in ((6, "C"), (29, "Cu"), (52, "Te"), (83, "Bi")):
        theirs = LobatoParametrization().scattering_factor(symbol)
        # its argument is the square; its coefficients are rounded in the sixth digit
        np.testing.assert_allclose(
            scattering_factor(number, q), theirs(q**2), rtol=1e-5
        )


def test_the_scattering_factor_falls_as_rutherford_has_it():
    """At high angles f = 2 Z / (a0 (2 pi q)²), a0 Bohr's radius: no screening."""
    bohr, q = 0.529177, np.array([12.0])
    for number in (14, 29, 48):
        bare = 2 * number / (bohr * (2 * np.pi * q) ** 2)
        # electrons screen 2 (Si) to 4 % (Cd) at 12 / Å
        assert scattering_factor(number, q) == pytest.approx(bare, rel=0.05)


def test_cross_sections_add_up_over_rings():
    whole = cross_section(200.0, (60.0, 180.0), 52)
    rings = [cross_section(200.0, ring, 52) for ring in ((60.0, 90.0), (90.0, 180.0))]
    assert sum(rings) == pytest.approx(whole, rel=1e-4)  # of the trapezoidal rule


def test_tellurium_is_brighter_than_cadmium_by_less_than_the_power_of_z():
    scope = microscope(detector_mrad=(70.0, 150.0))
    cadmium, tellurium, again = scattering_power(scope, np.array([48, 52, 48]))
    assert cadmium == again
    # one shell: the outer electrons screen both alike at these angles
    assert tellurium / cadmium == pytest.approx(1.147, abs=0.001)
    assert tellurium / cadmium < (52 / 48) ** z_exponent(scope)


def test_an_element_without_a_table_is_named():
    with pytest.raises(DataError, match=r"element Rf \(Z = 104\) has no electron"):
        scattering_power(microscope(), np.array([104]))


@pytest.mark.parametrize(
    ("energy", "detector", "low", "high"),
    [(200.0, (70.0, 135.0), 1.85, 1.90), (60.0, (58.0, 200.0), 1.6, 1.75)],
)
def test_the_z_exponent_lies_between_screened_and_rutherford(
    energy, detector, low, high
):
    """Measured at 60 keV, 58 to 200 mrad: 1.64 (doi:10.1038/nature08879)."""
    found = z_exponent(microscope(beam_energy_kev=energy, detector_mrad=detector))
    assert low < found < high


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_energy_kev": 0.0},
        {"convergence_mrad": -1.0},
        {"detector_mrad": (80.0, 60.0)},
        {"thickness": -1.0},
    ],
)
def test_impossible_microscopes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        microscope(**wrong)
