"""Choices for a first run file."""

from __future__ import annotations

from autoloop.preparation.defaults import usual_optics


def test_optics_by_beam_energy() -> None:
    assert usual_optics(None).beam_energy_kev == 200.0
    assert usual_optics(60.0).convergence_mrad == 31
    at_300 = usual_optics(300.0)
    assert (at_300.beam_energy_kev, at_300.convergence_mrad) == (300.0, 21)
    for energy in (60.0, 200.0, 300.0):
        optics = usual_optics(energy)
        assert optics.detector_mrad[0] > 2 * optics.convergence_mrad
