"""The best structures of a run as a map for chemiscope, with their properties."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoloop.archive import Archive, alike
from autoloop.domain import Details, Evaluation, Score
from autoloop.errors import DataError
from autoloop.journal import Journal
from autoloop.report.export.optional import library
from autoloop.report.export.structures import to_atoms
from autoloop.report.status import journal_path

N_RANKED: Final = 50
"""Structures of lowest cost that are shown; those of the Pareto front come besides."""
_N_FRONT: Final = 50

_PROPERTIES: Final = {
    "cost": ("", "what the search minimised"),
    "ssim": ("", "structural similarity of image and micrograph"),
    "emd_angstrom_per_column": ("Å", "earth mover's distance of the columns"),
    "energy_j_per_m2": ("J/m²", "boundary energy"),
    "gamma_excess_per_nm2": ("1/nm²", "excess of the second species"),
}
"""Unit and meaning of each figure; shown are those that every structure has."""


def write_map(path: Path, folder: Path) -> None:
    """Write finalists and Pareto front with their properties for chemiscope.

    Parameters
    ----------
    path : Path
        File to write; compressed if its name ends with ``.gz``.
    folder : Path
        Run folder.

    Raises
    ------
    InstallationError
        If chemiscope is not installed.
    """
    chemiscope = library("chemiscope", "chemiscope")
    with Journal.read(journal_path(folder)) as journal:
        archive = Archive(journal.evaluations(), load_details=journal.details)
        ranked, front = archive.best(N_RANKED), archive.front(_N_FRONT)
        others = [e for e in front if not any(alike(e, other) for other in ranked)]
        shown = [*ranked, *others]
        details = [archive.details(e.id) for e in shown]
        meta = journal.meta
    if not shown:
        raise DataError(f"{folder}: has no scored structure that could be shown")
    properties = {
        **_of_structures(shown, [any(alike(e, f) for f in front) for e in shown]),
        **_of_atoms(details),
    }
    with warnings.catch_warnings():  # chemiscope renames what it has no place for
        warnings.simplefilter("ignore")
        chemiscope.write_input(
            str(path),
            structures=[to_atoms(d.bicrystal) for d in details],
            properties=properties,
            metadata={
                "name": str(meta["name"]),
                "description": "Grain boundary structures that autoloop found, the "
                "best by cost and the Pareto front of image and energy.",
            },
            settings=_settings(properties),
        )


def _of_structures(
    shown: Sequence[Evaluation], on_front: Sequence[bool]
) -> dict[str, Any]:
    ranks = {e.id: place for place, e in enumerate(shown, start=1)}
    properties: dict[str, Any] = {
        "rank": _property([ranks[e.id] for e in shown], "", "1 is the lowest cost"),
        # Not the ids themselves: the viewer takes words for categories, and warns.
        "cycle": _property([e.cycle for e in shown], "", "first part of its id"),
        "index": _property([e.index for e in shown], "", "second part of its id"),
    }
    for name, (unit, meaning) in _PROPERTIES.items():
        values = [
            e.cost if name == "cost" else getattr(e.score or Score(), name)
            for e in shown
        ]
        if all(value is not None for value in values):
            properties[name] = _property(values, unit, meaning)
    properties["mutation"] = _property(
        [e.proposal.mutation for e in shown], "", "how it was made"
    )
    properties["Pareto front"] = _property(
        ["yes" if front else "no" for front in on_front], "", "of image and energy"
    )
    return properties


def _of_atoms(details: Sequence[Details]) -> dict[str, Any]:
    properties = {
        "grain": _property(
            np.concatenate([d.bicrystal.grains for d in details]),
            "",
            "1 above the boundary, 2 below it",
            target="atom",
        )
    }
    excess = np.concatenate([d.excess_energies for d in details])
    if np.isfinite(excess).all():
        properties["excess energy"] = _property(
            excess, "eV", "above an atom of the crystal", target="atom"
        )
    return properties


def _property(
    values: Any, unit: str, meaning: str, target: str = "structure"
) -> dict[str, Any]:
    found = {"target": target, "values": values, "description": meaning}
    return {**found, "units": unit} if unit else found


def _settings(properties: dict[str, Any]) -> dict[str, Any]:
    """Put energy against image on the map where both were measured, else the cost."""
    both = "ssim" in properties and "energy_j_per_m2" in properties
    x, y = ("ssim", "energy_j_per_m2") if both else ("rank", "cost")
    return {
        "target": "structure",
        "map": {
            "x": {"property": x},
            "y": {"property": y},
            "color": {"property": "cost"},
        },
        "structure": [{"unitCell": True, "bonds": False, "spaceFilling": False}],
    }
