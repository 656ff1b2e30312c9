"""What a policy proposed, checked before it is recorded."""

from __future__ import annotations

import dataclasses
import json

from autoloop.archive import Archive
from autoloop.domain import Proposal
from autoloop.errors import ConfigError
from autoloop.protocols import Policy
from autoloop.structure.space import SearchSpace


def checked_batch(
    policy: Policy, answer: object, n: int, space: SearchSpace, archive: Archive
) -> tuple[Proposal, ...]:
    """Return what a policy proposed as the journal will give it back, or refuse it.

    Parameters
    ----------
    policy : Policy
        Which proposed.
    answer : object
        What it returned.
    n : int
        How many proposals it was asked for.
    space, archive : SearchSpace, Archive
        What it was given.

    Raises
    ------
    ConfigError
        If these are not `n` proposals inside the space.
    """
    name = type(policy).__name__
    if not isinstance(answer, list | tuple) or len(answer) != n:
        got = len(answer) if isinstance(answer, list | tuple) else repr(answer)
        raise ConfigError(
            f"policy {name}: was asked for {n} proposals and gave {got}; "
            "propose() has to return a list of exactly n"
        )
    return tuple(_checked(name, p, space, archive) for p in answer)


def _checked(
    policy: str, proposal: object, space: SearchSpace, archive: Archive
) -> Proposal:
    if not isinstance(proposal, Proposal):
        raise ConfigError(f"policy {policy}: gave {proposal!r}, which is no Proposal")
    try:
        text = json.dumps(dict(proposal.parameters), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"policy {policy}: the parameters of {proposal.mutation} are not JSON "
            f"({error}): {dict(proposal.parameters)}; use plain finite numbers"
        ) from error
    for parent in proposal.parents:
        if parent not in archive or archive[parent].cost is None:
            raise ConfigError(
                f"policy {policy}: {proposal.mutation} names the parent {parent}, which"
                " is not a scored evaluation of the archive it was given"
            )
    parameters = json.loads(text)
    if proposal.mutation == "assemble" and not space.allows(parameters):
        bounds = ", ".join(f"{d.name} [{d.low}, {d.high}]" for d in space.dimensions)
        raise ConfigError(
            f"policy {policy}: proposes {parameters}, outside the space ({bounds})"
        )
    return dataclasses.replace(proposal, parameters=parameters)
