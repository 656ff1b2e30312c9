"""Values to rows of the journal's tables, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

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
    return Evaluation(
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


def from_json(text: str, kind: type[T]) -> T:
    """Return a value without arrays; ValueError if the text describes none."""
    return unpack(Record(text=text, arrays={}), kind)


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
    """Return the arrays of rows of name, dtype, shape and data."""
    return {
        name: np.frombuffer(data, dtype=dtype)
        .reshape(json.loads(shape))
        .astype(np.dtype(dtype).newbyteorder("="))
        for name, dtype, shape, data in rows
    }
