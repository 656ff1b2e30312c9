"""The run file as a value: frozen models, one a section, with every default.

Models know what is right inside one section; what must fit between sections stands in
`autoloop.config.checks`. Their input is JSON text in pydantic's strict mode, so that
no text becomes a number and no number becomes text.
"""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Direction = tuple[int, int, int]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

_MAX_INDEX: Final = 50
"""Crystal directions beyond it are slips of the keyboard, not zone axes."""


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


class Section(BaseModel):
    """A mapping of the run file: no unknown keys, no changes, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MicrographSection(Section):
    """The image.

    Attributes
    ----------
    path : str
        File, relative to the run file; ``${NAME}`` stands for an environment variable.
    crop : (int, int, int, int), optional
        First row, row after the last, first column, column after the last [px]; left
        out, all of the image that is a micrograph.
    pixel_size : float, optional
        Over that of the file [Å].
    index : int, optional
        Which image of a file that holds several, counted from 0.
    """

    path: Annotated[str, Field(min_length=1, examples=["image.dm3"])]
    crop: tuple[int, int, int, int] | None = None
    pixel_size: Annotated[float, Field(gt=0, le=10)] | None = None
    index: Annotated[int, Field(ge=0, le=1_000_000)] | None = None

    @field_validator("crop")
    @classmethod
    def _crop(cls, crop: Any) -> Any:
        if crop is None:
            return crop
        for axis, first, end in (("row", *crop[:2]), ("column", *crop[2:])):
            if first < 0 or end <= first:
                raise ValueError(
                    f"{axis}s {first} to {end} are no range; write [first row, row "
                    "after the last, first column, column after the last] in pixels"
                )
        return crop


class MicroscopeSection(Section):
    """The optics. Defocus in Å, spherical aberration in mm."""

    beam_energy_kev: Annotated[float, Field(ge=10, le=3000, examples=[200])]
    convergence_mrad: Annotated[float, Field(gt=0, le=200, examples=[22])]
    detector_mrad: Annotated[
        tuple[NotNegative, Positive], Field(examples=["[80, 150]"])
    ]
    defocus: float = 0.0
    spherical_aberration_mm: float = 0.0

    @field_validator("detector_mrad")
    @classmethod
    def _detector(cls, detector: tuple[float, float]) -> tuple[float, float]:
        inner, outer = detector
        if outer <= inner:
            raise ValueError(
                f"outer angle {outer:g} mrad must exceed inner angle {inner:g} mrad; "
                "write [inner, outer]"
            )
        return detector


class BoundarySection(Section):
    """How the boundary lies in the micrograph, where it is not read from it.

    Attributes
    ----------
    angle_deg : float, optional
        Counterclockwise angle of the boundary's x from the image's right [degrees].
    point_px : (float, float), optional
        A point (x, y) on the boundary [px of the whole image].
    """

    angle_deg: Annotated[float, Field(gt=-90, le=90)] | None = None
    point_px: tuple[float, float] | None = None


class GrainSection(Section):
    """One grain: its crystal and how it lies in the boundary frame.

    Attributes
    ----------
    crystal : str
        Built-in name, or structure file relative to the run file.
    zone_axis, up : (int, int, int)
        Crystal directions towards the viewer, and along the boundary normal before
        the grain is turned; what is left out is read from the micrograph.
    rotation_deg : float
        Counterclockwise turn as seen by the viewer [degrees]; 0 by default where the
        two directions are given.
    polarity : "given" or "open"
        Whether the directions fix the polarity of a crystal such as zincblende, or
        the search tries both.
    """

    crystal: Annotated[str, Field(min_length=1, examples=["Cu"])]
    zone_axis: Annotated[Direction, Field(examples=["[0, 0, 1]"])] | None = None
    up: Annotated[Direction, Field(examples=["[3, 1, 0]"])] | None = None
    rotation_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    polarity: Literal["given", "open"] = "given"

    @model_validator(mode="after")
    def _not_turned(self) -> GrainSection:
        # A validator that runs before would turn strict JSON into strict Python, where
        # a list is no tuple.
        if self.rotation_deg is None and self.zone_axis and self.up:
            object.__setattr__(self, "rotation_deg", 0.0)
        return self

    @field_validator("zone_axis", "up")
    @classmethod
    def _direction(cls, direction: Direction | None) -> Direction | None:
        if direction is None:
            return None
        if not any(direction):
            raise ValueError("[0, 0, 0] is no direction; write three indices")
        if max(map(abs, direction)) > _MAX_INDEX:
            raise ValueError(
                f"{list(direction)} has an index beyond {_MAX_INDEX}; write the "
                "direction by its smallest indices"
            )
        return direction

    @property
    def oriented(self) -> bool:
        """Whether nothing is left to be read from the micrograph."""
        return None not in (self.zone_axis, self.up, self.rotation_deg)


class CellSection(Section):
    """How the cell along the boundary is chosen.

    Attributes
    ----------
    max_strain : float
        Largest strain that may make two grains commensurate.
    max_period : float
        Longest cell along the boundary [Å].
    """

    max_strain: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    max_period: Annotated[float, Field(gt=0, le=1000)] = 60.0


class EnergySection(Section):
    """The boundary energy.

    Attributes
    ----------
    potential : str or mapping
        File that LAMMPS ships, or a path relative to the run file; or pair lines of
        LAMMPS as data, {style, coeff: [...]}; or a calculator of ASE, {calculator,
        arguments, modules: [...], reach}.
    mu_fraction : float
        Place in the allowed range of chemical potential of a compound: 0 rich in the
        first element, 1 rich in the second.
    gamma_excess : "any" or 0
        0 keeps the search to stoichiometric cells.
    """

    potential: Annotated[
        str | dict[str, Any],
        Field(min_length=1, examples=["Cu_mishin1.eam.alloy"]),
    ]
    mu_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    gamma_excess: Literal["any", 0] = "any"

    @field_validator("gamma_excess", mode="before")
    @classmethod
    def _zero(cls, value: Any) -> Any:
        # Literal compares with ==, and False == 0 == 0.0.
        if value is False or isinstance(value, float):
            raise ValueError(f"must be any or 0, got {json.dumps(value)}")
        return value


class ObjectiveSection(Section):
    """Weights of 1 - SSIM, EMD/1.5 Å and energy/(1 J/m²) in the cost."""

    ssim: NotNegative = 1.0
    emd: NotNegative = 0.5
    energy: NotNegative = 0.3


class PolicySection(Section):
    """What chooses the candidates: a name or ``./file.py``, and its options."""

    name: Annotated[str, Field(min_length=1, examples=["bayesian"])] = "bayesian"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class SearchSection(Section):
    """Candidates a cycle, and how many cycles a policy may lag behind."""

    batch: Annotated[int, Field(ge=1, le=10_000)] = 8
    lag: Annotated[int, Field(ge=0, le=100)] = 1


class BudgetSection(Section):
    """When the run ends: number of evaluations, or minutes of wall time."""

    evaluations: Annotated[int, Field(ge=1, le=10_000_000, examples=[200])]
    wall_time_min: Positive | None = None


class ExecutionSection(Section):
    """Where candidates are evaluated.

    Attributes
    ----------
    engine : "local"
        Worker processes on this machine.
    workers : int
        Their number; left out, the usable cores.
    candidate_limit_s : float
        Wall time after which a candidate is given up: a safety net, far above the
        usual [s].
    """

    engine: Literal["local"] = "local"
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(default_factory=usable_cores)
    candidate_limit_s: Positive = 600.0


class Campaign(Section):
    """One validated run file."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", examples=["my_boundary"]),
    ]
    seed: Annotated[int, Field(ge=0)] = 0
    micrograph: MicrographSection | None = None
    microscope: MicroscopeSection | None = None
    boundary: BoundarySection = BoundarySection()
    grains: Annotated[
        tuple[GrainSection, GrainSection],
        Field(
            examples=[
                "[{crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}, "
                "{crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}]"
            ]
        ),
    ]
    cell: CellSection = CellSection()
    energy: EnergySection | None = None
    objective: ObjectiveSection = ObjectiveSection()
    policy: PolicySection = Field(default_factory=PolicySection)
    search: SearchSection = SearchSection()
    budget: Annotated[BudgetSection, Field(examples=["{evaluations: 200}"])]
    execution: ExecutionSection = Field(default_factory=ExecutionSection)

    @property
    def weights(self) -> ObjectiveSection:
        """The weights that count: 0 for what this campaign does not measure."""
        return ObjectiveSection(
            ssim=self.objective.ssim if self.micrograph else 0.0,
            emd=self.objective.emd if self.micrograph else 0.0,
            energy=self.objective.energy if self.energy else 0.0,
        )
