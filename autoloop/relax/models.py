"""Whichever model of energies a run has: its relaxer, and its boundary energies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from autoloop.domain import Relaxation
from autoloop.errors import ConfigError
from autoloop.relax.ase_bulk import AseBulk
from autoloop.relax.ase_engine import AseModel, AseRelaxer, make_calculator
from autoloop.relax.energy import (
    BoundaryEnergy,
    EnergyModel,
    boundary_energy,
)
from autoloop.relax.engine import LammpsRelaxer, RelaxSettings
from autoloop.relax.lines import potential_from_lines
from autoloop.relax.perfect import Bulk, LammpsBulk
from autoloop.relax.potentials import Potential, find_potential
from autoloop.relax.table import default_potential
from autoloop.relax.total_energy import surface_reference, total_boundary_energy
from autoloop.relax.trial import refuse_unreadable

Model = Potential | AseModel
"""What a run file may name for its energies."""


def find_model(
    given: str | Mapping[str, Any] | None, *, base: Path, species: Iterable[int]
) -> Model:
    """Return the model that a run file names, checked.

    Parameters
    ----------
    given : str, mapping or None
        A potential by name or file; {style, coeff}: pair lines of LAMMPS as data;
        {calculator, arguments, modules, reach}: a calculator of ASE; nothing: the
        default potential of these species.
    base : Path
        Folder of the run file.
    species : iterable of int
        Atomic numbers that will occur, those of the first grain first.

    Raises
    ------
    ConfigError
        If there is no such model, or it is not allowed.
    DataError
        If its file does not hold what it should.
    """
    from ase.data import chemical_symbols

    kinds = tuple(dict.fromkeys(species))
    symbols = tuple(chemical_symbols[z] for z in kinds)
    if given is None:
        given = default_potential(kinds)
        if given is None:
            raise ConfigError(
                f"no default potential for {'-'.join(symbols)}: name one that LAMMPS "
                "ships or a file of your own"
            )
    if isinstance(given, str):
        potential = find_potential(given, base=base, species=kinds)
        refuse_unreadable(potential)
        return potential
    keys = set(given)
    if keys == {"style", "coeff"}:
        potential = potential_from_lines(
            given["style"], given["coeff"], base=base, elements=symbols
        )
        refuse_unreadable(potential)
        return potential
    if "calculator" in keys and keys <= {f.name for f in fields(AseModel)}:
        model = AseModel(**{**given, "modules": tuple(given.get("modules", ()))})
        make_calculator(model)
        return model
    raise ConfigError(
        f"potential: keys {', '.join(sorted(map(str, keys)))} are neither style and "
        "coeff nor calculator, arguments, modules and reach"
    )


def model_hash(model: Model) -> str:
    """Return a hexadecimal digest of all that decides a model's numbers."""
    if isinstance(model, Potential):
        text = json.dumps(model.identity)
    else:
        text = json.dumps([model.calculator, dict(model.arguments), model.reach])
    return hashlib.sha256(text.encode()).hexdigest()


def make_relaxer(
    model: Model, settings: RelaxSettings | None = None
) -> LammpsRelaxer | AseRelaxer:
    """Return the relaxer of a model."""
    if isinstance(model, Potential):
        return LammpsRelaxer(model, settings)
    return AseRelaxer(model, settings)


def make_bulk(model: Model) -> Bulk:
    """Return what knows the perfect crystals of a model."""
    return LammpsBulk(model) if isinstance(model, Potential) else AseBulk(model)


def relaxed_energy(
    relaxer: LammpsRelaxer | AseRelaxer, model: EnergyModel, relaxation: Relaxation
) -> BoundaryEnergy:
    """Return the energy of a relaxed boundary, from atoms or from totals.

    Total energies stand for the boundary's only where
    `autoloop.relax.total_energy.refuse_unlike_surfaces` lets the bicrystal pass.
    """
    total = relaxation.total_energy
    if isinstance(relaxer, LammpsRelaxer) or total is None:
        return boundary_energy(model, relaxation)
    if np.isfinite(relaxation.energies).all():
        return boundary_energy(model, relaxation)
    bicrystal = relaxation.bicrystal
    reference = surface_reference(relaxer.total_energy, bicrystal, model)
    return total_boundary_energy(model, bicrystal, total, reference)
