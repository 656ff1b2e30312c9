"""`python -m autoloop` is the command `autoloop`."""

from __future__ import annotations

from autoloop.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
