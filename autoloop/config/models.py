"""The run file as a value: frozen models, one a section, with every default.

Models know what is right inside one section; what must fit between sections stands in
`autoloop.config.checks`. Their input is JSON text in pydantic's strict mode, so that
no text becomes a number and no number becomes text.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from autoloop.config.fields import (
    Direction,
    Section,
)
from autoloop.config.running import (
    BudgetSection,
    DaskSection,
    ExecutionSection,
    ObjectiveSection,
    PolicySection,
    SearchSection,
    usable_cores,
)
from autoloop.config.specimen import (
    BoundarySection,
    CellSection,
    CoincidenceSection,
    EnergySection,
    GrainSection,
    MicrographSection,
    MicroscopeSection,
)

__all__ = [
    "BoundarySection",
    "BudgetSection",
    "Campaign",
    "CellSection",
    "CoincidenceSection",
    "DaskSection",
    "Direction",
    "EnergySection",
    "ExecutionSection",
    "GrainSection",
    "MicrographSection",
    "MicroscopeSection",
    "ObjectiveSection",
    "PolicySection",
    "SearchSection",
    "Section",
    "usable_cores",
]


def _either(schema: dict[str, Any]) -> None:
    """Say in the schema that `coincidence` may stand for `grains`."""
    schema["required"].remove("grains")
    schema["oneOf"] = [{"required": ["grains"]}, {"required": ["coincidence"]}]


class Campaign(Section):
    """One validated run file.

    `coincidence` is the short form of `grains` for people; in a campaign as loaded it
    has been replaced.

    Attributes
    ----------
    name : str
        Of the run, and of its folder in ``runs/``.
    seed : int
        Of all random numbers: the same seed gives the same run.
    micrograph : MicrographSection, optional
        The image; left out, only the energy counts.
    microscope : MicroscopeSection, optional
        The optics; needed with a micrograph.
    boundary : BoundarySection
        How the boundary lies in the micrograph, where it is not to be read from it.
    grains : (GrainSection, GrainSection)
        The two grains, the one above the boundary first.
    coincidence : CoincidenceSection, optional
        A coincidence boundary of one cubic crystal, instead of `grains`.
    cell : CellSection
        The cell in the boundary plane, and how far the search may change it.
    energy : EnergySection, optional
        The boundary energy; left out, unrelaxed boundaries are compared with the image.
    objective : ObjectiveSection
        Weights of image and energy in the cost.
    policy : PolicySection
        What chooses the candidates: a name, {name, options}, or ``./my_policy.py``
        beside the run file.
    search : SearchSection
        How the search goes.
    budget : BudgetSection
        When the run ends.
    execution : ExecutionSection
        Where candidates are evaluated, and what one may use.
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
