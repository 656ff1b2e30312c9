"""The run file: reading it, checking it, writing it.

The only way from YAML into the program; no raw YAML value passes. `load_campaign` reads
and checks one file by itself, `check_campaign` also the files that it names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from autoloop.config.checks import (
    campaign_notices,
    campaign_warnings,
    file_problems,
    section_problems,
)
from autoloop.config.coincidence import KEY as COINCIDENCE
from autoloop.config.coincidence import with_grains
from autoloop.config.complaints import problems_of
from autoloop.config.marked import KeyPath, Marked, Problem, override, read_marked
from autoloop.config.models import (
    BoundarySection,
    BudgetSection,
    Campaign,
    CellSection,
    CoincidenceSection,
    EnergySection,
    ExecutionSection,
    GrainSection,
    MicrographSection,
    MicroscopeSection,
    ObjectiveSection,
    PolicySection,
    SearchSection,
    usable_cores,
)
from autoloop.plugins import with_absolute_files

__all__ = [
    "BoundarySection",
    "BudgetSection",
    "Campaign",
    "CellSection",
    "CoincidenceSection",
    "EnergySection",
    "ExecutionSection",
    "GrainSection",
    "LoadedCampaign",
    "MicrographSection",
    "MicroscopeSection",
    "ObjectiveSection",
    "PolicySection",
    "SearchSection",
    "campaign_notices",
    "campaign_warnings",
    "check_campaign",
    "dump_campaign",
    "load_campaign",
    "movable",
    "usable_cores",
]

_WITH_ENVIRONMENT = (("micrograph", "path"), ("energy", "potential"))
_LABELS = re.compile(r"(?=\s+[A-Z][a-z]?\()")
"""Where the labels begin that may follow a potential's file: ``x.tersoff Si(B)``."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCampaign:
    """A campaign, and where it came from.

    Attributes
    ----------
    campaign : Campaign
        As the file and the command line give it; environment variables filled in,
        relative paths still relative to `base`.
    path : Path
        The run file, as the user named it.
    text : str
        Its text.
    marked : Marked
        Where each key stands.
    """

    campaign: Campaign
    path: Path
    text: str
    marked: Marked

    @property
    def base(self) -> Path:
        """Folder that relative paths in the run file start from."""
        return self.path.resolve().parent

    def resolve(self, name: str) -> Path:
        """Return the absolute path that a path in the run file means."""
        return (self.base / Path(name).expanduser()).resolve()

    def located(self, path: KeyPath, message: str) -> str:
        """Return ``file:line:column: key.path: message``."""
        return self.marked.describe(Problem(path=path, message=message))


def load_campaign(
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    text: str | None = None,
) -> LoadedCampaign:
    """Read a run file and check it by itself.

    The files it names are not touched, but for the crystal of a `coincidence`, which
    is replaced here by the two grains that it stands for.

    Parameters
    ----------
    path : Path
        The run file.
    overrides : mapping, optional
        Values of the command line by dotted key, such as ``budget.evaluations``, that
        replace those of the file; None leaves the file's.
    text : str, optional
        What the file would hold; it need not exist then.

    Raises
    ------
    ConfigError
        With one line for each mistake, in the order of the file.
    """
    read, text = read_marked(path, text)
    marked = override(_fill_in_environment(read), overrides or {})
    marked, problems = with_grains(marked, path.resolve().parent)
    try:
        campaign = Campaign.model_validate_json(json.dumps(marked.values), strict=True)
    except ValidationError as error:
        instead = (("grains",),) if COINCIDENCE in read.values else ()
        found = (p for p in problems_of(error) if p.path not in instead)
        raise marked.error([*problems, *found]) from None
    if problems := [*problems, *section_problems(campaign)]:
        raise marked.error(problems)
    return LoadedCampaign(campaign=campaign, path=path, text=text, marked=marked)


def check_campaign(loaded: LoadedCampaign) -> None:
    """Check crystals, potential, image file and policy of a run file.

    Raises
    ------
    ConfigError
        With one line for each mistake, in the order of the file.
    DataError
        The same, where the only mistakes are in the content of files that it names.
    """
    if problems := file_problems(loaded.campaign, loaded.base):
        raise loaded.marked.error(problems)


def dump_campaign(campaign: Campaign) -> str:
    """Return the YAML text of a campaign, defaults written out.

    `load_campaign` reads an equal campaign from it, provided that relative paths
    still lead somewhere: see `movable`.
    """
    values = campaign.model_dump(mode="json", exclude_none=True)
    if not values["boundary"]:
        del values["boundary"]
    text: str = yaml.dump(
        values,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=88,
    )
    return text


def movable(loaded: LoadedCampaign) -> Campaign:
    """Return the campaign with the relative paths in it made absolute.

    Its dump may lie in any folder. Names that are no files beside the run file
    (built-in crystals, potentials that LAMMPS ships, policies) stay as they are.
    """
    from autoloop.structure.crystals import crystal_names

    def absolute(section: Any, key: str) -> Any:
        name, *labels = _LABELS.split(getattr(section, key), maxsplit=1)
        path = loaded.resolve(name)
        return (
            section.model_copy(update={key: "".join([str(path), *labels])})
            if path.is_file()
            else section
        )

    campaign, built_in = loaded.campaign, crystal_names()
    changes: dict[str, Any] = {
        "grains": tuple(
            grain if grain.crystal in built_in else absolute(grain, "crystal")
            for grain in campaign.grains
        ),
        "policy": absolute(campaign.policy, "name").model_copy(
            update={
                "options": with_absolute_files(campaign.policy.options, loaded.base)
            }
        ),
    }
    if campaign.micrograph:
        changes["micrograph"] = absolute(campaign.micrograph, "path")
    if campaign.energy and isinstance(campaign.energy.potential, str):
        changes["energy"] = absolute(campaign.energy, "potential")
    return campaign.model_copy(update=changes)


class _Dumper(yaml.SafeDumper):
    r"""Writes text with unusual line ends in double quotes, where they are escaped.

    In other styles PyYAML writes them as they are, and reads them as ``\n``.
    """


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def _fill_in_environment(marked: Marked) -> Marked:
    """Replace ``${NAME}`` where a run file may name a file of the user's."""
    values = dict(marked.values)
    problems = []
    for section, key in _WITH_ENVIRONMENT:
        inner = values.get(section)
        if not isinstance(inner, dict) or not isinstance(inner.get(key), str):
            continue
        for name in _VARIABLE.findall(inner[key]):
            if not os.environ.get(name):
                message = (
                    f"environment variable {name} is not set; export it or write the "
                    "path"
                )
                problems.append(Problem(path=(section, key), message=message))
        filled = _VARIABLE.sub(lambda m: os.environ.get(m[1], ""), inner[key])
        values[section] = {**inner, key: filled}
    if problems:
        raise marked.error(problems)
    return Marked(file=marked.file, values=values, places=marked.places)
