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

Repeat = Annotated[int, Field(ge=1, le=20)]

_MAX_INDEX: Final = 50
"""Crystal directions beyond it are slips of the keyboard, not zone axes."""


def _checked_direction(direction: Direction) -> Direction:
    if not any(direction):
        raise ValueError("[0, 0, 0] is no direction; write three indices")
    if max(map(abs, direction)) > _MAX_INDEX:
        raise ValueError(
            f"{list(direction)} has an index beyond {_MAX_INDEX}; write the direction "
            "by its smallest indices"
        )
    return direction


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
    """The optics. Defocus in Å, spherical aberration in mm.

    The thickness of the specimen [Å], where it is known: the probe goes out of focus in
    it, and beyond a limit there is a warning.
    """

    beam_energy_kev: Annotated[float, Field(ge=10, le=3000, examples=[200])]
    convergence_mrad: Annotated[float, Field(gt=0, le=200, examples=[22])]
    detector_mrad: Annotated[
        tuple[NotNegative, Positive], Field(examples=["[80, 150]"])
    ]
    defocus: float = 0.0
    spherical_aberration_mm: float = 0.0
    thickness: Annotated[float, Field(ge=0, le=10_000)] = 0.0

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
        return None if direction is None else _checked_direction(direction)

    @property
    def oriented(self) -> bool:
        """Whether nothing is left to be read from the micrograph."""
        return None not in (self.zone_axis, self.up, self.rotation_deg)


class CoincidenceSection(Section):
    """A coincidence boundary of one cubic crystal, instead of two grains.

    `load_campaign` puts the two grains in its place.

    Attributes
    ----------
    crystal : str
        Built-in name, or structure file relative to the run file.
    axis : (int, int, int)
        Direction about which the grains are turned against each other.
    sigma : int
        Volume of the coincidence cell over that of the lattice's; odd, from 3 on.
    plane : (int, int, int)
        Indices of the boundary plane in the upper grain, its normal pointing into it.
    angle_deg : float, optional
        Which turn, where several have the Sigma [degrees]; left out, the smallest that
        makes a symmetric boundary.
    """

    crystal: Annotated[str, Field(min_length=1, examples=["Cu"])]
    axis: Annotated[Direction, Field(examples=["[0, 0, 1]"])]
    sigma: Annotated[int, Field(ge=3, le=1999, examples=["5"])]
    plane: Annotated[Direction, Field(examples=["[3, 1, 0]"])]
    angle_deg: Annotated[float, Field(ge=-180, le=180)] | None = None

    @field_validator("sigma")
    @classmethod
    def _odd(cls, sigma: int) -> int:
        if sigma % 2 == 0:
            raise ValueError(
                f"must be odd, as that of every coincidence of cubic crystals is, got "
                f"{sigma}"
            )
        return sigma

    @field_validator("axis", "plane")
    @classmethod
    def _direction(cls, direction: Direction) -> Direction:
        return _checked_direction(direction)


class CellSection(Section):
    """The cell in the boundary plane, and how far the search may change it.

    Attributes
    ----------
    max_strain : float
        Largest strain that may make two grains commensurate.
    max_period : float
        Longest cell along the boundary [Å].
    max_depth : float
        Deepest cell along the beam where the periods of the grains differ [Å].
    oblique : bool, optional
        Whether the cell may be oblique in the boundary plane: true wherever that makes
        it smaller, false never; left out, only where a rectangular one would be large.
    max_repeat : (int, int)
        Most repetitions of the cell that are tried, along the boundary and along the
        beam.
    max_missing : int
        Most atoms of each species that are taken from the core of a cell.
    """

    max_strain: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    max_period: Annotated[float, Field(gt=0, le=1000)] = 60.0
    max_depth: Annotated[float, Field(gt=0, le=1000)] = 40.0
    oblique: bool | None = None
    max_repeat: tuple[Repeat, Repeat] = (1, 1)
    max_missing: Annotated[int, Field(ge=0, le=100)] = 0


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
        first element, 1 rich in the second. Without effect where the crystals leave no
        chemical potential free, as elements do. Where a third element is fixed by the
        other grain's crystal, the range still runs from poor to rich in the second
        element, counted from the upper grain.
    gamma_excess : "any" or 0
        0 keeps the search to stoichiometric cells: of compounds of two elements, and
        of one composition on both sides.
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

    name: Annotated[str, Field(min_length=1, examples=["portfolio"])] = "portfolio"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class SearchSection(Section):
    """How the search goes.

    Attributes
    ----------
    batch : int
        Candidates a cycle.
    lag : int
        How many cycles a policy may lag behind.
    screening : bool
        Give up candidates whose energy after the first steps of a relaxation is
        hopeless, by what the run has learnt.
    """

    batch: Annotated[int, Field(ge=1, le=10_000)] = 8
    lag: Annotated[int, Field(ge=0, le=100)] = 1
    screening: bool = True


class BudgetSection(Section):
    """When the run ends: whichever comes first.

    Attributes
    ----------
    evaluations : int
        Budget.
    patience : int, optional
        Evaluations in a row without a better cost; null for no such end.
    wall_time_min : float, optional
        [minutes].
    """

    evaluations: Annotated[int, Field(ge=1, le=10_000_000, examples=[200])]
    patience: Annotated[int, Field(ge=1)] | None = 200
    wall_time_min: Positive | None = None


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class DaskSection(Section):
    """Where dask finds its workers.

    What a site needs beyond this, such as modules to load, stands in the user's own
    dask files: a run file carries no commands.

    Attributes
    ----------
    cluster : "local", "scheduler", "slurm" or "pbs"
        On this machine, at a scheduler that runs, or in jobs of a queue.
    address : str, optional
        Of the scheduler; left out, what the variable ``AUTOLOOP_SCHEDULER`` says.
    queue, account : str, optional
        Of the jobs.
    walltime : str
        Of a job [hh:mm:ss]; jobs that end are submitted again.
    workers_per_job : int
        Cores of a job.
    memory_gb : float
        Memory of a job, for each of its cores [10⁹ bytes].
    interface : str, optional
        Network device on which the jobs reach the controller, such as ``ib0``.
    """

    cluster: Literal["local", "scheduler", "slurm", "pbs"] = "local"
    address: (
        Annotated[str, Field(pattern=r"^(tcp|tls)://[A-Za-z0-9_.:\[\]-]+:[0-9]+$")]
        | None
    ) = None
    queue: Word | None = None
    account: Word | None = None
    walltime: Annotated[str, Field(pattern=r"^[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]$")] = (
        "04:00:00"
    )
    workers_per_job: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_gb: Positive = 4.0
    interface: Word | None = None


class ExecutionSection(Section):
    """Where candidates are evaluated, and what one may use.

    Attributes
    ----------
    engine : "local" or "dask"
        Worker processes on this machine, or on those that dask knows.
    workers : int
        Their number; left out, the usable cores.
    candidate_limit_s : float
        Wall time after which a candidate is given up: a safety net, far above the
        usual [s].
    memory_limit_gb : float, optional
        Memory at which a candidate is given up [10⁹ bytes]; left out, an equal share
        of what there is.
    cpu_limit_s : float, optional
        CPU time after which a candidate is given up [s].
    recycle_after : int
        Evaluations after which a worker process is replaced.
    dask : DaskSection
        Only with the engine ``dask``.
    """

    engine: Literal["local", "dask"] = "local"
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(default_factory=usable_cores)
    candidate_limit_s: Positive = 600.0
    memory_limit_gb: Positive | None = None
    cpu_limit_s: Positive | None = None
    recycle_after: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    dask: DaskSection | None = None

    @model_validator(mode="after")
    def _dask_is_used(self) -> ExecutionSection:
        if self.dask is not None and self.engine != "dask":
            raise ValueError("'dask' has no effect without 'engine: dask'; write both")
        return self


def _either(schema: dict[str, Any]) -> None:
    """Say in the schema that `coincidence` may stand for `grains`."""
    schema["required"].remove("grains")
    schema["oneOf"] = [{"required": ["grains"]}, {"required": ["coincidence"]}]


class Campaign(Section):
    """One validated run file.

    `coincidence` is the short form of `grains` for people; in a campaign as loaded it
    has been replaced.
    """

    model_config = ConfigDict(json_schema_extra=_either)

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
    coincidence: CoincidenceSection | None = None
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
