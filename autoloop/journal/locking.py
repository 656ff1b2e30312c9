"""One writer for a journal: an advisory lock on a file beside it.

The kernel gives the lock back when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from autoloop.errors import JournalError
from autoloop.journal.places import refuse_remote


def take_lock(path: Path) -> int:
    """Return the descriptor of the lock held; closing it gives the lock back.

    Raises
    ------
    JournalError
        If another process writes this run, the folder is not writable, or it lies on
        a file system where a lock or a journal means little.
    """
    refuse_remote(path)
    lock_path = f"{path}.lock"
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be opened for writing ({error.strerror}); "
            "is its folder there, and writable?"
        ) from error
    # `status` holds the lock for an instant when it looks whether there is a writer.
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            time.sleep(0.05)
        except OSError as error:  # as Lustre, mounted without `flock`
            os.close(lock)
            raise JournalError(
                f"{path}: its file system gives no locks ({error.strerror}); choose a "
                "local disk or scratch space with --out"
            ) from error
    os.close(lock)
    raise JournalError(
        f"{path}: another process is writing this run; wait until it ends, stop it, or "
        "choose another folder"
    )
