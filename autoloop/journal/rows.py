"""Values to rows of the journal's tables, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Evaluation, Proposal, Score
from autoloop.records import Record, pack, unpack

T = TypeVar("T")

EVALUATION_COLUMNS: Final = (
    "id, cycle, idx, proposal, score, cost, failure, duplicate_of, fingerprint, work, "
    "flags"
)
"""Columns of an evaluation, in the order of `evaluation_row`."""


_KINDS: Final[tuple[tuple[type, ...], ...]] = (
    *((str,), (int,), (int,), (str,), (str, type(None)), (float, int, type(None))),
    *((str, type(None)), (str, type(None)), (str,), (int,), (str,)),
)
"""What SQLite may give for each of them: a column's type binds it to nothing."""


def evaluation_row(e: Evaluation) -> tuple[Any, ...]:
    """Return the values of `EVALUATION_COLUMNS`."""
    score = None if e.score is None else pack(e.score).text
    return (
        *(e.id, e.cycle, e.index, pack(e.proposal).text, score, e.cost),
        *(e.failure, e.duplicate_of, e.fingerprint, e.work),
        json.dumps(e.flags, ensure_ascii=False),
    )


def evaluation_of(row: tuple[Any, ...]) -> Evaluation:
    """Return the evaluation of a row; ValueError if the row holds none."""
    if not all(map(isinstance, row, _KINDS)) or min(row[1], row[2], row[9]) < 0:
        raise ValueError(f"evaluation {row[0]!r} holds values of a wrong kind")
    evaluation = Evaluation(
        id=row[0],
        cycle=row[1],
        index=row[2],
        proposal=from_json(row[3], Proposal),
        score=None if row[4] is None else from_json(row[4], Score),
        cost=row[5],
        failure=row[6],
        duplicate_of=row[7],
        fingerprint=row[8],
        work=row[9],
        flags=from_json(row[10], tuple[str, ...]),
    )
    if evaluation.score is not None and not _finite(astuple(evaluation.score)):
        raise ValueError(f"evaluation {evaluation.id} has a score that is not finite")
    return evaluation


def _finite(values: Iterable[Any]) -> bool:
    return all(
        _finite(value) if isinstance(value, tuple) else math.isfinite(value)
        for value in values
        if value is not None
    )


def from_json(text: str, kind: type[T]) -> T:
    """Return a value without arrays; ValueError if the text describes none."""
    return unpack(Record(text=text, arrays={}), kind)


def proposals_of(text: object) -> tuple[Proposal, ...]:
    """Return the batch of a cycle; ValueError if the text describes none."""
    batch = strict_json(text)
    if not isinstance(batch, list):
        raise ValueError(f"{type(batch).__name__} where proposals should be")
    return tuple(from_json(json.dumps(proposal), Proposal) for proposal in batch)


def whole_number(value: object) -> int:
    """Return a cycle; ValueError if it is none."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r} where a cycle should be")
    return value


def seconds_of(value: object) -> float:
    """Return a clock figure, of which SQLite stores NaN as NULL."""
    if value is None:
        return math.nan
    if not isinstance(value, float | int):
        raise ValueError(f"{value!r} where a time should be")
    return float(value)


def strict_json(text: object) -> Any:
    """Return what a text holds, which Python reads more freely than JSON is.

    Raises
    ------
    ValueError
        If it is no text, no JSON, or holds a number that is not finite.
    """
    if not isinstance(text, str):
        raise ValueError(f"{type(text).__name__} where JSON should be")

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} where a number should be")

    def finite(word: str) -> float:
        number = float(word)
        return number if math.isfinite(number) else refuse(word)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("JSON nested without end") from None


def array_rows(
    owner: str, arrays: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, str, str, str, bytes]]:
    """Yield a row of the table of arrays for each: raw, little-endian."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{owner}, {name}: an array of objects is not stored")
        raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        yield owner, name, raw.dtype.str, json.dumps(array.shape), raw.tobytes()


def arrays_of(rows: Iterable[tuple[str, str, str, bytes]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of rows of name, dtype, shape, data; ValueError if damaged."""
    return {name: _array(name, *described) for name, *described in rows}


def _array(name: object, dtype: object, shape: object, data: object) -> NDArray[Any]:
    if not (isinstance(dtype, str) and isinstance(data, bytes)):
        raise ValueError(f"array {name!r} holds values of a wrong kind")
    sides = strict_json(shape)
    if not isinstance(sides, list) or not all(type(n) is int and n >= 0 for n in sides):
        raise ValueError(f"array {name!r} has the shape {str(shape)[:40]!r}")
    try:
        kind = np.dtype(dtype)
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"array {name!r} has the type {dtype[:40]!r}") from error
    if kind.kind not in "biufcSU" or kind.itemsize == 0:
        raise ValueError(f"array {name!r} has the type {dtype[:40]!r}")
    array = np.frombuffer(data, dtype=kind).reshape(sides)
    return array.astype(kind.newbyteorder("="))
