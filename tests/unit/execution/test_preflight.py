"""A machine on which candidates would fail, or give other numbers, is told by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoloop.errors import InstallationError
from autoloop.execution.preflight import examine
from autoloop.relax.lines import potential_from_lines
from autoloop.relax.potentials import Potential, find_potential, shipped_folder


@pytest.fixture
def potential(tmp_path: Path) -> Potential:
    folder = shipped_folder()
    assert folder is not None
    shutil.copy(folder / "Cu_mishin1.eam.alloy", tmp_path)
    return find_potential("Cu_mishin1.eam.alloy", base=tmp_path, species=[29])


def context(potential: Potential) -> SimpleNamespace:
    return SimpleNamespace(relaxer=SimpleNamespace(potential=potential))


def test_lammps_starts_with_the_potential(potential: Potential) -> None:
    assert int(examine(context(potential))["lammps"]) > 20200000
    assert examine(SimpleNamespace(relaxer=None)) == {}


def test_a_potential_of_lines(tmp_path: Path) -> None:
    folder = shipped_folder()
    assert folder is not None
    for name in ("Cu_u3.eam", "Ni_u3.eam"):
        shutil.copy(folder / name, tmp_path)
    lines = potential_from_lines(
        "eam",
        ["1 1 Cu_u3.eam", "2 2 Ni_u3.eam"],
        base=tmp_path,
        elements=["Cu", "Ni"],
    )
    assert "lammps" in examine(context(lines))
    (tmp_path / "Ni_u3.eam").write_text("other")
    with pytest.raises(InstallationError, match="is another file here"):
        examine(context(lines))


def test_a_potential_that_is_not_there(potential: Potential) -> None:
    Path(potential.path).unlink()
    with pytest.raises(InstallationError, match="cannot be read here"):
        examine(context(potential))


def test_a_potential_that_is_another(potential: Potential) -> None:
    with Path(potential.path).open("a") as file:
        file.write("\n")
    with pytest.raises(InstallationError, match="is another file here"):
        examine(context(potential))


def test_a_potential_that_lammps_refuses(potential: Potential) -> None:
    with pytest.raises(InstallationError, match="does not take the potential"):
        examine(context(replace(potential, pair_style="no/such")))
