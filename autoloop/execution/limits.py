"""What one candidate may use, and how it is told that it used more.

Memory is watched from outside, as the peak of what is resident. A limit by the kernel
would be exact, but ``RLIMIT_AS`` counts address space, of which thread stacks, numba
and MPI reserve gigabytes that they never touch, and both it and ``RLIMIT_DATA`` show as
whatever the library does when an allocation fails: LAMMPS's own message, a
``MemoryError`` or an abort. Watching overshoots by what a process can touch within
`POLL_S`, about 0.3 GB, and always gives the same reason.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloop.protocols import Timing

logger = logging.getLogger(__name__)

POLL_S: Final = 0.1
"""Time between two looks at a child that is at work [s]."""

RECYCLE_AFTER: Final = 500
"""Evaluations after which a child is replaced, for the sake of what its libraries leak:
starting one costs about as much as one evaluation."""

_GB: Final = 1e9
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CPU_LOOK_S: Final = 0.25  # memory can grow by a GB meanwhile, CPU time by that
_SCAN_S: Final = 1.0  # a look at all processes costs milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one candidate may use.

    Attributes
    ----------
    wall_s : float
        Wall time [s]; a safety net, far above the usual.
    memory_gb : float, optional
        Resident memory of the child and all that it started [10⁹ bytes].
    cpu_s : float, optional
        CPU time of the same [s]; unlike wall time it is the same on a busy machine.
    recycle_after : int
        Evaluations after which a child is replaced.
    """

    wall_s: float
    memory_gb: float | None = None
    cpu_s: float | None = None
    recycle_after: int = RECYCLE_AFTER

    def __post_init__(self) -> None:
        for name in ("wall_s", "memory_gb", "cpu_s", "recycle_after"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")


class Watch:
    """What one candidate has used so far.

    Parameters
    ----------
    pid : int
        Process that evaluates it, leader of a process group.
    limits : Limits
        What it may use.
    """

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid = pid
        self._limits = limits
        self._began = time.monotonic()
        self._cpu_before = cpu_seconds(pid)
        self._cpu_s = 0.0
        self._next_look = 0.0
        _forget_peak(pid)

    def exceeded(self) -> str | None:
        """Return the reason to end the candidate, or None.

        Measured figures differ from run to run: they go to the log, not the reason.
        """
        limits = self._limits
        if limits.memory_gb is not None:
            used = self.memory_gb()
            if used > limits.memory_gb:
                logger.info(
                    "process %d: %.2f GB exceeded %g GB",
                    self._pid,
                    used,
                    limits.memory_gb,
                )
                return f"memory_limit: needed more than {limits.memory_gb:g} GB"
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _CPU_LOOK_S
            self.cpu_s()
        if limits.cpu_s is not None and self._cpu_s > limits.cpu_s:
            return f"cpu_limit: no result within {limits.cpu_s:g} CPU s"
        if time.monotonic() - self._began >= limits.wall_s:
            return f"time_limit: no result within {limits.wall_s:g} s"
        return None

    def timing(self) -> Timing:
        """Return what was used so far; CPU time as of the last look if it has ended."""
        wall_s = time.monotonic() - self._began
        return Timing(wall_s=wall_s, cpu_s=self.cpu_s(), relax_cpu_s=0.0)

    def memory_gb(self) -> float:
        """Return the peak of the child, with what its descendants hold now [GB]."""
        others = sum(_status_bytes(pid, "VmRSS:") for pid in self._others())
        return (_status_bytes(self._pid, "VmHWM:") + others) / _GB

    def cpu_s(self) -> float:
        """Return the CPU time of the child and its descendants [s]."""
        others = sum(cpu_seconds(pid) for pid in self._others())
        now = cpu_seconds(self._pid) + others - self._cpu_before
        self._cpu_s = max(self._cpu_s, now)  # it stays known when they are gone
        return self._cpu_s

    def _others(self) -> list[int]:
        return [pid for pid in _groups.members(self._pid) if pid != self._pid]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and those that it waited for [s]."""
    fields = _stat_fields(pid)
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


class _Groups:
    """Which processes belong to which group, looked up at most once in `_SCAN_S`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, list[int]] = {}
        self._when = -_SCAN_S

    def members(self, group: int) -> list[int]:
        with self._lock:
            if time.monotonic() - self._when >= _SCAN_S:
                self._seen = _scan()
                self._when = time.monotonic()
            return self._seen.get(group, [])


def _scan() -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat_fields(int(name))):
            groups.setdefault(int(fields[2]), []).append(int(name))
    return groups


_groups = _Groups()


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name; nothing if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _status_bytes(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak(pid: int) -> None:
    """Let the peak of resident memory start anew, where the kernel offers it."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
