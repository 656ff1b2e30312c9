"""Searches for known energies: every system with every policy, and with an image."""

from __future__ import annotations

import argparse
from functools import cached_property
from pathlib import Path
from typing import Final

from recovery_micrographs import prepared_with_image
from recovery_records import Record, keep, seeds
from recovery_search import lowest, prepared_system, search
from recovery_systems import SYSTEMS, System
from recovery_tables import BASELINE, draw, heading, tabulate

from autoloop.preparation import Prepared

PORTFOLIO: Final = "portfolio"
WITH_IMAGE: Final = " + image"
SEEN: Final = f"{PORTFOLIO}{WITH_IMAGE}"
SHOWN_BY: Final = 1000
"""Seed of the search that finds what an image shows: none of those that are counted."""


def efficiency(options: argparse.Namespace, records: dict[str, Record]) -> Record:
    """Run what has not run, print a table, draw a figure for each system."""
    policies = options.policy or [BASELINE, PORTFOLIO]
    if options.seen:
        policies = [*policies, SEEN]
    systems = [s for s in SYSTEMS if s.quick or not options.quick]
    if options.only:
        systems = [s for s in SYSTEMS if s.name in options.only]
    print(heading())
    results: Record = {}
    for system in systems:
        case = _Case(system, options)
        rows: dict[str, list[Record]] = {}
        for policy in policies:
            for seed in seeds(options, full=30, quick=3):
                key = f"energy {system.name} {policy} {seed} {options.batch}"
                key += f" {options.lag}"
                if key not in records:
                    run = case.searched(policy, seed)
                    records[key] = keep(options, {"key": key, **run})
                rows.setdefault(policy, []).append(records[key])
        results[system.name] = tabulate(system, rows, {SEEN: PORTFOLIO})
        draw(
            options.out / f"{system.name}.png",
            system.title.strip(),
            {p: [r["n"] for r in found] for p, found in rows.items()},
            system.limit,
        )
    return results


class _Case:
    """A system, with its engines and its image if they are asked for."""

    def __init__(self, system: System, options: argparse.Namespace) -> None:
        self._system, self._options = system, options

    def searched(self, policy: str, seed: int) -> Record:
        """Search once; with an image if the policy's name says so."""
        prepared = self._seen if policy.endswith(WITH_IMAGE) else self._plain
        name = policy.removesuffix(WITH_IMAGE)
        return search(self._system, prepared, name, seed, self._options)

    @cached_property
    def _plain(self) -> Prepared:
        return prepared_system(self._system)

    @cached_property
    def _seen(self) -> Prepared:
        shown = lowest(self._system, self._plain, SHOWN_BY, self._options)
        folder = Path(self._options.out) / "seen"
        return prepared_with_image(self._system, shown, folder)
