"""The verbs: arguments in, text or JSON out, nothing else."""

from __future__ import annotations


def main() -> int:
    """Run the command line."""
    raise SystemExit("not written yet")
