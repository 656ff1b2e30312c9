"""Frozen dataclasses to JSON and arrays, and back: what crosses processes and disks.

No pickle. A record is a JSON text and a dictionary of arrays; the text refers to an
array as ``{"$array": name}``. Numbers survive exactly: JSON writes the shortest text
that reads back as the same float.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A value taken apart.

    Attributes
    ----------
    text : str
        JSON.
    arrays : dict of str to array
        The arrays that the text refers to.
    """

    text: str
    arrays: dict[str, NDArray[Any]]


def pack(value: object) -> Record:
    """Take a dataclass apart into JSON and arrays.

    Raises
    ------
    ValueError
        If a plain number is not finite: such numbers belong into arrays. Or if a
        mapping looks like the reference to an array.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def set_aside(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            name = f"a{len(arrays)}"
            arrays[name] = node
            return {"$array": name}
        if isinstance(node, dict):
            if set(node) == {"$array"}:
                raise ValueError("a mapping with the one key $array would read as one")
            return {key: set_aside(child) for key, child in node.items()}
        if isinstance(node, (list, tuple)):
            return [set_aside(child) for child in node]
        return node

    tree = set_aside(_converter().unstructure(value))
    return Record(text=json.dumps(tree, allow_nan=False), arrays=arrays)


def unpack(record: Record, kind: type[T]) -> T:
    """Build a value of type `kind` from what `pack` made of it.

    Raises
    ------
    ValueError
        If the record does not describe such a value.
    """

    def bring_back(node: Any) -> Any:
        if isinstance(node, dict):
            if set(node) == {"$array"}:
                return record.arrays[node["$array"]]
            return {key: bring_back(child) for key, child in node.items()}
        if isinstance(node, list):
            return [bring_back(child) for child in node]
        return node

    from cattrs.errors import BaseValidationError

    try:
        tree = bring_back(json.loads(record.text, parse_constant=_refuse))
        return _converter().structure(tree, kind)
    except (
        *(BaseValidationError, ArithmeticError, AttributeError),
        *(LookupError, TypeError, RecursionError),
    ) as error:
        raise ValueError(f"not a record of {_name(kind)}: {error}") from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} where a number should be: `pack` writes none")


def _name(kind: type) -> str:
    return getattr(kind, "__name__", str(kind))


def _array(value: Any, _: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} where an array should be")
    return value


@cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.strategies import configure_union_passthrough

    converter = Converter(forbid_extra_keys=True)
    configure_union_passthrough(str | float | int | bool | None, converter)

    def is_array(kind: Any) -> bool:
        return getattr(kind, "__origin__", kind) is np.ndarray

    converter.register_unstructure_hook_func(is_array, lambda array: array)
    converter.register_structure_hook_func(is_array, _array)
    return converter
