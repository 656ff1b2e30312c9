"""The search space: what a search may change, as named dimensions.

The vector of an `assemble` proposal has one value for each dimension. Translation is
given in the basis of the displacement-shift cell, so its two dimensions are periodic
with period 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

HEATING: Final = ("temperature_k", "steps")
"""Parameters of molecular dynamics before a relaxation, of any proposal."""
OTHERS: Final = "others"
"""Parameter of an `assemble` proposal that leaves it open: a list of more vectors. Of
all of them the one is relaxed and recorded that begins best (see `recipes`)."""
MAX_TEMPERATURE_K: Final = 2000.0
MAX_STEPS: Final = 20000
"""Longest dynamics, of 2 fs a step: minutes for a cell of a thousand atoms."""


def recipes(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a proposal leaves open: its parameters with each of its vectors.

    Parameters
    ----------
    parameters : mapping
        Of an `assemble` proposal, with `OTHERS` or without.

    Returns
    -------
    list of dict
        Parameters without `OTHERS`; the first is the proposal's own vector.

    Examples
    --------
    >>> recipes({"overlap": 0.4, "steps": 200, "others": [{"overlap": 0.6}]})
    [{'overlap': 0.4, 'steps': 200}, {'overlap': 0.6, 'steps': 200}]
    """
    own = {name: v for name, v in parameters.items() if name != OTHERS}
    return [own, *({**own, **other} for other in parameters.get(OTHERS, ()))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One thing that a search may change.

    Attributes
    ----------
    name : str
        Key in the parameters of an `assemble` proposal.
    kind : {"periodic", "real", "integer"}
        Periodic values lie in [low, high) and wrap; the others in [low, high].
    low, high : float
        Bounds; of an integer dimension both are allowed values.
    """

    name: str
    kind: Literal["periodic", "real", "integer"]
    low: float
    high: float

    def from_unit(self, u: float) -> float | int:
        """Map a number in [0, 1) to a value."""
        if self.kind == "integer":
            return int(self.low) + int(u * (int(self.high) - int(self.low) + 1))
        value = float(self.low + u * (self.high - self.low))
        # Rounding reaches the upper end, which a periodic value must not.
        return self.low if self.kind == "periodic" and value >= self.high else value

    def contains(self, value: Any) -> bool:
        """Whether the value may stand in a proposal."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind == "integer" and not isinstance(value, int):
            return False
        below = value < self.high if self.kind == "periodic" else value <= self.high
        return self.low <= value and below


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """Named dimensions, and where the micrograph says to look first.

    Attributes
    ----------
    dimensions : tuple of Dimension
        In a fixed order.
    measured : mapping
        Values that the micrograph shows, by name of dimension; may be empty.
    measured_sigma : mapping
        Their standard uncertainties, in the unit of the dimension.
    heatable : bool
        Whether molecular dynamics can come before a relaxation: it needs a potential
        of LAMMPS.
    """

    dimensions: tuple[Dimension, ...]
    measured: Mapping[str, float]
    measured_sigma: Mapping[str, float]
    heatable: bool = True

    def sample(self, rng: np.random.Generator) -> dict[str, float | int]:
        """Draw every dimension uniformly."""
        return {d.name: d.from_unit(rng.random()) for d in self.dimensions}

    def sample_near_image(self, rng: np.random.Generator) -> dict[str, float | int]:
        """Draw measured dimensions around their measured values, others uniformly.

        Without a measurement this is `sample`; the number of draws is the same.
        """
        vector = self.sample(rng)
        for d in self.dimensions:
            step = rng.normal()
            if d.name in self.measured and d.kind != "integer":
                value = self.measured[d.name] + step * self.measured_sigma[d.name]
                vector[d.name] = self._inside(d, value)
        return vector

    def contains(self, vector: Mapping[str, Any]) -> bool:
        """Whether the vector has a legal value for every dimension and no other key."""
        return set(vector) == {d.name for d in self.dimensions} and all(
            d.contains(vector[d.name]) for d in self.dimensions
        )

    def allows(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the parameters may stand in an `assemble` proposal.

        A vector of the space, and with it, if at all, `temperature_k` and `steps`: the
        heating that comes before the relaxation; and `others`: more vectors, of which
        the most promising is taken.
        """
        if OTHERS in parameters:
            others = parameters[OTHERS]
            own = {k: v for k, v in parameters.items() if k != OTHERS}
            return (
                isinstance(others, list | tuple)
                and all(isinstance(o, Mapping) and self.contains(o) for o in others)
                and self.allows(own)
            )
        if not self.heatable or not set(parameters) >= set(HEATING):
            return self.contains(parameters)
        temperature, steps = (parameters[name] for name in HEATING)
        vector = {k: v for k, v in parameters.items() if k not in HEATING}
        return (
            self.contains(vector)
            and isinstance(temperature, int | float)
            and 0.0 < temperature <= MAX_TEMPERATURE_K
            and isinstance(steps, int)
            and not isinstance(steps, bool)
            and 1 <= steps <= MAX_STEPS
        )

    def encode(self, vectors: list[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return (n, m) features in [-1, 1] for surrogates.

        A periodic dimension becomes the cosine and sine of its phase, so that its two
        ends are neighbours; the others are scaled linearly.
        """
        features: list[NDArray[np.float64]] = []
        for d in self.dimensions:
            values = np.array([float(v[d.name]) for v in vectors])
            unit = (values - d.low) / ((d.high - d.low) or 1.0)
            if d.kind == "periodic":
                features += [np.cos(2 * np.pi * unit), np.sin(2 * np.pi * unit)]
            else:
                features.append(2 * unit - 1)
        return np.array(features).reshape(len(features), len(vectors)).T

    @staticmethod
    def _inside(d: Dimension, value: float) -> float:
        if d.kind == "periodic":
            span = d.high - d.low
            wrapped = d.low + (value - d.low) % span
            return float(wrapped if wrapped < d.high else d.low)
        return float(min(max(value, d.low), d.high))
