from dataclasses import replace

import pytest

from autoloop.imaging.limits import linear_limit, linear_warning
from autoloop.imaging.probe import Microscope

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 150.0)
)


def test_it_is_what_was_measured_and_less_for_slower_electrons():
    assert linear_limit(SCOPE) == pytest.approx(60.0)
    slow, fast = (linear_limit(replace(SCOPE, beam_energy_kev=e)) for e in (80, 300))
    # interaction constants 1.009, 0.729 and 0.653 mrad/(V Å)
    assert slow == pytest.approx(60 * 0.729 / 1.009, rel=0.002)
    assert fast == pytest.approx(60 * 0.729 / 0.653, rel=0.002)


@pytest.mark.parametrize("thickness", [0.0, 30.0, 61.5])
def test_thin_specimens_pass_in_silence(thickness):
    assert linear_warning(replace(SCOPE, thickness=thickness)) is None


def test_a_thick_specimen_is_named_with_its_remedy():
    text = linear_warning(replace(SCOPE, thickness=100.0))
    assert text is not None
    assert "100 Å thick: beyond about 60 Å at 200 keV" in text
    assert "--engine abtem" in text
    assert "\n" not in text
