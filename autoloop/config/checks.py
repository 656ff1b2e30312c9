"""What must fit between the sections of a run file, and with the files it names.

Each check returns the problems it finds; none stops at the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoloop.config.composition import composition_problems
from autoloop.config.marked import KeyPath, Problem
from autoloop.config.models import (
    Campaign,
    Direction,
    GrainSection,
    MicrographSection,
)
from autoloop.domain import Crystal
from autoloop.errors import AutoloopError, DataError

_PERPENDICULAR_DEG = 0.1
"""`up` and zone axis are exact in every crystal that has such a pair at all; the
tolerance allows for the rounding of cell angles in structure files."""


def section_problems(campaign: Campaign) -> list[Problem]:
    """Return what does not fit between the sections."""
    problems = []
    if campaign.micrograph is None and campaign.energy is None:
        problems.append(
            Problem(
                path=(),
                message="neither 'micrograph' nor 'energy' is given, so nothing can be "
                "compared; add at least one of the two sections",
            )
        )
    elif message := _weight_message(campaign):
        problems.append(Problem(path=("objective",), message=message))
    if campaign.micrograph and campaign.microscope is None:
        problems.append(
            Problem(
                path=("microscope",),
                message="is missing, but 'micrograph' is given; write for example "
                "'microscope: {beam_energy_kev: 200, convergence_mrad: 22, "
                "detector_mrad: [80, 150]}'",
            )
        )
    for index, grain in enumerate(campaign.grains):
        problems += _orientation_problems(grain, index, campaign.micrograph is not None)
    return problems


def _orientation_problems(
    grain: GrainSection, index: int, readable: bool
) -> list[Problem]:
    """Return what is missing of an orientation; `readable` if an image may show it."""
    needed = {"zone_axis": "[0, 0, 1]", "up": "[3, 1, 0]"}
    missing = [key for key in needed if getattr(grain, key) is None]
    if not readable:
        return [
            Problem(
                path=("grains", index, key),
                message="is missing, and there is no 'micrograph' to read it from; "
                f"write for example '{key}: {needed[key]}'",
            )
            for key in missing
        ]
    if not missing or (grain.up is None and grain.rotation_deg is None):
        return []  # nothing, a zone axis alone, or all is given
    given = "up" if grain.up is not None else "rotation_deg"
    return [
        Problem(
            path=("grains", index, given),
            message=f"means nothing without {' and '.join(missing)}; write for example "
            f"'{missing[0]}: {needed[missing[0]]}', or leave out {given} to have it "
            "read from the micrograph",
        )
    ]


def _weight_message(campaign: Campaign) -> str:
    weights = campaign.weights
    if weights.ssim + weights.emd + weights.energy > 0:
        return ""
    if campaign.micrograph is None:
        return (
            "without 'micrograph' only the energy counts, and its weight is 0; write "
            "'energy: 1.0'"
        )
    counted = "ssim, emd and energy" if campaign.energy else "ssim and emd"
    return f"the weights that count ({counted}) are all 0; raise one of them"


def campaign_warnings(campaign: Campaign) -> tuple[str, ...]:
    """Return what is allowed but hardly meant, one sentence each."""
    warnings = []
    in_flight = campaign.search.batch * (campaign.search.lag + 1)
    workers = campaign.execution.workers
    if in_flight < workers:
        warnings.append(
            f"search: batch x (lag + 1) = {in_flight} candidates for {workers} "
            "workers: some will wait; raise search.batch or lower execution.workers"
        )
    if campaign.micrograph is None:
        unused = {
            "microscope": campaign.microscope is not None,
            "boundary": bool(campaign.boundary.model_fields_set),
        }
        warnings += [
            f"{name}: has no effect without 'micrograph'"
            for name, given in unused.items()
            if given
        ]
    return tuple(warnings)


def campaign_notices(campaign: Campaign) -> tuple[str, ...]:
    """Return what a run file makes the program run as code, one sentence each."""
    notices = []
    if campaign.policy.name.endswith(".py"):
        notices.append(
            f"policy {campaign.policy.name} is a program and runs with all your "
            "rights; use only files that you trust"
        )
    potential = campaign.energy.potential if campaign.energy else None
    if isinstance(potential, dict) and "calculator" in potential:
        notices.append(
            f"calculator {potential['calculator']} is code of the modules that the run "
            "file allows and runs with all your rights; use only files that you trust"
        )
    return tuple(notices)


def file_problems(campaign: Campaign, base: Path) -> list[Problem]:
    """Return what is wrong with crystals, potential, image file and policy.

    Parameters
    ----------
    campaign : Campaign
        Whose sections fit together.
    base : Path
        Folder that relative paths start from.
    """
    problems = []
    if campaign.micrograph:
        problems += _image_problems(campaign.micrograph, base)
    crystals: list[Crystal] = []
    for index, grain in enumerate(campaign.grains):
        problems += _grain_problems(grain, index, base, crystals)
    if campaign.energy and len(crystals) == len(campaign.grains):
        problems += _potential_problems(campaign.energy.potential, base, crystals)
        problems += composition_problems(campaign.energy, crystals[0], crystals[1])
    return problems + _policy_problems(campaign, base)


def _image_problems(micrograph: MicrographSection, base: Path) -> list[Problem]:
    path = base / Path(micrograph.path).expanduser()
    if path.is_file():
        return []
    what = "is a folder" if path.is_dir() else "no such file"
    hint = "give the image file" if path.is_dir() else "check the path"
    return [
        Problem(
            path=("micrograph", "path"),
            message=f"{what} ('{path}'); {hint}, which starts from the folder of the "
            "run file",
        )
    ]


def _grain_problems(
    grain: GrainSection, index: int, base: Path, crystals: list[Crystal]
) -> list[Problem]:
    """Check one grain; add its crystal to `crystals` if there is one."""
    from autoloop.structure.crystals import find_crystal

    try:
        crystal = find_crystal(grain.crystal, base)
    except AutoloopError as error:
        return [_about(("grains", index, "crystal"), error)]
    crystals.append(crystal)
    if grain.up is None or grain.zone_axis is None:
        return []
    angle = _angle_deg(crystal, grain.up, grain.zone_axis)
    if abs(angle - 90) <= _PERPENDICULAR_DEG:
        return []
    return [
        Problem(
            path=("grains", index, "up"),
            message=f"{list(grain.up)} is {angle:.1f} degrees from the zone axis "
            f"{list(grain.zone_axis)} in {grain.crystal}; it must be perpendicular",
        )
    ]


def _angle_deg(crystal: Crystal, up: Direction, zone_axis: Direction) -> float:
    import numpy as np

    first, second = (np.array(d) @ crystal.cell for d in (up, zone_axis))
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _potential_problems(
    given: str | dict[str, Any], base: Path, crystals: list[Crystal]
) -> list[Problem]:
    from autoloop.relax.models import find_model

    numbers = dict.fromkeys(z for crystal in crystals for z in crystal.species)
    try:
        find_model(given, base=base, species=tuple(numbers))
    except AutoloopError as error:
        return [_about(("energy", "potential"), error)]
    return []


def _about(path: KeyPath, error: AutoloopError) -> Problem:
    in_data = isinstance(error, DataError)
    return Problem(path=path, message=str(error), in_data=in_data)


def _policy_problems(campaign: Campaign, base: Path) -> list[Problem]:
    from autoloop.plugins import PolicyError, load_policy

    policy = campaign.policy
    try:
        load_policy(policy.name, policy.options, base)
    except PolicyError as error:
        return [Problem(path=("policy", *error.where), message=error.reason)]
    return []
