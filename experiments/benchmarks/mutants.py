"""Damage for the fuzzer: run files and journals that no honest program would write.

Each function takes a `random.Random`, so that a case can be made again from its number.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

GOOD: Final = (
    """\
# Every section, an image and a policy with options.
name: everything
seed: 7
micrograph: {path: image.tif, crop: [0, 60, 0, 60], pixel_size: 0.2}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
boundary: {angle_deg: 3.5, point_px: [20.0, 30.0]}
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0], rotation_deg: 0.5}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
cell: {max_strain: 0.02, max_period: 60, max_repeat: [1, 2], max_missing: 1}
energy: {potential: Cu_mishin1.eam.alloy, mu_fraction: 0.5, gamma_excess: any}
objective: {ssim: 1.0, emd: 0.5, energy: 0.3}
policy: {name: random_search, options: {}}
search: {batch: 8, lag: 1, screening: true}
budget: {evaluations: 40, patience: 20, wall_time_min: 10}
execution: {engine: local, workers: 1, candidate_limit_s: 60}
""",
    """\
name: short
coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 5, plane: [3, 1, 0]}
energy:
  potential:
    style: eam/alloy
    coeff: ["* * Cu_mishin1.eam.alloy Cu"]
budget: {evaluations: 4}
policy:
  name: portfolio
""",
    """\
name: queued
grains:
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [-1, 1, 0]}
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [0, 0, 1], polarity: open}
energy:
  potential: CdTeZnSeHgS0.sw
  gamma_excess: 0
budget: {evaluations: 4}
execution:
  engine: dask
  workers: 4
  dask: {cluster: slurm, queue: main, walltime: "04:00:00", memory_gb: 2}
""",
    """\
name: model
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy:
  potential: {calculator: ase.calculators.emt.EMT, arguments: {}, reach: 6.0}
budget: {evaluations: 4}
""",
)
"""Valid run files; between them they have every section."""

TOKENS: Final = (
    "&a ", "*a", "<<: ", "!!python/object/apply:os.system ", "!!binary ", "!x ",
    "---\n", "...\n", "%YAML 1.2\n", "? ", "| ", ">-\n", "{", "}", "[", "]", ": ",
    ",", "#", "'", '"', "\t", "\0", "\x1b[31m", "\r", "\x85", "\u2028", "\ufeff",
    "\u202e", "\U0001f9c2", "é", "1e999", "-.inf", ".nan", "0x1F", "010", "1:30",
    "2026-01-01", "2026-01-01T00:00:00Z", "No", "on", "~", "=", "-", "9" * 400,
    "1" * 18, "-0.0", "1e-400", "${HOME}", "${NOT_SET}", "../../x", "$(id)", "`id`",
    ";", "\\n", "\n", " ", "  ", "- ", "{" * 25, "[" * 200, "a: " * 30,
)  # fmt: skip
"""Pieces of text that mean something to YAML, to a shell, to LAMMPS or to a screen."""

VALUES: Final = (
    None, True, False, 0, 1, -1, 2, 3, 10**9, 10**17, 10**40, -(10**17), 0.0, -0.0,
    1e-300, 1e300, 0.5, 1.5, -1.5, "", " ", "x", "0", "1", "1e3", "nan", "Cu", "CdTe",
    "a\nb", "a\0b", "\x1b[2J", "\u2028", "é" * 50, "x" * 5000, "../../etc/passwd",
    "/dev/zero", "/dev/stdin", "/proc/self/mem", ".", "/", "~", "~nobody/x", "a/b",
    "image.tif", "Cu.cif", "./policy.py", "'; shell rm x", "eam/alloy\nshell id",
    "Si.sw", "Cu_mishin1.eam.alloy Cu(A)", "tcp://127.0.0.1:1", "tcp://evil:80",
    "2026-01-01", [], [[]], {}, [0], [1, 2, 3], [0, 0, 0], [1, 1, 1, 1], [1.5, 2, 3],
    ["x"], [None], {"x": 1}, {"name": "x"}, [1, [2, [3]]], [0] * 1000,
    [10**9, 1, 0], [0, 1e9], [-5, 5, -5, 5], {"": 1}, {"a b": 1}, {"é": {"é": 1}},
)  # fmt: skip
"""Values of every kind, to stand where another one is expected."""

NAMES: Final = (
    "name", "seed", "micrograph", "path", "crop", "pixel_size",
    "index", "microscope", "boundary", "grains", "crystal", "zone_axis",
    "up", "rotation_deg", "polarity", "coincidence", "axis", "sigma",
    "plane", "cell", "max_strain", "max_period", "oblique", "energy",
    "potential", "style", "coeff", "calculator", "arguments", "modules",
    "reach", "mu_fraction", "objective", "ssim", "policy", "options",
    "search", "batch", "lag", "budget", "evaluations", "patience",
    "execution", "engine", "workers", "dask", "cluster", "address",
    "x",
)  # fmt: skip
"""Keys of run files, right or not where they stand."""


def run_file(rng: random.Random) -> bytes:
    """Return a run file with one piece of damage or a few."""
    text = rng.choice(GOOD)
    if rng.random() < 0.6:
        tree = yaml.safe_load(text)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            tree = changed_tree(tree, rng)
        try:
            text = _written(tree, rng)
        except RecursionError:
            text = "[" * 3000
    damage = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 2, 5))):
            damage = changed_bytes(damage, rng)
    return damage


def _written(tree: Any, rng: random.Random) -> str:
    if rng.random() < 0.3:
        return json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    flow = rng.choice((None, True, False))
    text: str = yaml.safe_dump(
        tree, allow_unicode=True, default_flow_style=flow, sort_keys=False
    )
    return text


def changed_tree(tree: Any, rng: random.Random) -> Any:
    """Return nested lists and mappings with one node changed."""
    path = rng.choice(list(_paths(tree)))
    if not path:
        return rng.choice(VALUES) if rng.random() < 0.1 else _grown(tree, rng)
    copy = json.loads(json.dumps(tree))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    last, kind = path[-1], rng.random()
    if kind < 0.6:
        parent[last] = rng.choice(VALUES)
    elif kind < 0.7:
        del parent[last]
    elif kind < 0.8 and isinstance(parent, dict):
        parent[rng.choice(NAMES)] = parent.pop(last)
    elif kind < 0.9:
        parent[last] = _nested(parent[last], rng)
    else:
        parent[last] = _grown(parent[last], rng)
    return copy


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree[:20]):
            yield from _paths(value, (*path, index))


def _grown(node: Any, rng: random.Random) -> Any:
    value = rng.choice(VALUES)
    if isinstance(node, dict):
        return {**node, rng.choice(NAMES): value}
    if isinstance(node, list):
        return [*node, value] if rng.random() < 0.5 else node * rng.choice((2, 300))
    if isinstance(node, int | float) and not isinstance(node, bool):
        return node * rng.choice((-1, 10, 1000, 1e9, 1e-9))
    return value


def _nested(node: Any, rng: random.Random) -> Any:
    for _ in range(rng.choice((1, 3, 30, 400))):
        node = [node] if rng.random() < 0.5 else {"a": node}
    return node


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one stretch removed, doubled, replaced or put in."""
    if not data:
        return rng.randbytes(rng.randrange(1, 40))
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 1, 4, 30)))
    kind = rng.randrange(6)
    if kind == 0:
        return data[:at] + data[end:]
    if kind == 1:
        return data[:end] + data[at:]
    if kind == 2:
        return data[:at] + rng.randbytes(end - at) + data[end:]
    if kind == 3:
        return data[:at]
    if kind == 4:
        lines = data.splitlines(keepends=True)
        rng.shuffle(lines)
        return b"".join(lines)
    return data[:at] + rng.choice(TOKENS).encode() + data[at:]


# --- journals -----------------------------------------------------------------------


def damage_journal(path: Path, rng: random.Random) -> str:
    """Damage a journal in place; return what was done."""
    kinds: tuple[Callable[[Path, random.Random], str], ...]
    kinds = (_flip, _cut, _swap_pages, _lay_log, _edit, _edit, _edit, _alter)
    done = [rng.choice(kinds)(path, rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    return ", ".join(done)


def _flip(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    n = rng.choice((1, 1, 8, 100))
    # The first page holds the header and the tables' definitions: half of all there.
    end = min(len(data), 4096) if rng.random() < 0.5 else len(data)
    for _ in range(n if data else 0):
        data[rng.randrange(end)] = rng.randrange(256)
    path.write_bytes(data)
    return f"{n} bytes"


def _cut(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    kept = rng.choice((0, 1, 50, 100, 4096, rng.randrange(len(data) + 1)))
    extra = rng.choice((b"", b"", bytes(4096), rng.randbytes(5000)))
    path.write_bytes(data[:kept] + extra)
    return f"cut at {kept}"


def _swap_pages(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    pages = [data[k : k + 4096] for k in range(0, len(data), 4096)]
    if len(pages) < 3:
        return "nothing"
    a, b = rng.randrange(len(pages)), rng.randrange(len(pages))
    pages[a], pages[b] = rng.choice(((pages[b], pages[a]), (pages[b], pages[b])))
    path.write_bytes(b"".join(pages))
    return f"pages {a} and {b}"


def _lay_log(path: Path, rng: random.Random) -> str:
    """Leave a log beside the file, as a kill does, but of nonsense."""
    data = bytearray(path.read_bytes())
    if len(data) > 100 and rng.random() < 0.7:
        data[18:20] = b"\x02\x02"  # the header then says that there is a log
        path.write_bytes(data)
    size = rng.choice((0, 10, 32, 5000))
    Path(f"{path}{rng.choice(('-wal', '-journal'))}").write_bytes(rng.randbytes(size))
    return f"log of {size} bytes"


def _edit(path: Path, rng: random.Random) -> str:
    """Put another value into one cell of one row."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            tables = [r[0] for r in connection.execute(_TABLES)]
            table = rng.choice(tables)
            columns = [r[1] for r in connection.execute(f"PRAGMA table_info({table})")]
            column = rng.choice(columns)
            rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
            rowid, value = rng.choice(rows)
            new = _other(value, rng)
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid)
            )
            connection.commit()
        except (sqlite3.Error, IndexError, OverflowError, UnicodeError) as error:
            return f"no edit ({error})"
    return f"{table}.{column} = {str(new)[:200]!r}"


_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"


def _other(value: Any, rng: random.Random) -> Any:
    """Return another value for a cell: mostly JSON where JSON was."""
    if isinstance(value, bytes) and rng.random() < 0.7:
        return changed_bytes(value, rng)
    if isinstance(value, str) and rng.random() < 0.8:
        try:
            tree = json.loads(value)
        except ValueError:
            return changed_bytes(value.encode(), rng).decode("utf-8", "replace")
        for _ in range(rng.choice((1, 1, 3))):
            tree = changed_tree(tree, rng)
        try:
            return json.dumps(tree)
        except RecursionError:
            return "[" * 5000 + "]" * 5000
    value = rng.choice((*VALUES, "[" * 9000, "NaN", '{"$array": "a9"}', b"\xff\xfe"))
    if isinstance(value, list | dict):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) > 2**62:
        return float(value)
    return value


def _alter(path: Path, rng: random.Random) -> str:
    """Change what SQLite knows of the file, or take rows and tables away."""
    table = rng.choice(("meta", "document", "cycle", "evaluation", "array", "timing"))
    statement = rng.choice(
        (
            f"DROP TABLE {table}",
            f"DELETE FROM {table}",
            f"DELETE FROM {table} WHERE rowid % 2 = 0",
            f"ALTER TABLE {table} RENAME TO other",
            f"CREATE VIEW v AS SELECT * FROM {table}",
            "ALTER TABLE evaluation RENAME COLUMN cost TO price",
            "ALTER TABLE evaluation ADD COLUMN more TEXT",
            "ALTER TABLE evaluation DROP COLUMN flags",
            "DELETE FROM array WHERE rowid IN (SELECT rowid FROM array LIMIT 3)",
            "UPDATE evaluation SET cycle = cycle + 1000000",
            "UPDATE evaluation SET cost = -cost",
            "UPDATE evaluation SET id = id || 'x'",
            f"PRAGMA user_version = {rng.choice((0, 1, 2, 3, 99, -5, 2**31 - 1))}",
            f"PRAGMA application_id = {rng.choice((0, 1, -1))}",
        )
    )
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute(statement)
        except (sqlite3.Error, UnicodeError) as error:
            return f"not altered ({error})"
    return statement
