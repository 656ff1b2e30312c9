"""Inputs that are wrong, each made in a folder of its own for one command."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tifffile import imwrite

from autoloop.domain import Image
from autoloop.microscopy.writing import write_image_tif

GOOD = """\
name: wrong
seed: 1
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: random_search
search: {batch: 2, lag: 0}
budget: {evaluations: 2}
execution: {workers: 1}
"""
MICROGRAPH = """\
micrograph: {path: image.tif}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
"""


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One wrong input.

    Attributes
    ----------
    words : str
        Command line.
    says : tuple of str
        What the one line must contain.
    status : int
        Exit status.
    make : callable
        Writes the files into the current folder.
    """

    words: str
    says: tuple[str, ...]
    status: int
    make: Callable[[], object] = lambda: None


def edited(*changes: tuple[str, str], more: str = "") -> Callable[[], object]:
    """Return what writes the good run file with some text replaced."""
    text = GOOD + more
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return lambda: Path("run.yaml").write_bytes(text.encode())


def run_file(old: str, new: str, *says: str, status: int = 2) -> Bad:
    return Bad(
        words="run run.yaml --out out",
        says=("run.yaml:", *says),
        status=status,
        make=edited((old, new)),
    )


def whole_file(data: bytes, *says: str) -> Bad:
    return Bad(
        words="validate run.yaml",
        says=("run.yaml", *says),
        status=2,
        make=lambda: Path("run.yaml").write_bytes(data),
    )


BOMB = b"a: &a [x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (k, k, b", ".join([b"*%c" % (k - 1)] * 9))
    for k in range(ord("b"), ord("k"))
)

RUN_FILES = {
    "run file: missing": Bad(
        words="run absent.yaml", says=("absent.yaml: no such run file",), status=2
    ),
    "run file: a folder": Bad(
        words="validate run.yaml",
        says=("run.yaml: cannot be read", "Is a directory"),
        status=2,
        make=lambda: Path("run.yaml").mkdir(),
    ),
    "run file: empty": whole_file(b"", ":1:1:", "mapping of keys to values"),
    "run file: binary": whole_file(bytes(range(256)) * 9, "not UTF-8"),
    "run file: not YAML": whole_file(b"name: [1, 2\nseed: 3\n", "not YAML", "bracket"),
    "run file: huge": whole_file(b"# " + b"x" * 300_000, "larger than 200000 bytes"),
    "run file: deep": whole_file(b"a: " + b"[" * 9000 + b"]" * 9000, "nested deeper"),
    "run file: bomb": whole_file(BOMB, ":1:4:", "anchors and aliases are not read"),
    "run file: tag": run_file(
        "seed: 1", "seed: !!python/object/apply:os.system [id]", ":2:7:", "tags"
    ),
    "run file: key twice": run_file("seed: 1", "seed: 1\nseed: 2", ":3:1:", "twice"),
    "run file: unknown key": run_file("seed: 1", "sed: 1", "did you mean 'seed'?"),
    "run file: text for a number": run_file("seed: 1", "seed: one", "a whole number"),
    "run file: exponent": run_file(
        "workers: 1", "candidate_limit_s: 1e3", "candidate_limit_s", "plain decimals"
    ),
    "run file: infinite": run_file("seed: 1", "seed: .inf", "seed", "finite number"),
    "run file: huge number": run_file("seed: 1", "seed: " + "9" * 4000, "seed"),
    "run file: bool for text": run_file("Cu,", "No,", "reads No as false", "quotes"),
    "run file: date": run_file("name: wrong", "name: 2026-01-01", "in quotes"),
    "run file: name that escapes": run_file(
        "name: wrong", "name: ../../x", ":1:1: name:", "cannot name a folder"
    ),
    "run file: name with a control character": run_file(
        "name: wrong", 'name: "a\\e[2Jb"', "name", "cannot name a folder"
    ),
    "run file: no direction": run_file("[3, 1, 0]", "[0, 0, 0]", "three indices"),
    "run file: up along the axis": run_file("[3, 1, 0]", "[0, 0, 1]", "perpendicular"),
    "run file: control characters": run_file(
        "crystal: Cu", 'crystal: "a\\e[2Jb"', "unknown crystal 'a\\x1b[2Jb'"
    ),
    "run file: budget of nothing": run_file("evaluations: 2", "evaluations: 0", "1"),
    "run file: unknown crystal": run_file("Cu,", "CdTo,", "did you mean 'CdTe'?"),
    "run file: no such image": Bad(
        words="run run.yaml --out out",
        says=("run.yaml:11:14: micrograph.path", "no such file", "check the path"),
        status=2,
        make=edited(more=MICROGRAPH),
    ),
    "run file: grains that do not fit": Bad(
        words="run run.yaml --out out",
        says=("run.yaml:3:1: grains", "cell.max_strain"),
        status=2,
        make=edited(
            ("up: [3, 1, 0]", "up: [3, 1, 0], rotation_deg: 7.123"),
            more="cell: {max_strain: 0.0, max_period: 8, oblique: false}\n",
        ),
    ),
    "run file: job with a command": run_file(
        "{workers: 1}",
        "{engine: dask, dask: {cluster: slurm, queue: 'a; rm -rf x'}}",
        "execution.dask.queue",
    ),
}


# --- micrographs --------------------------------------------------------------------

WAVES = np.add.outer(np.cos(np.arange(64) / 2.0), np.sin(np.arange(64) / 3.0)) + 3.0


def micrograph(
    name: str, make: Callable[[Path], object], *says: str, more: str = ""
) -> Bad:
    return Bad(
        words=f"inspect {name} {more}".strip(),
        says=(name, *says),
        status=4,
        make=lambda: make(Path(name)),
    )


def cut(path: Path, part: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])


def cut_tif(path: Path) -> None:
    write_image_tif(path, Image(values=WAVES, pixel_size=0.2))
    cut(path, 0.5)


def cut_hspy(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["Experiments/a/data"] = WAVES
    cut(path, 0.5)


def cut_dm3(path: Path) -> None:
    """Version, size, byte order, then a directory that promises 99 tags."""
    path.write_bytes(struct.pack(">iii2Bi", 3, 10_000, 1, 1, 0, 99) + bytes(40))


def promised_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        )


def bomb_png(path: Path) -> None:
    """65 kB that would be 3,600 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(60_000_000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def bomb_hspy(path: Path, **how: Any) -> None:
    """A kilobyte that would be 80 GB: nothing of the data set was ever written."""
    with h5py.File(path, "w") as file:
        file.attrs.update(file_format="HyperSpy", file_format_version="3.3")
        group = file.create_group("Experiments/a")
        group.create_dataset("data", shape=(100_000, 100_000), dtype="f8", **how)
        for k in range(2):
            axis = group.create_group(f"axis-{k}")
            axis.attrs.update(
                {"_type": "UniformDataAxis", "name": "x", "scale": 0.02, "offset": 0.0}
            )
            axis.attrs.update(size=100_000, units="nm", navigate=False)
        group.create_group("metadata/General")
        group.create_group("metadata/Signal").attrs["signal_type"] = ""
        group.create_group("original_metadata")


def bomb_mrc(path: Path) -> None:
    path.write_bytes(struct.pack("<4i", 60_000, 60_000, 1, 2) + bytes(1008))


def scaled(pixel_size: float) -> Callable[[Path], object]:
    return lambda path: write_image_tif(
        path, Image(values=WAVES, pixel_size=pixel_size)
    )


def array(values: Any) -> Callable[[Path], object]:
    return lambda path: np.save(path, values)


def with_nan(path: Path) -> None:
    values = WAVES.copy()
    values[5, 7] = np.nan
    np.save(path, values)


SIZE = "--pixel-size 0.2"
MICROGRAPHS = {
    "image: missing": micrograph("a.dm3", lambda path: None, "no such file"),
    "image: truncated tif": micrograph("a.tif", cut_tif, "not readable", "complete"),
    "image: truncated hspy": micrograph("a.hspy", cut_hspy, "not readable"),
    "image: truncated dm3": micrograph("a.dm3", cut_dm3, "not readable"),
    "image: huge promise": micrograph("a.npy", promised_npy, "not readable", more=SIZE),
    "image: bomb of png": micrograph("a.png", bomb_png, "not readable", more=SIZE),
    "image: bomb of tif": micrograph(
        "a.tif",
        lambda p: imwrite(p, shape=(20_000, 20_000), dtype=np.uint8, data=None),
        "400 million values",
        "bin the image",
    ),
    "image: bomb in chunks": micrograph(
        "a.hspy", lambda p: bomb_hspy(p, chunks=(1000, 1000)), "10000 million values"
    ),
    "image: bomb in one piece": micrograph("a.hspy", bomb_hspy, "10000 million values"),
    "image: bomb of mrc": micrograph("a.mrc", bomb_mrc, "3600 million values"),
    "image: zero size": micrograph("a.npy", array(np.zeros((0, 9))), "no image"),
    "image: no bytes": micrograph("a.tif", lambda p: p.touch(), "empty"),
    "image: three axes": micrograph(
        "a.npy", array(np.ones((40, 64, 64))), "(40, 64, 64)", "40 frames"
    ),
    "image: NaN": micrograph("a.npy", with_nan, "1 of 4096 values are NaN", more=SIZE),
    "image: constant": micrograph(
        "a.npy", array(np.full((64, 64), 7.0)), "all values are 7", more=SIZE
    ),
    "image: complex": micrograph("a.npy", array(WAVES * 1j), "complex128", more=SIZE),
    "image: pickled": micrograph("a.npy", array([[{}] * 64] * 64), "not readable"),
    "image: a text": micrograph("a.tif", lambda p: p.write_text("no"), "not readable"),
    "image: a folder": micrograph("a.tif", lambda p: p.mkdir(), "not a file"),
    "image: unknown kind": micrograph(
        "a.xyz", lambda p: p.write_text("1"), "unknown image format '.xyz'", ".dm3"
    ),
    "image: other suffix": micrograph("a.dm3", scaled(0.2), "suffix is right"),
    "image: no pixel size": micrograph("a.npy", array(WAVES), "give", "pixel size"),
    "image: pixels of a mile": micrograph("a.tif", scaled(1.6e4), "0.01 and 2 Å"),
    "image: pixel size given wrong": Bad(
        words="inspect a.tif --pixel-size -1",
        says=("--pixel-size", "above 0", "got '-1'"),
        status=2,
        make=lambda: scaled(0.2)(Path("a.tif")),
    ),
    "image: of a run": Bad(
        words="run run.yaml --out out",
        says=("run.yaml:11:1: micrograph", "image.tif", "not readable"),
        status=4,
        make=lambda: (edited(more=MICROGRAPH)(), Path("image.tif").write_text("no")),
    ),
}


# --- structures ---------------------------------------------------------------------

CELL = "4.0 0.0 0.0\n0.0 4.0 0.0\n0.0 0.0 4.0\n"


def structure(name: str, data: str | bytes, *says: str, status: int = 4) -> Bad:
    raw = data.encode() if isinstance(data, str) else data
    run = edited(("crystal: Cu", f"crystal: '{name}'"))
    return Bad(
        words="validate run.yaml",
        says=("run.yaml:4:6: grains[0].crystal", *says),
        status=status,
        make=lambda: (run(), Path(name).write_bytes(raw)),
    )


def extxyz(lattice: str, *atoms: str) -> str:
    head = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    return "\n".join((str(len(atoms)), head, *atoms, ""))


CUBE = "4 0 0 0 4 0 0 0 4"
STRUCTURES = {
    "crystal: garbage": structure("a.cif", bytes(range(256)) * 9, "a.cif", "give a"),
    "crystal: CIF cut": structure(
        "a.cif", "data_x\nloop_\n_atom_site_label\n", "a.cif"
    ),
    "crystal: empty POSCAR": structure("POSCAR", "", "POSCAR"),
    "crystal: thousand million atoms": structure(
        "POSCAR", f"x\n1.0\n{CELL}Cu\n1000000000\nDirect\n0 0 0\n", "POSCAR"
    ),
    "crystal: a million lines promised": structure(
        "a.xyz", "1000000000\n\nCu 0 0 0\n", "a.xyz"
    ),
    "crystal: too many atoms": structure(
        "a.extxyz",
        extxyz(CUBE, *(f"Cu {k / 999:f} 0 0" for k in range(1200))),
        "1200 atoms are more than the 1000",
    ),
    "crystal: too large": structure("a.cif", b"#" * 6_000_000, "6 MB", "give one cell"),
    "crystal: NaN": structure("a.extxyz", extxyz(CUBE, "Cu nan 0 0"), "NaN"),
    "crystal: infinite cell": structure(
        "a.extxyz", extxyz(CUBE.replace("4", "inf"), "Cu 0 0 0"), "a.extxyz"
    ),
    "crystal: atoms at one place": structure(
        "a.extxyz", extxyz(CUBE, "Cu 0 0 0", "Cu 0 0 0"), "on top of each other"
    ),
    "crystal: no cell": structure("a.xyz", "1\n\nCu 0 0 0\n", "no periodic cell"),
    "crystal: flat cell": structure(
        "a.extxyz", extxyz("4 0 0 8 0 0 0 0 4", "Cu 0 0 0"), "no periodic cell"
    ),
    "crystal: unknown species": structure(
        "a.extxyz", extxyz(CUBE, "Qq 0 0 0"), "a.extxyz"
    ),
    "crystal: species with a command": structure(
        "a.extxyz", extxyz(CUBE, "Cu;shell 0 0 0"), "a.extxyz"
    ),
    "crystal: no element": structure("a.extxyz", extxyz(CUBE, "X 0 0 0"), "element"),
    "crystal: a folder": Bad(
        words="validate run.yaml",
        says=("run.yaml:4:6: grains[0].crystal: unknown crystal './'",),
        status=2,
        make=edited(("crystal: Cu", "crystal: ./")),
    ),
    "structure: garbage": Bad(
        words="simulate a.cif -o out.tif",
        says=("a.cif: not a structure file",),
        status=4,
        make=lambda: Path("a.cif").write_bytes(bytes(range(256)) * 9),
    ),
    "structure: thousand million atoms": Bad(
        words="simulate POSCAR -o out.tif",
        says=("POSCAR",),
        status=4,
        make=lambda: Path("POSCAR").write_text(
            f"x\n1.0\n{CELL}Cu\n1000000000\nDirect\n0 0 0\n"
        ),
    ),
}


# --- potentials ---------------------------------------------------------------------

HEAD = "a\nb\nc\n1 Cu\n5 0.1 5 0.1 4.5\n29 63.5 3.6 fcc\n"


def potential(
    given: str, *says: str, status: int, name: str = "", data: str = ""
) -> Bad:
    def make() -> None:
        edited(("Cu_mishin1.eam.alloy", given))()
        if name:
            Path(name).write_text(data)

    return Bad(
        words="run run.yaml --out out",
        says=("run.yaml:6:10: energy.potential", *says),
        status=status,
        make=make,
    )


POTENTIALS = {
    "potential: missing": potential(
        "Cu_mishin.eam.alloy", "did you mean 'Cu_mishin1.eam.alloy'?", status=2
    ),
    "potential: empty": potential(
        "a.eam.alloy", "a.eam.alloy: is empty", status=4, name="a.eam.alloy"
    ),
    "potential: other element": potential("Si.sw", "knows Si", status=2),
    "potential: newline in its name": potential(
        '"Si.sw\\nshell touch x"', "Si.sw", status=2
    ),
    "potential: command in a line": potential(
        '{style: eam/alloy, coeff: ["* * Cu_mishin1.eam.alloy Cu\\nshell touch x"]}',
        "on one line",
        status=2,
    ),
    "potential: another command": potential(
        '{style: "eam/alloy & shell", coeff: ["* * Cu_mishin1.eam.alloy Cu"]}',
        "letters, digits",
        status=2,
    ),
    "potential: no symbols": potential(
        "a.sw", "chemical symbol", status=4, name="a.sw", data="shell touch x\n" * 9
    ),
    "potential: absurd count": potential(
        "a.eam.alloy",
        "does not begin as",
        status=4,
        name="a.eam.alloy",
        data=HEAD.replace("1 Cu", "nan Cu"),
    ),
    "potential: nothing behind its head": potential(
        "a.eam.alloy", "a.eam.alloy", status=4, name="a.eam.alloy", data=HEAD
    ),
    "potential: code of a module": potential(
        "{calculator: os.system, modules: [os], arguments: {command: id}}",
        "no class of an ASE calculator",
        status=2,
    ),
}


# --- policies -----------------------------------------------------------------------


def policy(text: str | None, *says: str, given: str = "./mine.py") -> Bad:
    def make() -> None:
        edited(("random_search", given))()
        if text is not None:
            Path("mine.py").write_text(text)

    return Bad(
        words="run run.yaml --out out",
        says=("run.yaml:7:", "policy", *says),
        status=2,
        make=make,
    )


POLICIES = {
    "policy: missing": policy(None, "no policy file './mine.py'"),
    "policy: syntax": policy("def (:\n", "mine.py:1: cannot be imported: SyntaxError"),
    "policy: needs another module": policy("import nowhere", "mine.py:1:", "nowhere"),
    "policy: ends the program": policy("raise SystemExit(0)", "mine.py:1:", "Exit"),
    "policy: no class": policy("x = 1", "exactly one public class", "found none"),
    "policy: without end": policy("def f(): f()\nf()", "mine.py:1:", "RecursionError"),
    "policy: wrong option": policy(
        None,
        "unknown option 'share'",
        given="{name: random_search, options: {share: 1}}",
    ),
    "policy: name that escapes": policy(None, "unknown policy", given="os.path"),
}


# --- run folders --------------------------------------------------------------------


def folder(words: str, *says: str, status: int = 4, make: Any = lambda: None) -> Bad:
    return Bad(words=words, says=says, status=status, make=make)


def occupied() -> None:
    edited()()
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")


FOLDERS = {
    "folder: missing": folder("status nowhere", "nowhere: holds no run", "give the"),
    "folder: a file": folder(
        "resume a", "a: holds no run", make=lambda: Path("a").write_text("x")
    ),
    "folder: empty": folder(
        "report a", "a: holds no run", make=lambda: Path("a").mkdir()
    ),
    "folder: of something else": folder(
        "export a --format cif",
        "a: holds no run",
        make=lambda: (Path("a").mkdir(), Path("a/run.log").write_text("x")),
    ),
    "folder: occupied": folder(
        "run run.yaml --out out", "out: is not an empty folder", make=occupied
    ),
    "folder: below a file": folder(
        "run run.yaml --out file/out",
        "file/out",
        "check the path",
        make=lambda: (edited()(), Path("file").write_text("x")),
    ),
    "folder: name too long": folder(
        f"run run.yaml --out {'x' * 300}", "x" * 300, "shorter", make=edited()
    ),
}


# --- journals: each changes one that is in the folder `run` -------------------------


def statement(text: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(text)

    return change


def garbage_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[4096:middle] = np.random.default_rng(3).bytes(middle - 4096)
    path.write_bytes(data)


def other_application(path: Path) -> None:
    path.unlink()
    statement("CREATE TABLE systems (id INTEGER)")(path)


JOURNALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda path: cut(path, 0.4), "restore it from a copy"),
    "zero bytes": (lambda path: path.write_bytes(b""), "not an autoloop journal"),
    "random bytes inside": (garbage_inside, "restore it from a copy"),
    "not SQLite": (lambda path: path.write_text("x" * 5000), "not a journal"),
    "a newer schema": (statement("PRAGMA user_version = 99"), "upgrade autoloop"),
    "no schema": (statement("PRAGMA user_version = 0"), "names no schema"),
    "another application's": (other_application, "is not an autoloop journal"),
    "a table missing": (statement("DROP TABLE meta"), "no such table: meta"),
    "a column missing": (
        statement("ALTER TABLE evaluation RENAME COLUMN cost TO price"),
        "no such column: cost",
    ),
    "broken JSON": (statement("UPDATE evaluation SET proposal = '{'"), "restore it"),
    "JSON without end": (
        statement(f"UPDATE meta SET value = '{'[' * 9000}' WHERE key = 'notes'"),
        "nested without end",
    ),
    "NaN for a score": (
        statement("UPDATE evaluation SET score = '{\"ssim\": NaN}'"),
        "NaN",
    ),
    "text for a cycle": (
        statement("UPDATE evaluation SET cycle = 'x' WHERE idx = 1"),
        "wrong kind",
    ),
    "bytes that are no text": (
        statement("UPDATE evaluation SET id = CAST(x'ff' AS TEXT) WHERE idx = 1"),
        "restore it",
    ),
    "a name of another kind": (
        statement("UPDATE meta SET value = '[1]' WHERE key = 'name'"),
        "meta name is '[1]'",
    ),
    "an answer of another kind": (
        statement("UPDATE meta SET value = '{\"statements\": 5}' WHERE key = 'answer'"),
        "meta answer is",
    ),
    "commands of another kind": (
        statement("UPDATE meta SET value = '[\"x\"]' WHERE key = 'commands'"),
        "meta commands is",
    ),
}
"""What is done to a journal that every command reads, and what each has to say."""

DETAILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a blob too short": (
        statement("UPDATE array SET data = x'00'"),
        "restore it from a copy",
    ),
    "a type that runs": (
        statement("UPDATE array SET dtype = '|O'"),
        "has the type '|O'",
    ),
    "a shape without end": (
        statement("UPDATE array SET shape = '[1000000000000]'"),
        "restore it from a copy",
    ),
    "rows of meta missing": (statement("DELETE FROM meta"), "meta holds no"),
    "arrays missing": (statement("DELETE FROM array"), "restore it from a copy"),
}
"""The same, of what only those read that need structures."""

CASES = {**RUN_FILES, **MICROGRAPHS, **STRUCTURES, **POTENTIALS, **POLICIES, **FOLDERS}
