"""Making a library: all crystals, all views, on all cores, in parts that stay.

Parts of `PART` crystals are written beside the library as they are finished; a build
that was cut goes on from them. Each part is named by what it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import AutoloopError, DataError
from autoloop.library.alignment import laid_over, pattern_of
from autoloop.library.peaks import peaks_of
from autoloop.library.rendering import image_of
from autoloop.library.spectra import (
    Single,
    descriptor,
    polar,
    rescaled,
    transform,
    turn_matrix,
    turned_over,
)
from autoloop.library.store import VERSION, Library, assembled, save
from autoloop.library.views import MAX_INDEX, View, views_of

Array = NDArray[np.float64]

PART: Final = 24
"""Crystals of one part: about a second."""
LOOKED_AT: Final = 0.93
"""Likeness of descriptors from which two views are compared as such."""
ALIKE: Final = 0.985
"""Power of either view that the other explains from which they are one entry."""
ALIKE_SCALE: Final = 0.04
"""Difference in size up to which they are: the pixel size is known no better."""
FACTORS: Final = np.linspace(1 - ALIKE_SCALE, 1 + ALIKE_SCALE, 7)
"""Sizes that are tried for it."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """A new library, and what did not enter it.

    Attributes
    ----------
    library : Library
        As on disk.
    n_views : int
        Views before those that look alike became one.
    skipped : tuple of str
        Why a source gave nothing, one line each.
    """

    library: Library
    n_views: int
    skipped: tuple[str, ...]


def build(
    sources: Sequence[str],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    note: dict[str, Any] | None = None,
) -> Built:
    """Make a library of all views of crystals.

    Parameters
    ----------
    sources : sequence of str
        Names or files, as of `autoloop.structure.crystals.find_crystal`.
    folder : Path
        Where it is written; parts that are there already are used.
    workers : int, optional
        Processes; by default one a core.
    progress : callable
        Told how many parts of how many are done.
    note : dict, optional
        JSON that is kept with the library: where the sources came from.
    """
    parts = [list(sources[k : k + PART]) for k in range(0, len(sources), PART)]
    workers = workers or len(os.sched_getaffinity(0))
    store = folder / "parts"
    store.mkdir(parents=True, exist_ok=True)
    with _pool(workers) as pool:
        files = _made(pool, parts, store, progress)
        views, descriptors, rings, skipped = _gathered(files)
        if not views:
            raise DataError(
                f"none of {len(sources)} structures has a view whose columns can be "
                f"told apart; the first problem: {(skipped or ['none'])[0]}"
            )
        firsts = _firsts(pool, workers, views, descriptors, rings)
    kept = [k for k, first in enumerate(firsts) if first == k]
    alike = [
        tuple(views[j].name for j in range(len(views)) if firsts[j] == k and j != k)
        for k in kept
    ]
    record = {"crystals": len(sources), "max_index": MAX_INDEX, **(note or {})}
    library = assembled(
        [views[k] for k in kept], alike, descriptors[kept], rings[kept], record
    )
    saved = save(library, folder)
    shutil.rmtree(store)
    return Built(library=saved, n_views=len(views), skipped=tuple(skipped))


def library_of(views: Sequence[View], sources: dict[str, Any] | None = None) -> Library:
    """Return a library of views in memory, each an entry of its own."""
    descriptors, rings = _described(views)
    return assembled(views, [()] * len(views), descriptors, rings, sources or {})


def _described(views: Iterable[View]) -> tuple[Single, NDArray[np.float16]]:
    """Return descriptors (n, d) and rings (n, r, a) of views."""
    rings = np.array([polar([transform(image_of(seen))]) for seen in views])
    # half precision ends at 65504, and begins at 6e-8
    rings = rings / np.maximum(rings.max(axis=(1, 2), keepdims=True), 1e-30)
    return descriptor(rings), rings.astype(np.float16)


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Give processes; what waits is dropped when something goes wrong."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _begin() -> None:
    """Use one core, and end when the parent does, however that comes about."""
    import threading
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _made(
    pool: Executor, parts: list[list[str]], store: Path, progress: Progress
) -> list[Path]:
    """Make the parts that are missing; return the files of all."""
    files = [store / f"{_key(part)}.npz" for part in parts]
    missing = [(p, f) for p, f in zip(parts, files, strict=True) if not f.is_file()]
    tasks = [pool.submit(make_part, part, file) for part, file in missing]
    done = len(parts) - len(tasks)
    progress(done, len(parts))
    for task in as_completed(tasks):
        task.result()
        done += 1
        progress(done, len(parts))
    return files


def _key(part: list[str]) -> str:
    """Return what a part is made from, as a name: files by their content."""
    digest = hashlib.sha256(json.dumps([VERSION, MAX_INDEX]).encode())
    for source in part:
        path = Path(source)
        digest.update(source.encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:24]


def make_part(sources: Sequence[str], file: Path) -> None:
    """Write the views of some crystals to a file."""
    views, skipped = [], []
    for source in sources:
        try:
            views += _views(source)
        except AutoloopError as error:
            skipped.append(" ".join(str(error).split()))
    columns = [np.column_stack((v.positions, v.weights)) for v in views]
    temporary = file.with_suffix(".part")
    if views:
        descriptors, rings = _described(views)
    else:
        descriptors, rings = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float16)
    heads = [[v.prototype, v.formula, v.zone_axis, v.depth] for v in views]
    with temporary.open("wb") as stream:
        np.savez(
            stream,
            heads=np.array(json.dumps(heads)),
            skipped=np.array(json.dumps(skipped)),
            cells=np.array([v.cell for v in views]).reshape(-1, 2, 2),
            counts=np.array([len(rows) for rows in columns], np.int64),
            columns=np.concatenate([np.empty((0, 3)), *columns]),
            descriptors=descriptors,
            rings=rings,
        )
    os.replace(temporary, file)


def _views(source: str) -> list[View]:
    from autoloop.structure.crystals import find_crystal

    with warnings.catch_warnings():
        # readers warn of what CIF files leave out; a structure comes of them or not
        warnings.simplefilter("ignore")
        crystal = find_crystal(source)
    name = Path(source).stem if Path(source).is_file() else source
    return [replace(seen, prototype=name) for seen in views_of(crystal)]


def _gathered(
    files: Sequence[Path],
) -> tuple[list[View], Single, NDArray[np.float16], list[str]]:
    views: list[View] = []
    descriptors, rings, skipped = [], [], []
    for file in files:
        with np.load(file) as part:
            heads = json.loads(str(part["heads"]))
            skipped += json.loads(str(part["skipped"]))
            ends = np.cumsum(part["counts"])
            rows = np.split(part["columns"], ends[:-1]) if len(ends) else []
            for head, cell, own in zip(heads, part["cells"], rows, strict=True):
                views.append(
                    View(
                        prototype=head[0],
                        formula=head[1],
                        zone_axis=tuple(head[2]),
                        cell=cell,
                        positions=own[:, :2],
                        weights=own[:, 2],
                        depth=head[3],
                    )
                )
            if heads:
                descriptors.append(part["descriptors"])
                rings.append(part["rings"])
    if not views:
        return [], np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float16), skipped
    return views, np.concatenate(descriptors), np.concatenate(rings), skipped


Pair = tuple[View, NDArray[np.float16], list[tuple[View, NDArray[np.float16]]]]


def _firsts(
    pool: Executor,
    workers: int,
    views: Sequence[View],
    descriptors: Single,
    rings: NDArray[np.float16],
) -> list[int]:
    """Return for each view the first one that it looks like, maybe itself."""
    near: list[list[int]] = []
    for k in range(len(views)):
        sizes = rescaled(np.asarray(rings[k], np.float32), FACTORS)
        likeness = (descriptors[:k] @ descriptor(sizes).T).max(axis=1, initial=0.0)
        near.append(np.flatnonzero(likeness > LOOKED_AT).tolist())
    tasks: list[Pair] = [
        (views[k], rings[k], [(views[j], rings[j]) for j in near[k]])
        for k in range(len(views))
    ]
    found = pool.map(look_alike, tasks, chunksize=1 + len(tasks) // (8 * workers))
    firsts: list[int] = []
    for k, flags in enumerate(found):
        same = [j for j, flag in zip(near[k], flags, strict=True) if flag]
        firsts.append(next((j for j in same if firsts[j] == j), k))
    return firsts


def look_alike(task: Pair) -> list[bool]:
    """Return for each of the others whether an image could not tell it from a view."""
    seen, rings, others = task
    if not others:
        return []
    peaks = peaks_of(transform(image_of(seen)))
    changed = rescaled(np.asarray(rings, np.float32), FACTORS)
    flags = []
    for other, own in others:
        merits, turns = turned_over(changed, np.asarray(own, np.float32)[None])
        pattern, alike = pattern_of(other), False
        for hand in (0, 1):
            best = int(np.argmax(merits[hand]))
            start = turn_matrix(turns[hand][best], 1.0 / FACTORS[best], bool(hand))
            pose = laid_over(peaks, pattern, start)
            close = abs(np.log(pose.scale)) <= ALIKE_SCALE
            alike |= bool(close and pose.explained >= ALIKE)
        flags.append(alike)
    return flags
