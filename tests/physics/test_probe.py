"""The probe against the analytic limit, a brute-force transform and abTEM."""

import warnings

import numpy as np
import pytest

from autoloop.imaging.probe import Microscope, probe_transfer, z_exponent
from autoloop.units import MRAD, electron_wavelength


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


@pytest.mark.parametrize(
    ("energy", "detector"),
    [(200.0, (70.0, 135.0)), (300.0, (60.0, 200.0)), (60.0, (58.0, 200.0))],
)
def test_z_exponent_is_the_slope_of_atomic_cross_sections(energy, detector):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from abtem.parametrizations import LobatoParametrization
    from ase.data import chemical_symbols

    factors = LobatoParametrization()
    numbers = np.arange(6, 84)
    k = np.linspace(*detector, 400) * MRAD / electron_wavelength(energy)
    scattering = [factors.scattering_factor(chemical_symbols[z])(k) for z in numbers]
    cross_section = [np.trapezoid(np.asarray(f) ** 2 * k, k) for f in scattering]
    slope = np.polyfit(np.log(numbers), np.log(cross_section), 1)[0]
    found = z_exponent(microscope(beam_energy_kev=energy, detector_mrad=detector))
    assert found == pytest.approx(slope, abs=0.015)  # the error that it documents


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_energy_kev": 0.0},
        {"convergence_mrad": -1.0},
        {"detector_mrad": (80.0, 60.0)},
    ],
)
def test_impossible_microscopes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        microscope(**wrong)
