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
