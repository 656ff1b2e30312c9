"""The queries of `library.py`, each made once and kept as one line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from distortions import LEVELS, PIXEL_SIZE, Distortion, streams, target
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.library.answers import Answer, Match
from autoloop.library.build import ALIKE
from autoloop.library.rendering import image_of
from autoloop.library.scores import Figures, compared, prepare_query
from autoloop.library.search import Depth, laid_over_all, search
from autoloop.library.spectra import patches
from autoloop.library.store import Library
from autoloop.library.verdict import FITS, Evidence, chance

Array = NDArray[np.float64]
Record = dict[str, Any]

SEED: Final = 1
MEASURES: Final = ("score", "mse", "ssim", "emd_angstrom_per_column")
ABSENT: Final = "absent"
"""Levels of targets whose entry is left out begin so."""
FAMILY: Final = Depth(turned=240, aligned=160)
"""How thoroughly what looks alike is looked for."""
FAMILY_BOUND: Final = 0.1
"""Difference in size up to which it is: pixel sizes of targets may be off."""


class Records:
    """The queries that were made: one line each, by level and entry."""

    def __init__(self, file: Path, sha256: str) -> None:
        self.file, self.sha256 = file, sha256
        self.known: dict[tuple[str, int], Record] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:  # the last line of a run that was cut
                    continue
                if record["sha256"] == sha256:
                    self.known[record["level"], record["entry"]] = record

    def add(self, level: str, entry: int, record: Record) -> Record:
        """Keep a record."""
        record = {"level": level, "entry": entry, "sha256": self.sha256, **record}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        self.known[level, entry] = record
        return record


def measured(
    library: Library,
    records: Records,
    level: str,
    entries: Iterable[int],
    *,
    absent: bool = False,
) -> list[Record]:
    """Look for the targets of a level, among the others if they are to be absent."""
    name = f"{ABSENT}, {level}" if absent else level
    entries = list(entries)
    for entry, rng in zip(entries, streams(SEED, name, entries), strict=True):
        if (name, entry) in records.known:
            continue
        image = target(library.view(entry), LEVELS[level], rng)
        family = look_alikes(library, records, entry) if absent else []
        start = time.process_time()
        answer = search(library, image, PIXEL_SIZE, without=family)
        taken = time.process_time() - start
        records.add(name, entry, {"cpu_s": taken, **ranks(answer, entry)})
    return [records.known[name, entry] for entry in entries]


def look_alikes(library: Library, records: Records, entry: int) -> list[int]:
    """Return all views of an entry's structure, and what differs from it in size."""
    if ("family", entry) not in records.known:
        rng = np.random.default_rng(SEED)
        image = target(library.view(entry), LEVELS["clean"], rng)
        tries = laid_over_all(
            library, image, PIXEL_SIZE, bound=FAMILY_BOUND, depth=FAMILY
        )
        alike = {one.index for one in tries if one.pose.explained >= ALIKE}
        own = library.names[entry].prototype
        views = {k for k, name in enumerate(library.names) if name.prototype == own}
        records.add("family", entry, {"members": sorted(alike | views)})
    members: list[int] = records.known["family", entry]["members"]
    return members


def ranks(answer: Answer, entry: int) -> Record:
    """Return the place of an entry by each measure, from 0; -1 where it is missing."""
    places: Record = {
        "evidence": asdict(answer.evidence),
        "first": answer.matches[0].index,
    }
    for measure in MEASURES:
        order = sorted(answer.matches, key=lambda m: -goodness(m, measure))
        indices = [match.index for match in order]
        places[measure] = indices.index(entry) if entry in indices else -1
    return places


def sureness(record: Record) -> float:
    """Return the chance that the first entry of a query fits."""
    return chance(Evidence(**record["evidence"]))


def fits(record: Record) -> bool:
    """Whether it is said to."""
    return sureness(record) >= FITS


def goodness(found: Match | Figures, measure: str) -> float:
    """Return a measure such that more is better."""
    if isinstance(found, Match) and measure != "score":
        return goodness(found.figures, measure)
    value = float(getattr(found, measure))
    return value if measure in ("score", "ssim") else -value


def ranked_alone(
    library: Library,
    records: Records,
    name: str,
    how: Distortion,
    entries: Sequence[int],
    aligned: bool,
) -> list[Record]:
    """Rank all entries by single measures, each laid over the target or as it is."""
    whole = Depth(turned=len(library), aligned=len(library), scored=len(library))
    key = f"{'aligned' if aligned else 'as it is'} of {len(library)}, {name}"
    for entry, rng in zip(entries, streams(SEED, name, entries), strict=True):
        if (key, entry) in records.known:
            continue
        image = target(library.view(entry), how, rng)
        if aligned:
            answer = search(library, image, PIXEL_SIZE, top=len(library), depth=whole)
            record = ranks(answer, entry)
        else:
            record = unaligned(library, image, entry)
        records.add(key, entry, record)
    return [records.known[key, entry] for entry in entries]


def unaligned(library: Library, image: Array, entry: int) -> Record:
    """Return the place of an entry among all, each compared as it lies."""
    query = prepare_query(patches(Image(values=image, pixel_size=PIXEL_SIZE))[0])
    found = [
        compared(query, image_of(library.view(k), len(query.patch)))
        for k in range(len(library))
    ]
    places: Record = {}
    for measure in MEASURES:
        values = np.array([goodness(one, measure) for one in found])
        # what is as good comes before it: of two blank images neither is found
        places[measure] = int(np.sum(values >= values[entry])) - 1
    return places
