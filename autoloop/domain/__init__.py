"""The words of the program as values: frozen, keyword-only dataclasses.

Arrays in them are read-only copies. Units are Å, eV, ps, K, amu unless a name carries
its own. The boundary frame, in which all structures live: x along the boundary to the
right, y the boundary normal pointing up from the second grain into the first, z towards
the viewer along the beam; not periodic in y.

Random streams live here too, because their rule is part of the contract: they come from
position in the run, never from history.
"""

from autoloop.domain.evaluations import (
    Candidate,
    ColumnResiduals,
    Details,
    EarlyLook,
    Evaluation,
    Proposal,
    Score,
    candidate_id,
    flag_names,
)
from autoloop.domain.images import Columns, Image, Reading
from autoloop.domain.streams import stream
from autoloop.domain.structures import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Crystal,
    Grain,
    GrainBoundary,
    Relaxation,
)

__all__ = [
    "FREE",
    "LOWER_BLOCK",
    "UPPER_BLOCK",
    "Anneal",
    "Bicrystal",
    "Candidate",
    "ColumnResiduals",
    "Columns",
    "Crystal",
    "Details",
    "EarlyLook",
    "Evaluation",
    "Grain",
    "GrainBoundary",
    "Image",
    "Proposal",
    "Reading",
    "Relaxation",
    "Score",
    "candidate_id",
    "flag_names",
    "stream",
]
