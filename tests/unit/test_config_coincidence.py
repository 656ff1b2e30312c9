"""A boundary given by axis, Sigma and plane: what it becomes, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.config import Campaign, check_campaign, dump_campaign, load_campaign
from autoloop.config import movable as absolute
from autoloop.domain import Grain
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.crystals import find_crystal

SHORT = """\
name: cu_s5
coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 5, plane: [3, 1, 0]}
cell: {max_depth: 30, max_repeat: [2, 3], max_missing: 2}
energy: {potential: Cu_mishin1.eam.alloy}
policy: random_search
budget: {evaluations: 24}
"""
CUBIC_P1 = """\
Cu4
1.0
3.6 0 0
0 3.6 0
0 0 3.6
Cu
4
Direct
0 0 0
0.5 0.5 0
0.5 0 0.5
0 0.5 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def edited(old: str, new: str) -> str:
    assert SHORT.count(old) == 1, f"{old!r} must occur once"
    return SHORT.replace(old, new)


def test_two_grains_stand_in_its_place(tmp_path: Path) -> None:
    campaign = load_campaign(write(tmp_path, SHORT)).campaign
    upper, lower = campaign.grains
    assert campaign.coincidence is None
    assert (upper.crystal, upper.zone_axis, upper.up) == ("Cu", (0, 0, 1), (3, 1, 0))
    assert (lower.zone_axis, lower.up) == ((0, 0, 1), (3, -1, 0))
    assert upper.oriented
    assert lower.oriented


def test_what_is_written_out_names_both_grains(tmp_path: Path) -> None:
    """Nothing but the dump is needed to go on with a run."""
    campaign = load_campaign(write(tmp_path, SHORT)).campaign
    text = dump_campaign(campaign)
    assert "coincidence" not in text
    assert text.count("crystal: Cu") == 2
    assert load_campaign(write(tmp_path, text)).campaign == campaign


def test_cell_keys(tmp_path: Path) -> None:
    cell = load_campaign(write(tmp_path, SHORT)).campaign.cell
    assert (cell.max_depth, cell.max_repeat, cell.max_missing) == (30.0, (2, 3), 2)
    plain = load_campaign(write(tmp_path, edited("cell:", "# cell:"))).campaign.cell
    assert (plain.max_depth, plain.max_repeat, plain.max_missing) == (40.0, (1, 1), 0)


@pytest.mark.parametrize("angle", [36.87, -36.87, 53.13, 126.87])
def test_the_angle_chooses_among_turns(tmp_path: Path, angle: float) -> None:
    """By definition the lower grain's directions are turned by it about the axis."""
    text = edited("[3, 1, 0]}", f"[3, 1, 0], angle_deg: {angle}}}")
    crystal = find_crystal("Cu")
    upper, lower = (
        orientation(Grain(crystal=crystal, zone_axis=section.zone_axis, up=section.up))
        for section in load_campaign(write(tmp_path, text)).campaign.grains
        if section.zone_axis is not None and section.up is not None
    )
    between = lower.T @ upper  # from directions of the upper to those of the lower
    turn = np.degrees(np.arctan2(between[1, 0], between[0, 0]))
    assert turn == pytest.approx(angle, abs=0.01)


def test_structure_file_starts_from_the_folder_of_the_run_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cubic.vasp").write_text(CUBIC_P1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = load_campaign(
        write(tmp_path, edited("crystal: Cu", "crystal: cubic.vasp"))
    )
    check_campaign(loaded)
    assert {g.crystal for g in absolute(loaded).grains} == {
        str((tmp_path / "cubic.vasp").resolve())
    }


MISTAKES = {
    "no such sigma": (
        "sigma: 5",
        "sigma: 7",
        "2:45: coincidence.sigma: no turn about [0, 0, 1] has sigma 7",
        "about it there are 5, 13",
    ),
    "even sigma": (
        "sigma: 5",
        "sigma: 6",
        "2:45: coincidence.sigma: must be odd",
        "got 6",
    ),
    "sigma of one": ("sigma: 5", "sigma: 1", "2:45: coincidence.sigma:", "at least 3"),
    "not cubic": (
        "crystal: Cu",
        "crystal: Ti",
        "2:15: coincidence.crystal: crystal Ti is not cubic",
        "give zone_axis, up and rotation_deg of both grains",
    ),
    "unknown crystal": (
        "crystal: Cu",
        "crystal: CdTo",
        "2:15: coincidence.crystal: unknown crystal 'CdTo'",
        "did you mean 'CdTe'?",
    ),
    "no such angle": (
        "[3, 1, 0]}",
        "[3, 1, 0], angle_deg: 20}",
        "2:73: coincidence.angle_deg: no turn about [0, 0, 1] by 20 degrees",
        "these have: 36.87",
    ),
    "no direction": (
        "[0, 0, 1]",
        "[0, 0, 0]",
        "2:28: coincidence.axis: [0, 0, 0] is no direction",
        "write three indices",
    ),
    "missing key": (
        "axis: [0, 0, 1], ",
        "",
        "2:1: coincidence.axis: is missing",
        "write for example 'axis: [0, 0, 1]'",
    ),
    "misspelt key": (
        "[3, 1, 0]}",
        "[3, 1, 0], angel_deg: 53}",
        "2:73: coincidence.angel_deg: unknown key 'angel_deg'",
        "did you mean 'angle_deg'?",
    ),
    "high indices": (
        "sigma: 5",
        "sigma: 101",
        "2:1: coincidence: needs a grain whose direction [277, 159, 0]",
        "choose others",
    ),
    "both forms": (
        "cell: {",
        "grains: [{crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}, {crystal: Cu, "
        "zone_axis: [0, 0, 1], up: [3, -1, 0]}]\ncell: {",
        "2:1: coincidence: names both grains, and so does 'grains' in line 3",
        "remove one of the two",
    ),
    "no repetition": (
        "max_repeat: [2, 3]",
        "max_repeat: [0, 3]",
        "3:36: cell.max_repeat[0]: must be at least 1, got 0",
        "",
    ),
    "one repetition": (
        "max_repeat: [2, 3]",
        "max_repeat: [2]",
        "3:23: cell.max_repeat: must have 2 values, got 1",
        "",
    ),
    "fewer than none": (
        "max_missing: 2",
        "max_missing: -1",
        "3:43: cell.max_missing: must be at least 0, got -1",
        "",
    ),
    "keys of the cell elsewhere": (
        "budget: {",
        "search: {max_repeat: [1, 2]}\nbudget: {",
        "6:10: search.max_repeat: unknown key 'max_repeat' here",
        "belongs under 'cell'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_with_place_key_and_remedy(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, place_and_key, remedy = MISTAKES[mistake]
    path = write(tmp_path, edited(old, new))
    assert main(["validate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"autoloop: {path}:{place_and_key}")
    assert remedy in err


def test_other_mistakes_are_told_as_well(tmp_path: Path) -> None:
    text = edited("sigma: 5", "sigma: 7").replace("evaluations: 24", "evaluations: 0")
    with pytest.raises(ConfigError) as caught:
        load_campaign(write(tmp_path, text))
    first, second = str(caught.value).splitlines()
    assert "coincidence.sigma" in first
    assert "budget.evaluations" in second


def test_what_is_wrong_with_the_grains_is_told_at_its_line(tmp_path: Path) -> None:
    loaded = load_campaign(write(tmp_path, SHORT))
    assert loaded.located(("grains",), "no cell").startswith(f"{loaded.path}:2:1: ")


def test_the_schema_takes_one_of_the_two_forms() -> None:
    schema = Campaign.model_json_schema()
    assert "grains" not in schema["required"]
    assert {tuple(one["required"]) for one in schema["oneOf"]} == {
        ("grains",),
        ("coincidence",),
    }
