"""What the person who wrote a wrong value or key of a run file may have meant."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from autoloop.plugins.words import nearest

SYNONYMS: Final = {
    "image": "micrograph",
    "file": "path",
    "filename": "path",
    "optics": "microscope",
    "voltage": "beam_energy_kev",
    "voltage_kv": "beam_energy_kev",
    "high_tension": "beam_energy_kev",
    "semiangle": "convergence_mrad",
    "collection_angles": "detector_mrad",
    "inner_outer": "detector_mrad",
    "cs": "spherical_aberration_mm",
    "c3": "spherical_aberration_mm",
    "material": "crystal",
    "structure": "crystal",
    "zone": "zone_axis",
    "plane_normal": "up",
    "force_field": "potential",
    "weights": "objective",
    "optimizer": "policy",
    "algorithm": "policy",
    "strategy": "policy",
    "iterations": "evaluations",
    "n_iterations": "evaluations",
    "steps": "evaluations",
    "max_time": "wall_time_min",
    "timeout": "wall_time_min",
    "cores": "workers",
    "processes": "workers",
    "random_seed": "seed",
    "title": "name",
}
"""Words that other programs use for keys of ours."""

DIRECTIONS: Final = frozenset({"zone_axis", "up", "axis", "plane"})

_UNITS_IN_KEYS: Final = {
    "ev": (("kev", 1e-3),),
    "kv": (("kev", 1.0),),
    "v": (("kev", 1e-3),),
    "rad": (("mrad", 1e3), ("deg", 180 / math.pi)),
    "deg": (("mrad", 1e3 * math.pi / 180),),
    "mrad": (("deg", 0.18 / math.pi),),
    "nm": (("", 10.0), ("mm", 1e-6)),
    "pm": (("", 0.01),),
    "angstrom": (("", 1.0),),
    "um": (("mm", 1e-3),),
    "h": (("min", 60.0), ("s", 3600.0)),
    "hours": (("min", 60.0),),
    "minutes": (("min", 1.0),),
    "min": (("s", 60.0),),
    "s": (("min", 1 / 60),),
    "mb": (("gb", 1e-3),),
}
"""Unit at the end of a key: that of the key there is, and the factor to it."""

_UNITS_OF_VALUES: Final = {
    "beam_energy_kev": ("eV", 1e-3, 10.0, 3000.0),
    "convergence_mrad": ("rad", 1e3, 1.0, 200.0),
    "detector_mrad": ("rad", 1e3, 1.0, 1000.0),
    "pixel_size": ("pm", 0.01, 0.01, 10.0),
}
"""Unit in which a value outside its bounds may be, factor, and where it then lies."""

_ONE_KEY: Final = {
    "micrograph": "path",
    "energy": "potential",
    "budget": "evaluations",
    "grains": "crystal",
}
"""The key that a value in the place of a section is most likely meant for."""


def similar(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that a misspelt one, or another program's, may mean.

    Examples
    --------
    >>> similar("weights", ["objective", "energy"])
    'objective'
    >>> similar("beam_energy", ["defocus", "beam_energy_kev"])
    'beam_energy_kev'
    """
    names = list(known)
    meant = SYNONYMS.get(word.lower())
    if meant in names:
        return str(meant)
    found = re.search(r"'(.+)'", nearest(word, names, cutoff))
    return found.group(1) if found else ""


def other_unit_in_key(word: str, value: Any, known: Iterable[str]) -> str:
    """Return what to write for a key that names another unit than ours.

    Examples
    --------
    >>> other_unit_in_key("beam_energy_ev", 200000, ["beam_energy_kev"])
    'beam_energy_kev: 200'
    """
    stem, _, unit = word.lower().rpartition("_")
    names = set(known)
    for ours, factor in _UNITS_IN_KEYS.get(unit, ()):
        key = f"{stem}_{ours}" if ours else stem
        if key in names and (converted := _times(value, factor)):
            return f"{key}: {converted}"
    return ""


def other_unit_of_value(key: str, value: Any) -> str:
    """Say which unit a value beyond its bounds may be in, and what that is in ours.

    Examples
    --------
    >>> other_unit_of_value("convergence_mrad", 0.022)
    "; if that is in rad, write 'convergence_mrad: 22'"
    """
    if key not in _UNITS_OF_VALUES:
        return ""
    unit, factor, low, high = _UNITS_OF_VALUES[key]
    values = value if isinstance(value, list | tuple) else [value]
    if not all(map(_is_number, values)):
        return ""
    if not low <= max(abs(v) for v in values) * factor <= high:
        return ""
    return f"; if that is in {unit}, write '{key}: {_times(value, factor)}'"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _times(value: Any, factor: float) -> str:
    """Return a number or list of numbers times a factor, as a run file writes it."""
    if isinstance(value, list | tuple):
        parts = [_times(item, factor) for item in value]
        return f"[{', '.join(parts)}]" if all(parts) else ""
    return f"{value * factor:.6g}" if _is_number(value) else ""


def direction_in(value: Any) -> str:
    """Return the direction that some text, number or list of four may mean.

    Examples
    --------
    >>> direction_in("<110>"), direction_in("1-10"), direction_in("[0 0 1]")
    ('[1, 1, 0]', '[1, -1, 0]', '[0, 0, 1]')
    >>> direction_in([2, -1, -1, 0])  # of a hexagonal crystal
    '[1, 0, 0]'
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        return _from_four(value)
    text = str(value) if isinstance(value, str | int) else ""
    spaced = (
        re.findall(r"[-+]?\d+", text) if re.search(r"\d[\s,;]+[-+]?\d", text) else []
    )
    indices = [int(word) for word in spaced or re.findall(r"[-+]?\d", text)]
    plain = re.fullmatch(r"[\s\[\](){}<>,;\d+-]*", text)
    return str(indices) if plain and len(indices) == 3 and any(indices) else ""


def misread_direction(text: str, path: tuple[str | int, ...]) -> str:
    """Say how a direction is written where digits that YAML misreads stand for one."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    direction = direction_in(text) if key in DIRECTIONS else ""
    return f"{text} is no direction; write '{key}: {direction}'" if direction else ""


def _from_four(indices: list[Any]) -> str:
    """Return [u, v, w] of a direction [u, v, t, w] of a hexagonal crystal."""
    if len(indices) != 4 or not all(type(index) is int for index in indices):
        return ""
    u, v, t, w = indices
    if u + v + t != 0 or not any(indices):
        return ""
    three = (u - t, v - t, w)
    common = math.gcd(*three)
    return str([index // common for index in three])


def section_for(key: str, value: Any) -> str:
    """Return what to write where a bare value stands in the place of a section."""
    inner = _ONE_KEY.get(key)
    if inner is None or isinstance(value, bool | list | dict) or value is None:
        return ""
    if (inner == "evaluations") != isinstance(value, int):
        return ""
    return f"; write '{key}: {{{inner}: {value}}}'"


def policy_hint(path: tuple[str | int, ...], value: Any) -> str:
    """Say where an option of a policy, or the name of one, belongs; "" for others.

    Parameters
    ----------
    path : tuple
        Of the unknown key.
    value : object
        What stands there.
    """
    from autoloop.plugins import describe_policies

    word = str(path[-1])
    options = {p.name: [o.name for o in p.options] for p in describe_policies()}
    if path[0] == "policy" and word in options:
        inner = f", options: {_flow(value)}" if isinstance(value, Mapping) else ""
        return f"write 'policy: {{name: {word}{inner}}}'"
    having = [name for name, own in options.items() if word in own]
    if not having:
        return ""
    return (
        f"it is an option of {' and '.join(having)}; write 'policy: {{name: "
        f"{having[0]}, options: {{{word}: {_flow(value)}}}}}'"
    )


def policy_list(value: Any) -> str:
    """Return what to write where several policies stand in the place of one."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        members = ", ".join(value)
        return (
            f"; for several write 'policy: {{name: portfolio, options: {{members: "
            f"[{members}]}}}}'"
        )
    return ""


def _flow(value: Any) -> str:
    """Write a value as a run file does, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
