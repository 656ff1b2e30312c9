"""How good an image could be is said beside how good it is."""

from __future__ import annotations

from autoloop.comparison import NoiseFloor
from autoloop.domain import Score
from autoloop.report.floor import floor_statement, floor_table, unexplained_statement


def floor(**figures: float | None) -> NoiseFloor:
    known: dict[str, float | None] = {
        "ssim": 0.9,
        "ssim_spread": 0.002,
        "ssim_7": 0.8,
        "ssim_7_spread": 0.002,
        "ssim_35": 0.85,
        "ssim_35_spread": 0.002,
        "emd_angstrom_per_column": 0.03,
        "emd_spread": 0.01,
        "mse": 4.0,
        "mse_spread": 0.1,
        "ssim_bulk": 0.86,
        "ssim_bulk_floor": 0.91,
        "noise": 2.0,
        "jitter_px": 0.1,
    }
    return NoiseFloor(**known | figures)  # type: ignore[arg-type]


def test_statement_names_score_floor_and_bulk() -> None:
    said = floor_statement(floor(), Score(ssim=0.84))
    assert said is not None
    assert "SSIM 0.840" in said
    assert "0.900 ± 0.002" in said
    assert "0.860 of 0.910" in said


def test_without_bulk_nothing_is_said_of_it() -> None:
    said = floor_statement(floor(ssim_bulk=None), Score(ssim=0.84))
    assert said is not None
    assert "bulk" not in said


def test_a_boundary_that_no_structure_explains_is_said_to_be_open() -> None:
    """Noise leaves 0.90 - 2 x 0.002; the image's model loses 0.05 of it in bulk."""
    scores = [Score(ssim=0.6), Score(ssim=0.7), Score()]
    said = unexplained_statement(floor(), scores)
    assert said is not None
    assert "SSIM 0.70 at best" in said
    assert "would reach 0.85" in said
    assert "do not decide" in said
    assert unexplained_statement(floor(), [*scores, Score(ssim=0.75)]) is None
    assert unexplained_statement(floor(ssim_bulk=None), scores) is None
    assert unexplained_statement(None, scores) is None
    assert unexplained_statement(floor(), [Score()]) is None


def test_without_image_there_is_no_statement() -> None:
    assert floor_statement(None, Score(ssim=0.84)) is None
    assert floor_statement(floor(), Score()) is None
    assert floor_table(None) is None


def test_the_table_has_what_scores_are_compared_with() -> None:
    table = floor_table(floor())
    assert table is not None
    assert {"ssim", "ssim_7", "ssim_35", "emd_angstrom_per_column", "mse"} <= set(table)
