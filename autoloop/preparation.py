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

from autoloop.comparison import (
    BLEND,
    Target,
    frame_of,
    pixel_coordinates,
    smooth_coordinates,
)
from autoloop.config import Campaign, LoadedCampaign
from autoloop.config.models import GrainSection
from autoloop.domain import Columns, Crystal, Grain, GrainBoundary, Image, Reading
from autoloop.errors import ConfigError, DataError
from autoloop.evaluation import Context, Energetics
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.fit import apply, fit_imaging
from autoloop.imaging.probe import Microscope, z_exponent
from autoloop.microscopy.columns import fit_columns
from autoloop.microscopy.lattice import read_frame
from autoloop.microscopy.reading import read_micrograph
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import make_energy_model
from autoloop.relax.engine import RelaxSettings
from autoloop.relax.potentials import Potential, find_potential
from autoloop.scoring.objective import Objective
from autoloop.scoring.registration import subpixel_shift
from autoloop.structure.assemble import assemble, assemble_space, initial_gap
from autoloop.structure.crystals import find_crystal
from autoloop.structure.lattices import bulk_atoms
from autoloop.structure.space import SearchSpace
from autoloop.structure.template import BoundaryTemplate, build_template
from autoloop.units import FWHM_IN_SIGMA

Array = NDArray[np.float64]

BULK_FROM: Final = 6.0
"""Distance from the boundary at which a grain counts as bulk in the imaging fit [Å]."""
TYPICAL_EXPANSION: Final = 0.25
"""Expansion of a relaxed boundary against touching planes, by which one of several
translations that the image allows is chosen to start from [Å]."""
TRANSLATION_SIGMA: Final = 0.25
"""Standard uncertainty of the translation between the grains as measured [Å]."""
NO_POTENTIAL_CUTOFF: Final = 5.0
"""Stands for the range of the potential when there is none [Å]."""
COVER: Final = 5.0
"""The region compared ends this far inside the slab [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A campaign without gaps.

    Attributes
    ----------
    context : Context
        For evaluations.
    space : SearchSpace
        For policies.
    hashes : dict
        SHA-256 of the files that shaped the context, by role.
    notes : tuple of str
        What a person should know before the run: strain, pixel size, uncertainty.
    """

    context: Context
    space: SearchSpace
    hashes: dict[str, str]
    notes: tuple[str, ...]


def prepare(loaded: LoadedCampaign) -> Prepared:
    """Read the micrograph, relax the crystals, build the template.

    Raises
    ------
    ConfigError
        If the run file names what is not there, or grains that make no boundary.
    DataError
        If the image is unusable.
    """
    campaign = loaded.campaign
    reference = _boundary(campaign, loaded.base)
    hashes: dict[str, str] = {}
    notes: list[str] = []
    potential, model = _in_potential(campaign, loaded.base, reference)
    if potential is not None:
        hashes["potential"] = potential.sha256
    template = build_template(
        model,
        reference,
        cutoff=NO_POTENTIAL_CUTOFF if potential is None else cutoff(potential),
        max_strain=campaign.cell.max_strain,
        max_period=campaign.cell.max_period,
    )
    notes.append(_cell_note(template))
    energetics = _energetics(potential, campaign, template, model)
    target = None
    if campaign.micrograph is not None:
        target, digest, note = _target(campaign, loaded.base, reference, template)
        hashes["micrograph"] = digest
        notes.append(note)
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
    space = assemble_space(template, measured, sigma)
    return Prepared(context=context, space=space, hashes=hashes, notes=tuple(notes))


def _boundary(campaign: Campaign, base: Path) -> GrainBoundary:
    upper, lower = (_grain(section, base) for section in campaign.grains)
    return GrainBoundary(upper=upper, lower=lower)


def _grain(section: GrainSection, base: Path) -> Grain:
    return Grain(
        crystal=find_crystal(section.crystal, base),
        zone_axis=section.zone_axis,
        up=section.up,
        rotation_deg=section.rotation_deg,
    )


def _in_potential(
    campaign: Campaign, base: Path, reference: GrainBoundary
) -> tuple[Potential | None, GrainBoundary]:
    """Return the potential, and the boundary with its lattice constants."""
    if campaign.energy is None:
        return None, reference
    grains = (reference.upper, reference.lower)
    species = tuple(dict.fromkeys(z for g in grains for z in g.crystal.species))
    potential = find_potential(campaign.energy.potential, base=base, species=species)
    relaxed: dict[str, Crystal] = {}
    for grain in grains:
        if grain.crystal.name not in relaxed:
            relaxed[grain.crystal.name] = relaxed_crystal(potential, grain.crystal)[0]
    upper, lower = (
        replace(grain, crystal=relaxed[grain.crystal.name]) for grain in grains
    )
    return potential, GrainBoundary(upper=upper, lower=lower)


def _energetics(
    potential: Potential | None,
    campaign: Campaign,
    template: BoundaryTemplate,
    model: GrainBoundary,
) -> Energetics | None:
    """Add reference energies and chemical potentials."""
    if potential is None or campaign.energy is None:
        return None
    plain = {d.name: d.low for d in assemble_space(template).dimensions}
    energy_model = make_energy_model(
        potential,
        model.upper.crystal,
        model.lower.crystal,
        spacings=(template.upper.spacing, template.lower.spacing),
        mu_fraction=campaign.energy.mu_fraction,
        reference=None if template.exact else assemble(template, plain),
    )
    return Energetics(potential=potential, settings=RelaxSettings(), model=energy_model)


def _cell_note(template: BoundaryTemplate) -> str:
    cell = f"cell {template.width:.2f} x {template.depth:.2f} Å"
    if template.exact:
        return f"{cell}, the coincidence period"
    return (
        f"{cell}, an approximant: strain {100 * template.strain:.2f} % in each grain, "
        f"misorientation off by {abs(template.turn_deg):.2f} degrees; neither enters "
        "the image, one period is compared"
    )


def _target(
    campaign: Campaign,
    base: Path,
    reference: GrainBoundary,
    template: BoundaryTemplate,
) -> tuple[Target, str, str]:
    """Read the micrograph; return what to compare with, its hash, and a note."""
    section, optics = campaign.micrograph, campaign.microscope
    if section is None or optics is None:
        raise ConfigError("micrograph and microscope are needed together")
    micrograph = read_micrograph(
        base / Path(section.path).expanduser(), pixel_size=section.pixel_size
    )
    crop = _crop(micrograph.image, section.crop)
    measured = micrograph.image.values[crop[0] : crop[1], crop[2] : crop[3]]
    offset = (crop[2], crop[0])
    reading = read_frame(
        micrograph.image,
        reference,
        crop=crop,
        angle_deg=campaign.boundary.angle_deg,
        point_px=campaign.boundary.point_px,
    )
    microscope = Microscope(
        beam_energy_kev=optics.beam_energy_kev,
        convergence_mrad=optics.convergence_mrad,
        detector_mrad=optics.detector_mrad,
        defocus=optics.defocus,
        spherical_aberration_mm=optics.spherical_aberration_mm,
    )
    found = fit_columns(Image(values=measured, pixel_size=reading.pixel_size))
    target = _fit_bulk(
        Image(values=measured, pixel_size=reading.pixel_size),
        offset,
        reading,
        microscope,
        reference,
        Columns(
            positions=found.columns.positions + offset,
            intensities=found.columns.intensities,
        ),
        width=found.width_px * FWHM_IN_SIGMA * reading.pixel_size,
        extent=template.free_thickness + template.block_thickness - COVER,
    )
    return target, micrograph.sha256, _reading_note(target.reading)


def _crop(
    image: Image, crop: tuple[int, int, int, int] | None
) -> tuple[int, int, int, int]:
    n_y, n_x = image.values.shape
    if crop is None:
        return (0, n_y, 0, n_x)
    if crop[1] > n_y or crop[3] > n_x:
        raise ConfigError(
            f"micrograph.crop {list(crop)} reaches beyond the image of {n_y} rows and "
            f"{n_x} columns; give [first row, last row, first column, last column]"
        )
    return crop


def _reading_note(reading: Reading) -> str:
    off = 100 * (reading.pixel_size / reading.pixel_size_nominal - 1)
    return (
        f"pixel size {reading.pixel_size:.5f} Å ({off:+.1f} % of nominal), boundary at "
        f"{reading.angle_deg:+.2f} degrees through pixel ({reading.origin_px[0]:.0f}, "
        f"{reading.origin_px[1]:.0f}), shear {reading.shear:+.4f}, confidence "
        f"{reading.confidence:.2f}"
    )


def _fit_bulk(
    image: Image,
    offset: tuple[int, int],
    reading: Reading,
    microscope: Microscope,
    reference: GrainBoundary,
    columns: Columns,
    *,
    width: float,
    extent: float,
) -> Target:
    """Fit the imaging parameters, and place both lattices to a fraction of a pixel.

    The fit looks at the bulk only; its lattices are then shifted to where the image
    has them, and the fit is done once more.
    """
    measured = image.values
    plain, smooth = smooth_coordinates(reading, measured.shape, offset)
    sides = (plain[..., 1] > BULK_FROM, plain[..., 1] < -BULK_FROM)

    def make_imager(blur_sigma: float) -> ColumnImager:
        return ColumnImager(
            measured.shape,
            frame_of(reading).matrix,
            (float(offset[0]), float(offset[1])),
            microscope,
            blur_sigma,
        )

    for _ in range(2):
        bulk = _bulk_columns(reading, measured.shape, offset, reference, microscope)
        imaging = fit_imaging(measured, sides[0] | sides[1], make_imager, bulk, smooth)
        simulated = apply(imaging, make_imager(imaging.blur_sigma).image(bulk), smooth)
        reading = _shifted(reading, measured, simulated, sides)
    return Target(
        measured=measured,
        offset_px=offset,
        reading=reading,
        microscope=microscope,
        imaging=imaging,
        columns=columns,
        column_width=width,
        extent=extent,
        window=_window(reference.lower, reading.pixel_size),
    )


def _shifted(
    reading: Reading,
    measured: Array,
    simulated: Array,
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> Reading:
    steps = [np.array(subpixel_shift(measured, simulated, side)) for side in sides]
    for step, name in zip(steps, ("upper", "lower"), strict=True):
        # A quarter of the closest columns' distance: beyond it this is no refinement.
        if np.hypot(*step) * reading.pixel_size > 0.4:
            raise DataError(
                f"the {name} grain's lattice lies {np.hypot(*step):.1f} pixels from "
                "where its reflections put it; check its zone_axis, up and "
                "rotation_deg, or give boundary.point_px and boundary.angle_deg"
            )
    upper = np.array(reading.upper_origin_px) + steps[0]
    lower = np.array(reading.lower_origin_px) + steps[1]
    return replace(
        reading,
        upper_origin_px=(float(upper[0]), float(upper[1])),
        lower_origin_px=(float(lower[0]), float(lower[1])),
    )


def _bulk_columns(
    reading: Reading,
    shape: tuple[int, ...],
    offset: tuple[int, int],
    reference: GrainBoundary,
    microscope: Microscope,
) -> Columns:
    """Return the atoms of both perfect grains over the crop [pixels], to the line."""
    frame = frame_of(reading)
    corners = pixel_coordinates(shape, offset)[[0, 0, -1, -1], [0, -1, 0, -1]]
    inside = frame.to_boundary(corners)
    margin = 6.0  # [Å]: tails of probes from beyond the crop
    low, high = inside.min(axis=0) - margin, inside.max(axis=0) + margin
    parts = []
    for grain, origin, side in (
        (reference.upper, reading.upper_origin_px, 1),
        (reference.lower, reading.lower_origin_px, -1),
    ):
        anchor = frame.to_boundary(np.array([origin]))[0]
        points, numbers, depth = bulk_atoms(grain, low - anchor, high - anchor)
        points = points + anchor
        kept = side * points[:, 1] > 0
        weights = numbers[kept] ** z_exponent(microscope) / depth
        parts.append((frame.to_pixels(points[kept]), weights))
    return Columns(
        positions=np.vstack([p for p, _ in parts]),
        intensities=np.concatenate([w for _, w in parts]),
    )


def _window(grain: Grain, pixel_size: float) -> int:
    """Return the SSIM window: one projected column spacing, odd, at least 7 pixels."""
    reach = np.array([12.0, 12.0])
    points = np.unique(np.round(bulk_atoms(grain, -reach, reach)[0], 2), axis=0)
    steps = np.linalg.norm(points - points[np.argmin(np.hypot(*points.T))], axis=1)
    spacing = float(np.sort(steps)[1])
    n = round(spacing / pixel_size)
    return max(7, n if n % 2 else n + 1)


def _measured_shift(
    template: BoundaryTemplate, target: Target | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return where the image puts the upper grain, in the search space's own terms.

    The image fixes the translation up to lattice vectors of either grain; of those the
    one is taken whose height suits grains that touch and then expand a little.
    """
    if target is None:
        return {}, {}
    frame = frame_of(target.reading)
    ends = np.array([target.reading.upper_origin_px, target.reading.lower_origin_px])
    upper, lower = frame.to_boundary(ends)
    step = np.linalg.solve(template.lower.to_reference, upper - lower)
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
