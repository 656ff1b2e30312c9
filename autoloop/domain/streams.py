"""Random streams: they come from position in the run, never from history."""

from __future__ import annotations

import numpy as np


def stream(seed: int, cycle: int, index: int | None = None) -> np.random.Generator:
    """Return the random stream of a position in the run.

    Parameters
    ----------
    seed : int
        Seed of the run.
    cycle : int
        Cycle, counted from 0.
    index : int, optional
        Position of a candidate in its batch; without it, the policy's own stream.

    Notes
    -----
    `spawn_key` keeps the streams apart; plain ``[seed, cycle]`` and
    ``[seed, cycle, 0]`` would be the same stream, because SeedSequence pads with zeros.
    """
    key = (cycle,) if index is None else (cycle, index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
