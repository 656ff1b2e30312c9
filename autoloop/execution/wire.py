"""What crosses between controller and child: tagged frames of JSON and arrays.

A frame is one line of JSON (tag, text, names of the arrays) followed by the arrays in
NumPy's own file format, which carries type, shape and byte order. No pickle, so neither
side can make the other run anything.
"""

from __future__ import annotations

import io
import json

import numpy as np

from autoloop.records import Record


def encode(tag: str, record: Record) -> bytes:
    """Return the frame of a record."""
    buffer = io.BytesIO()
    head = {"tag": tag, "text": record.text, "arrays": list(record.arrays)}
    buffer.write(json.dumps(head).encode() + b"\n")
    for array in record.arrays.values():
        np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def decode(frame: bytes) -> tuple[str, Record]:
    """Return the tag and the record of a frame."""
    buffer = io.BytesIO(frame)
    head = json.loads(buffer.readline())
    arrays = {
        name: np.lib.format.read_array(buffer, allow_pickle=False)
        for name in head["arrays"]
    }
    return head["tag"], Record(text=head["text"], arrays=arrays)
