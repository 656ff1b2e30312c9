"""What the run file opens to the search reaches the search space and the template."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloop.config import load_campaign
from autoloop.errors import ConfigError
from autoloop.preparation import prepare

RUN = """\
name: cu
{boundary}
cell: {cell}
energy: {{potential: Cu_mishin1.eam.alloy}}
budget: {{evaluations: 4}}
"""
SHORT = "coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 5, plane: [2, 1, 0]}"
LONG = """\
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [2, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [2, -1, 0]}"""
TWO_DEPTHS = """\
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [1, 0, 0]}
  - {crystal: Cu, zone_axis: [1, 1, 0], up: [0, 0, 1]}"""


def written(folder: Path, boundary: str, cell: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(RUN.format(boundary=boundary, cell=cell))
    return path


def test_repetition_and_density_become_dimensions(tmp_path: Path) -> None:
    cell = "{max_repeat: [1, 2], max_missing: 3}"
    space = prepare(load_campaign(written(tmp_path, LONG, cell))).space
    found = {d.name: (d.kind, d.low, d.high) for d in space.dimensions}
    assert found["repeat_z"] == ("integer", 1, 2)
    assert found["missing_0"] == ("integer", 0, 3)
    assert "repeat_x" not in found


def test_without_them_the_space_is_as_before(tmp_path: Path) -> None:
    space = prepare(load_campaign(written(tmp_path, LONG, "{max_period: 50}"))).space
    assert [d.name for d in space.dimensions] == ["shift_u", "shift_v", "overlap"]


def test_short_form_makes_the_same_template(tmp_path: Path) -> None:
    short, long = (
        prepare(load_campaign(written(tmp_path, form, "{max_period: 50}")))
        for form in (SHORT, LONG)
    )
    # [1, 2, 0] instead of [2, -1, 0]: a quarter turn, a symmetry of the crystal
    assert short.campaign.grains[1].up == (1, 2, 0)
    one, other = (p.context.template for p in (short, long))
    assert (one.width, one.depth) == (other.width, other.depth)
    assert one.shift_cell == pytest.approx(other.shift_cell)


def test_max_depth_bounds_the_cell_along_the_beam(tmp_path: Path) -> None:
    """Periods of 1 and 1 / sqrt(2) edges: 5 on 7 differ by 1 %, 2 on 3 by 6 %."""
    deep = prepare(load_campaign(written(tmp_path, TWO_DEPTHS, "{max_depth: 20}")))
    assert deep.context.template.depth == pytest.approx(4.975 * 3.615, rel=1e-3)
    with pytest.raises(ConfigError, match="the best up to 10 Å is 2 on 3"):
        prepare(load_campaign(written(tmp_path, TWO_DEPTHS, "{max_depth: 10}")))
