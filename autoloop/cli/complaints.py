"""What the command line says when something fails: a printable line for each fault."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from autoloop.errors import AutoloopError

_REMEDIES = {
    errno.EACCES: "see that you may read it, or write there",
    errno.EPERM: "see that you may read it, or write there",
    errno.EROFS: "choose a place that can be written",
    errno.ENOSPC: "make room on the disk, or choose another place",
    errno.EDQUOT: "make room below your quota, or choose another place",
    errno.EFBIG: "raise the limit on the size of files, or choose another place",
    errno.EIO: "the disk fails; choose another one",
    errno.ESTALE: "the file server has lost it; choose a local disk",
    errno.ENOENT: "make the folder, or check the path",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it is there already; choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its symbolic links lead in a circle; check the path",
    errno.EINVAL: "it cannot be a file's name; check the path",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOMEM: "give the program more memory, or use fewer workers",
    errno.EAGAIN: "raise the limit on processes (ulimit -u), or use fewer workers",
}
"""What would do, by what the system says."""
_ENVIRONMENT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_INSTALLATION = 3
_DATA = 4


def complain(error: Exception) -> int:
    """Tell an error on standard error; return the exit status for it."""
    if isinstance(error, AutoloopError):
        for line in str(error).split("\n"):
            _say(line)
        return error.exit_status
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        what = error.filename if error.filename is not None else _nameless(error)
        remedy = _REMEDIES[error.errno]
        _say(f"{os.fsdecode(str(what))}: {os.strerror(error.errno)}; {remedy}")
        return _INSTALLATION if error.errno in _ENVIRONMENT else _DATA
    if isinstance(error, MemoryError):
        _say(
            "not enough memory; give the program more, crop the image, or use fewer "
            "workers"
        )
        return _INSTALLATION
    return _defect(error)


def printable(text: str) -> str:
    r"""Return text on one line that does nothing to a terminal.

    What is told may come from a file of somebody else's.

    Examples
    --------
    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _say(line: str) -> None:
    print(f"autoloop: {printable(line)}", file=sys.stderr)


def _nameless(error: OSError) -> str:
    return "starting a process" if error.errno == errno.EAGAIN else "writing"


def _defect(error: Exception) -> int:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if os.environ.get("AUTOLOOP_DEBUG") == "1":
        traceback.print_exc()
        hint = "please report it with the traceback above"
    else:
        hint = "please report it; AUTOLOOP_DEBUG=1 shows the traceback"
    _say(f"internal error: {text}; {hint}")
    return 1
