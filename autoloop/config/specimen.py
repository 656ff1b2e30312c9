"""Sections of what is examined: image, optics, boundary, grains, cell, energy."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from autoloop.config.fields import (
    Direction,
    NotNegative,
    Positive,
    Section,
    checked_direction,
)
from autoloop.config.hints import other_unit_of_value

Repeat = Annotated[int, Field(ge=1, le=20)]
_MIN_ANGLE_MRAD: Final = 1.0  # below it nothing shows atoms, and radians lie there


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
    """The optics.

    Attributes
    ----------
    beam_energy_kev : float
        Energy of the electrons [keV].
    convergence_mrad : float
        Half-angle of the probe [mrad].
    detector_mrad : (float, float)
        Inner and outer half-angle of the annular detector [mrad].
    defocus : float
        Underfocus, the side that balances a positive spherical aberration [Å].
    spherical_aberration_mm : float
        Third-order spherical aberration [mm].
    thickness : float
        Of the specimen [Å]: the probe goes out of focus in it, and beyond a limit there
        is a warning; 0 for a thin one, or where it is not known.
    """

    beam_energy_kev: Annotated[float, Field(ge=10, le=3000, examples=[200])]
    convergence_mrad: Annotated[float, Field(ge=_MIN_ANGLE_MRAD, le=200, examples=[22])]
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
        if outer < _MIN_ANGLE_MRAD:
            raise ValueError(
                f"outer angle {outer:g} mrad is none of a detector"
                f"{other_unit_of_value('detector_mrad', detector)}"
            )
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
        return None if direction is None else checked_direction(direction)

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
        return checked_direction(direction)


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
