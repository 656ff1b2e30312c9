"""`autoloop validate`: check a run file and the files it names, without running it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, add_json, add_verb
from autoloop.errors import ConfigError, DataError

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.config import Campaign


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "validate",
        _validate,
        purpose="Check a run file and the files it names",
        example="autoloop validate experiments/quickstart.yaml",
    )
    parser.add_argument("run_file", metavar="RUN.yaml", type=Path, help="the run file")
    add_json(parser)


def _validate(arguments: Arguments) -> int:
    from autoloop.config import (
        campaign_notices,
        campaign_warnings,
        check_campaign,
        load_campaign,
    )

    try:
        loaded = load_campaign(arguments.run_file)
        check_campaign(loaded)
    except (ConfigError, DataError) as error:
        if not arguments.json:
            raise
        _print_json(arguments.run_file, errors=str(error).splitlines())
        return error.exit_status
    warnings = campaign_warnings(loaded.campaign)
    if arguments.json:
        _print_json(
            arguments.run_file,
            warnings=list(warnings),
            campaign=loaded.campaign.model_dump(mode="json"),
        )
        return 0
    for notice in campaign_notices(loaded.campaign):
        print(f"autoloop: note: {arguments.run_file}: {notice}", file=sys.stderr)
    for warning in warnings:
        print(
            f"autoloop: warning: {arguments.run_file}: {warning}",
            file=sys.stderr,
        )
    print(f"{arguments.run_file}: valid: {_summary(loaded.campaign)}")
    return 0


def _print_json(run_file: Path, **found: object) -> None:
    values = {"file": str(run_file), "valid": "errors" not in found, **found}
    print(json.dumps({"errors": [], "warnings": [], "campaign": None} | values))


def _model_name(given: str | dict[str, Any]) -> str:
    if isinstance(given, str):
        return Path(given).name
    return str(given.get("calculator") or given.get("style"))


def _summary(campaign: Campaign) -> str:
    upper, lower = campaign.grains
    compared = []
    if campaign.micrograph:
        compared.append(f"image {Path(campaign.micrograph.path).name}")
    if campaign.energy:
        compared.append(f"energy by {_model_name(campaign.energy.potential)}")
    return (
        f"{campaign.name}: {upper.crystal} on {lower.crystal}, "
        f"{' and '.join(compared)}, policy {campaign.policy.name}, "
        f"{campaign.budget.evaluations} evaluations in batches of "
        f"{campaign.search.batch}, {campaign.execution.workers} workers"
    )
