"""What a micrograph says, as JSON values."""

from __future__ import annotations

from typing import Any

from autoloop import __version__
from autoloop.preparation.inspection import Inspection, tilt_deg


def as_json(found: Inspection) -> dict[str, Any]:
    """Return all that was read, as JSON values."""
    micrograph = found.micrograph
    values: dict[str, Any] = {
        "autoloop": __version__,
        "file": micrograph.path,
        "shape": list(micrograph.image.values.shape),
        "crop": list(found.crop),
        "notes": list(found.notes),
        "sources": micrograph.sources,
        "beam_energy_kev": micrograph.beam_energy_kev,
        "magnification": micrograph.magnification,
        "pixel_size": found.pixel_size,
        "pixel_size_nominal": micrograph.image.pixel_size,
        "cannot_tell": found.cannot_tell or None,
        **_lattices(found),
        "column_width_angstrom": found.column_width,
        "no_motifs": found.no_motifs or None,
        "motifs": _motif_list(found),
        "columns": _column_list(found),
    }
    return values


def _lattices(found: Inspection) -> dict[str, Any]:
    """Return what the lattices tell; without them the line that the motifs show."""
    line, read, grains = found.line, found.boundary, found.grains
    boundary = None
    if line is not None:
        boundary = {
            "angle_deg": line.angle_deg,
            "angle_sigma_deg": None if read is None else read.angle_sigma_deg,
            "point_px": list(line.point_px),
            "source": line.source,
        }
    if read is None or grains is None:
        return {
            "shear": None,
            "boundary": boundary,
            "grains": [],
            "misorientation_deg": None,
            "translation_angstrom": None,
            "expansion_angstrom": None,
            "confidence": None,
        }
    return {
        "shear": read.reading.shear,
        "boundary": boundary,
        "grains": [
            {
                "crystal": grain.crystal,
                "zone_axis": list(grain.zone_axis),
                "up": list(grain.up),
                "rotation_deg": grain.rotation_deg,
                "polarity": grain.polarity,
                "polarity_confidence": grain.polarity_confidence,
                "confidence": grain.confidence,
            }
            for grain in (read.upper, read.lower)
        ],
        "misorientation_deg": tilt_deg(*grains),
        "translation_angstrom": read.translation_angstrom,
        "translation_sigma_angstrom": read.translation_sigma,
        "expansion_angstrom": read.expansion_angstrom,
        "expansion_sigma_angstrom": read.expansion_sigma,
        "displacement_modulo_angstrom": None
        if read.displacement_modulo is None
        else read.displacement_modulo.tolist(),
        "core_angstrom": read.core_angstrom,
        "alternatives": list(read.alternatives),
        "confidence": read.reading.confidence,
    }


def _motif_list(found: Inspection) -> list[dict[str, Any]]:
    if found.motifs is None:
        return []
    labels = found.motifs.labels.tolist()
    return [
        {"name": motif.name, "region": motif.region, "columns": labels.count(index)}
        for index, motif in enumerate(found.motifs.motifs)
    ]


def _column_list(found: Inspection) -> list[dict[str, Any]]:
    columns, motifs = found.columns, found.motifs
    n = len(columns)
    names = [None] * n if motifs is None else list(motifs.names)
    sure = [None] * n if motifs is None else motifs.confidence.tolist()
    return [
        {
            "x_px": x,
            "y_px": y,
            "intensity": intensity,
            "motif": name,
            "confidence": confidence,
        }
        for (x, y), intensity, name, confidence in zip(
            columns.positions.tolist(),
            columns.intensities.tolist(),
            names,
            sure,
            strict=True,
        )
    ]
