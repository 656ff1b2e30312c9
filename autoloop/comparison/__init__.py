"""One candidate against the micrograph: placed, simulated, registered, scored.

Atoms are mapped into the image by the lattice of their own grain as measured, blended
across the core, so that neither the strain of an approximant nor the lattice constant
of a potential shows as a difference. The bulk of the lower grain ties the candidate to
the image: what is left to find is which of its lattice points lies where, a short list
of hypotheses. A wrong translation of the upper grain then shows as residual.
"""

from autoloop.comparison.compare import (
    Comparison,
    Placement,
    Registered,
)
from autoloop.comparison.floor import noise_floor
from autoloop.comparison.scene import BAND, EDGE, RESOLVED, Scene
from autoloop.comparison.target import (
    Target,
    frame_of,
    grain_matrices,
    pixel_coordinates,
    smooth_coordinates,
)
from autoloop.scoring.noise import NoiseFloor
from autoloop.scoring.placing import BLEND, HEIGHT_RANGE

__all__ = [
    "BAND",
    "BLEND",
    "EDGE",
    "HEIGHT_RANGE",
    "RESOLVED",
    "Comparison",
    "NoiseFloor",
    "Placement",
    "Registered",
    "Scene",
    "Target",
    "frame_of",
    "grain_matrices",
    "noise_floor",
    "pixel_coordinates",
    "smooth_coordinates",
]
