"""autoloop finds the atomic structure of a grain boundary from a HAADF-STEM image.

The package imports nothing heavy, so `autoloop --help` and `autoloop status` start at
once.
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
