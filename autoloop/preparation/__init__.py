"""From a campaign to what every evaluation shares: done once, before the first cycle.

Micrograph -> columns and Reading; crystals and potential -> bicrystal template and
reference energies; both -> Context and SearchSpace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import Target, grain_matrices
from autoloop.config import Campaign, LoadedCampaign
from autoloop.config.composition import composition_problems
from autoloop.config.models import GrainSection
from autoloop.domain import Crystal, Grain, GrainBoundary
from autoloop.evaluation import Context
from autoloop.imaging.limits import linear_warning
from autoloop.preparation.doubts import doubts
from autoloop.preparation.gaps import campaign_micrograph, without_gaps
from autoloop.preparation.target import read_target
from autoloop.relax.ase_engine import AseModel, AseRelaxer
from autoloop.relax.energy import make_energy_model
from autoloop.relax.engine import RelaxSettings
from autoloop.relax.models import Model, find_model, make_bulk, model_hash
from autoloop.relax.perfect import Bulk
from autoloop.relax.potentials import Potential
from autoloop.relax.total_energy import refuse_unlike_surfaces
from autoloop.relaxing import Energetics
from autoloop.scoring.objective import Objective
from autoloop.scoring.placing import BLEND
from autoloop.structure.assemble import assemble, assemble_space, initial_gap
from autoloop.structure.crystals import find_crystal
from autoloop.structure.space import SearchSpace
from autoloop.structure.template import BoundaryTemplate, build_template

Array = NDArray[np.float64]

TYPICAL_EXPANSION: Final = 0.25
"""Expansion of a relaxed boundary against touching planes, by which one of several
translations that the image allows is chosen to start from [Å]."""
TRANSLATION_SIGMA: Final = 0.25
"""Standard uncertainty of the translation between the grains as measured [Å]."""
NO_POTENTIAL_CUTOFF: Final = 5.0
"""Stands for the range of the potential when there is none [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A campaign without gaps, and what every evaluation of it shares.

    Attributes
    ----------
    campaign : Campaign
        As resolved: what the run file left out is read from the micrograph.
    context : Context
        For evaluations.
    space : SearchSpace
        For policies.
    hashes : dict
        SHA-256 of the files that shaped the context, by role.
    notes : tuple of str
        What a person should know before the run: strain, pixel size, uncertainty.
    """

    campaign: Campaign
    context: Context
    space: SearchSpace
    hashes: dict[str, str]
    notes: tuple[str, ...]


def prepare(loaded: LoadedCampaign) -> Prepared:
    """Read the micrograph, relax the crystals, build the template.

    Raises
    ------
    ConfigError
        If the run file names what is not there, grains that make no boundary, or an
        energy that their compositions do not fix.
    DataError
        If the image is unusable.
    """
    micrograph = campaign_micrograph(loaded.campaign, loaded.base)
    campaign, read = without_gaps(loaded, micrograph)
    reference = _boundary(campaign, loaded.base)
    crystals = (reference.upper.crystal, reference.lower.crystal)
    if problems := composition_problems(campaign.energy, *crystals):
        raise loaded.marked.error(problems)
    hashes: dict[str, str] = {}
    notes = list(read)
    potential, bulk, model = _in_potential(campaign, loaded.base, reference)
    if potential is not None:
        hashes["potential"] = (
            potential.sha256
            if isinstance(potential, Potential)
            else model_hash(potential)
        )
    template = build_template(
        model,
        reference,
        cutoff=NO_POTENTIAL_CUTOFF if bulk is None else bulk.cutoff(_species(model)),
        max_strain=campaign.cell.max_strain,
        max_period=campaign.cell.max_period,
        max_depth=campaign.cell.max_depth,
        oblique=campaign.cell.oblique,
        open_polarity=(
            campaign.grains[0].polarity == "open",
            campaign.grains[1].polarity == "open",
        ),
    )
    notes.append(_cell_note(template))
    energetics = _energetics(potential, bulk, campaign, template, model)
    target = None
    if micrograph is not None:
        target, note = read_target(campaign, micrograph, reference, template)
        hashes["micrograph"] = micrograph.sha256
        notes += [note, *doubts(campaign, target.reading)]
        thick = linear_warning(target.microscope)
        notes += [thick] if thick else []
    weights = campaign.weights
    context = Context(
        seed=campaign.seed,
        template=template,
        stoichiometric=campaign.energy is not None
        and campaign.energy.gamma_excess == 0,
        energetics=energetics,
        target=target,
        objective=Objective(ssim=weights.ssim, emd=weights.emd, energy=weights.energy),
    )
    measured, sigma = _measured_shift(template, target)
    space = assemble_space(
        template,
        measured,
        sigma,
        max_repeat=campaign.cell.max_repeat,
        max_missing=campaign.cell.max_missing,
    )
    space = replace(space, heatable=isinstance(potential, Potential))
    return Prepared(
        campaign=campaign,
        context=context,
        space=space,
        hashes=hashes,
        notes=tuple(notes),
    )


def _boundary(campaign: Campaign, base: Path) -> GrainBoundary:
    upper, lower = (_grain(section, base) for section in campaign.grains)
    return GrainBoundary(upper=upper, lower=lower)


def _grain(section: GrainSection, base: Path) -> Grain:
    if section.zone_axis is None or section.up is None:
        raise ValueError(f"the orientation of {section.crystal} has gaps")
    return Grain(
        crystal=find_crystal(section.crystal, base),
        zone_axis=section.zone_axis,
        up=section.up,
        rotation_deg=section.rotation_deg or 0.0,
    )


def _species(boundary: GrainBoundary) -> tuple[int, ...]:
    """Return the atomic numbers of both crystals, those of the upper first."""
    grains = (boundary.upper, boundary.lower)
    return tuple(dict.fromkeys(z for g in grains for z in g.crystal.species))


def _in_potential(
    campaign: Campaign, base: Path, reference: GrainBoundary
) -> tuple[Model | None, Bulk | None, GrainBoundary]:
    """Return the model of energies, and the boundary with its lattice constants."""
    if campaign.energy is None:
        return None, None, reference
    grains = (reference.upper, reference.lower)
    potential = find_model(
        campaign.energy.potential, base=base, species=_species(reference)
    )
    bulk = make_bulk(potential)
    relaxed: dict[str, Crystal] = {}
    for grain in grains:
        if grain.crystal.name not in relaxed:
            relaxed[grain.crystal.name] = bulk.relaxed_crystal(grain.crystal)[0]
    upper, lower = (
        replace(grain, crystal=relaxed[grain.crystal.name]) for grain in grains
    )
    return potential, bulk, GrainBoundary(upper=upper, lower=lower)


def _energetics(
    potential: Model | None,
    bulk: Bulk | None,
    campaign: Campaign,
    template: BoundaryTemplate,
    model: GrainBoundary,
) -> Energetics | None:
    """Add reference energies and chemical potentials."""
    if potential is None or bulk is None or campaign.energy is None:
        return None
    if isinstance(potential, AseModel) and not _tells_atoms_apart(potential):
        refuse_unlike_surfaces(model)
    plain = {d.name: d.low for d in assemble_space(template).dimensions}
    energy_model = make_energy_model(
        bulk,
        model.upper.crystal,
        model.lower.crystal,
        spacings=(template.upper.spacing, template.lower.spacing),
        mu_fraction=campaign.energy.mu_fraction,
        reference=None if template.exact else assemble(template, plain),
    )
    return Energetics(potential=potential, settings=RelaxSettings(), model=energy_model)


def _tells_atoms_apart(model: AseModel) -> bool:
    """Whether a calculator gives the energy of each atom."""
    return AseRelaxer(model).has_atom_energies


def _cell_note(template: BoundaryTemplate) -> str:
    cell = f"cell {template.width:.2f} x {template.depth:.2f} Å"
    if template.shear:
        cell += f", sheared by {template.shear:.2f} Å along the beam"
    if template.exact:
        return f"{cell}, the coincidence period"
    return (
        f"{cell}, an approximant: strain {100 * template.strain:.2f} % in each grain, "
        f"misorientation off by {abs(template.turn_deg):.2f} degrees; neither enters "
        "the image, one period is compared"
    )


def _measured_shift(
    template: BoundaryTemplate, target: Target | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return where the image puts the upper grain, in the search space's own terms.

    The image fixes the translation up to lattice vectors of either grain; of those the
    one is taken whose height suits grains that touch and then expand a little.
    """
    if target is None:
        return {}, {}
    reading = target.reading
    apart = np.subtract(reading.upper_origin_px, reading.lower_origin_px)
    to_pixels = grain_matrices(reading)[1] @ template.lower.to_reference
    step = np.linalg.solve(to_pixels, apart)
    reach = np.arange(-8, 9)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    near = [
        points[np.abs(points[:, 1]) < 4 * BLEND]
        for points in (
            (cells @ grain.lattice)[:, :2] for grain in (template.upper, template.lower)
        )
    ]
    points = [np.unique(np.round(p, 3), axis=0) for p in near]
    options = (step + points[0][:, None] - points[1][None]).reshape(-1, 2)
    height = initial_gap(template) - (
        template.upper.terminations[0] - template.lower.terminations[0]
    )
    best = np.argmin(np.abs(options[:, 1] - height - TYPICAL_EXPANSION))
    period = float(template.shift_cell[0, 0])
    return (
        {"shift_u": float(options[best, 0] / period % 1.0)},
        {"shift_u": min(TRANSLATION_SIGMA / period, 0.25)},
    )
