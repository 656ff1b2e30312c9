"""The boundaries at which `mutations.py` tries mutations."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoloop.config import load_campaign
from autoloop.preparation import Prepared, prepare

HERE = Path(__file__).parent
TILT = """
name: cdte_tilt_energy
seed: 1
grains:
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [-1, 1, 0], rotation_deg: 7.2}
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [0, 0, 1]}
energy: {potential: CdTeZnSeHgS0.sw, gamma_excess: any}
policy: random_search
budget: {evaluations: 1}
"""


@dataclass(frozen=True, kw_only=True)
class System:
    """A boundary and its share of the candidates.

    Attributes
    ----------
    name : str
        Title in the table.
    run_file : Path, optional
        Without it, that of the tilt boundary above.
    share : float
        Of all candidates.
    overrides : mapping
        For the run file.
    repeat : (int, int)
        Cells of the parents along the boundary and along the beam.
    profiled : int
        Relaxations that are profiled, in this process.
    """

    name: str
    run_file: Path | None
    share: float
    overrides: Mapping[str, Any] = field(default_factory=dict)
    repeat: tuple[int, int] = (1, 1)
    profiled: int = 0


SYSTEMS = (
    System(
        name="Cu S5(310)",
        run_file=HERE.parent / "energy_cu_s5_310.yaml",
        share=1 / 3,
    ),
    System(
        name="Si S9(221)", run_file=HERE / "energies" / "si_s9_221.yaml", share=1 / 3
    ),
    System(
        name="CdTe S5(310)",
        run_file=HERE.parent / "energy_cdte_s5_310.yaml",
        share=1 / 6,
        overrides={"energy.gamma_excess": "any"},
    ),
    System(
        name="CdTe S5(310) Gamma 0",
        run_file=HERE.parent / "energy_cdte_s5_310.yaml",
        share=1 / 6,
    ),
)
LARGE = System(
    name="CdTe tilt, 2 x 2 cells", run_file=None, share=0, repeat=(2, 2), profiled=30
)


def prepare_system(system: System) -> Prepared:
    """Return what is prepared for a system."""
    if system.run_file is not None:
        return prepare(load_campaign(system.run_file, system.overrides))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tilt.yaml"
        path.write_text(TILT)
        return prepare(load_campaign(path))
