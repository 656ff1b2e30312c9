import pytest

from autoloop.domain import Score
from autoloop.errors import SimulationError
from autoloop.scoring.objective import Objective

WEIGHTS = Objective(ssim=1.0, emd=0.5, energy=0.3)
MEASURED = Score(ssim=0.8, emd_angstrom_per_column=0.3, energy_j_per_m2=0.9)


def test_cost_is_the_weighted_mean_in_natural_units():
    expected = (1.0 * 0.2 + 0.5 * 0.2 + 0.3 * 0.9) / 1.8
    assert WEIGHTS.cost(MEASURED) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    "better",
    [
        {"ssim": 0.85},
        {"emd_angstrom_per_column": 0.2},
        {"energy_j_per_m2": 0.85},
    ],
)
def test_lower_is_better_in_every_term(better):
    figures = {
        "ssim": 0.8,
        "emd_angstrom_per_column": 0.3,
        "energy_j_per_m2": 0.9,
    }
    assert WEIGHTS.cost(Score(**(figures | better))) < WEIGHTS.cost(MEASURED)


def test_without_an_image_energy_alone_counts():
    objective = Objective(ssim=0.0, emd=0.0, energy=0.3)
    assert objective.cost(Score(energy_j_per_m2=0.905)) == pytest.approx(0.905)


def test_without_an_energy_the_image_alone_counts():
    objective = Objective(ssim=1.0, emd=0.5, energy=0.0)
    score = Score(ssim=0.8, emd_angstrom_per_column=0.3)
    assert objective.cost(score) == pytest.approx((0.2 + 0.5 * 0.2) / 1.5)


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (Score(ssim=0.8, emd_angstrom_per_column=0.3), "energy"),
        (Score(energy_j_per_m2=0.9), "ssim"),
        (Score(ssim=0.8, energy_j_per_m2=0.9), "emd"),
        (
            Score(ssim=float("nan"), emd_angstrom_per_column=1, energy_j_per_m2=1),
            "ssim",
        ),
    ],
)
def test_what_has_a_weight_must_be_measured(score, name):
    with pytest.raises(SimulationError, match=f"{name} has weight"):
        WEIGHTS.cost(score)


@pytest.mark.parametrize("weights", [(0, 0, 0), (1, -1, 0), (float("inf"), 0, 0)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite"):
        Objective(ssim=weights[0], emd=weights[1], energy=weights[2])
