"""What a run found, as files that other programs read; from the journal alone."""

from autoloop.report.export.exporting import FORMATS, export, export_structure
from autoloop.report.export.structures import (
    SUFFIXES,
    describe,
    periodic_slab,
    to_atoms,
    write_structure,
)

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "describe",
    "export",
    "export_structure",
    "periodic_slab",
    "to_atoms",
    "write_structure",
]
