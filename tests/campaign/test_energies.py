"""Boundary energies through the command line, from energy-only run files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoloop.cli import main

# An independent search with the same potentials: single-boundary slab, one end frozen,
# the other rigid, converged to 1 mJ/m². Cu S5(310) is also 0.905 in Frolov et al., Nat.
# Commun. 4, 1899 (2013).
REFERENCE = {
    "energy_cu_s3_111": 0.0222,
    "energy_cu_s5_310": 0.9048,
    "energy_cu_s11_113": 0.3098,
    "energy_si_s5_310": 0.6651,
    "energy_cdte_s5_310": 0.504,
}


@pytest.mark.parametrize("name", REFERENCE)
def test_run_finds_the_reference_energy(
    name: str, experiments: Path, tmp_path: Path, hidden: None
) -> None:
    out = tmp_path / name
    status = main(
        ["run", str(experiments / f"{name}.yaml"), "--out", str(out), "--workers", "2"]
    )
    assert status == 0
    score = json.loads((out / "best/1/score.json").read_text())
    # 5 mJ/m²: five times what the slab's thickness leaves
    assert score["energy_j_per_m2"] == pytest.approx(REFERENCE[name], abs=0.005)
    if name.startswith("energy_cdte"):
        assert score["gamma_excess_per_nm2"] == pytest.approx(0.0, abs=1e-6)
        # stoichiometric: the energy does not depend on the chemical potential
        low, high = score["energy_limits_j_per_m2"]
        assert low == pytest.approx(high, abs=1e-6)


OTHER_MODELS = {
    # EMT as ASE has it gives 0.963 J/m² for the same structure
    "{calculator: ase.calculators.emt.EMT, modules: [ase.calculators.emt]}": 0.963,
    '{style: eam/alloy, coeff: ["* * Cu_mishin1.eam.alloy Cu"]}': 0.9048,
}


@pytest.mark.parametrize("model", OTHER_MODELS)
def test_other_models_of_energies(model: str, tmp_path: Path, hidden: None) -> None:
    """A calculator of ASE, and pair lines of LAMMPS as data."""
    run_file = tmp_path / "other.yaml"
    run_file.write_text(
        "name: other\n"
        "grains:\n"
        "  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}\n"
        "  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}\n"
        f"energy: {{potential: {model}}}\n"
        "policy: random_search\n"
        "budget: {evaluations: 6}\n"
    )
    out = tmp_path / "run"
    assert main(["run", str(run_file), "--out", str(out), "--workers", "2"]) == 0
    score = json.loads((out / "best/1/score.json").read_text())
    assert score["energy_j_per_m2"] == pytest.approx(OTHER_MODELS[model], abs=0.005)


def test_pair_lines_cannot_carry_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_file = tmp_path / "evil.yaml"
    run_file.write_text(
        "name: evil\n"
        "grains:\n"
        "  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}\n"
        "  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}\n"
        "energy:\n"
        '  potential: {style: eam/alloy, coeff: ["* * x Cu & shell ls"]}\n'
        "budget: {evaluations: 6}\n"
    )
    assert main(["run", str(run_file), "--out", str(tmp_path / "run")]) == 2
    assert "evil.yaml:6:3: energy.potential" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
