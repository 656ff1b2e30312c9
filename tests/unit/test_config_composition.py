"""Energies that the compositions of the crystals do not fix are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloop.config import EnergySection, check_campaign, load_campaign
from autoloop.config.composition import composition_problems
from autoloop.domain import Crystal
from autoloop.errors import ConfigError
from autoloop.preparation import prepare
from autoloop.structure.crystals import find_crystal

TERNARY = """\
A2BC
1.0
4 0 0
0 4 0
0 0 4
{species}
1 2 1
Direct
0 0 0
0.5 0.5 0
0.5 0 0.5
0 0.5 0.5
"""


def crystal(name: str) -> Crystal:
    return find_crystal(name)


def problems(excess: object, upper: Crystal, lower: Crystal) -> list[tuple[str, str]]:
    energy = EnergySection.model_validate({"potential": "x", "gamma_excess": excess})
    return [
        (str(p.path[-1]), p.message) for p in composition_problems(energy, upper, lower)
    ]


@pytest.mark.parametrize(
    ("excess", "upper", "lower"),
    [
        (0, "Cu", "Cu"),
        (0, "CdTe", "CdTe"),
        ("any", "Cu", "Ni"),
        ("any", "CdTe", "ZnTe"),
        ("any", "CdTe", "CdTe"),
    ],
)
def test_what_has_a_meaning_passes(excess: object, upper: str, lower: str) -> None:
    """CdTe on ZnTe fix two of three chemical potentials: one range is left."""
    assert problems(excess, crystal(upper), crystal(lower)) == []


@pytest.mark.parametrize(("upper", "lower"), [("Cu", "Ni"), ("CdTe", "ZnTe")])
def test_no_excess_between_two_compositions(upper: str, lower: str) -> None:
    ((key, message),) = problems(0, crystal(upper), crystal(lower))
    assert key == "gamma_excess"
    assert f"{upper} and {lower} have different ones" in message
    assert message.endswith("write 'gamma_excess: any'")


def test_no_excess_of_three_elements() -> None:
    both = crystal("SrTiO3")
    ((key, message),) = problems(0, both, both)
    assert key == "gamma_excess"
    assert "SrTiO3 has 3 (Sr, Ti, O)" in message
    assert "leave out 'energy'" in message


def test_two_free_chemical_potentials_are_not_one_number() -> None:
    both = crystal("SrTiO3")
    ((key, message),) = problems("any", both, both)
    assert key == "mu_fraction"
    assert "2 chemical potentials that Sr, Ti, O have free at SrTiO3" in message


def test_two_compounds_of_one_composition_have_an_excess(tmp_path: Path) -> None:
    """Zincblende on wurtzite, say: the crystals differ, the formula does not."""
    path = tmp_path / "sphalerite.vasp"
    path.write_text(
        "CdTe\n6.482\n0 .5 .5\n.5 0 .5\n.5 .5 0\nCd Te\n1 1\nDirect\n0 0 0\n"
        ".25 .25 .25\n"
    )
    other = find_crystal(str(path), tmp_path)
    assert problems(0, crystal("CdTe"), other) == []


def test_a_range_towards_a_fixed_element_is_refused(tmp_path: Path) -> None:
    """mu_fraction runs towards the second element, which the other grain fixes."""
    path = tmp_path / "ternary.vasp"
    path.write_text(TERNARY.format(species="Ni Cu Al"))
    ternary = find_crystal(str(path), tmp_path)
    ((key, message),) = problems("any", ternary, crystal("Cu"))
    assert key == "mu_fraction"
    assert "second of Ni, Cu, Al" in message
    path.write_text(TERNARY.format(species="Ni Al Cu"))
    assert problems("any", find_crystal(str(path), tmp_path), crystal("Cu")) == []


def test_place_and_key_when_a_file_is_checked_and_when_it_is_prepared(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: x\ngrains:\n"
        "  - {crystal: CdTe, zone_axis: [0, 0, 1], up: [3, 1, 0]}\n"
        "  - {crystal: ZnTe, zone_axis: [0, 0, 1], up: [3, -1, 0]}\n"
        "energy: {potential: CdTeZnSeHgS0.sw, gamma_excess: 0}\n"
        "budget: {evaluations: 4}\n"
    )
    loaded = load_campaign(path)
    for check in (check_campaign, prepare):
        with pytest.raises(ConfigError) as refused:
            check(loaded)
        (line,) = str(refused.value).splitlines()
        assert line.startswith(f"{path}:5:38: energy.gamma_excess: 0 asks for")
