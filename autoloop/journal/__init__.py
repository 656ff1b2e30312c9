"""The record on disk: one SQLite file for each run.

The journal is the checkpoint: what it holds is enough to resume, report and export. One
transaction for each evaluation, arrays as raw little-endian blobs, no pickle. Clock
figures stand in a table of their own and never take part in a decision. What a reader
may rely on is the schema in `MIGRATIONS`.
"""

from __future__ import annotations

from autoloop.journal.outlines import Outline
from autoloop.journal.places import refuse_remote
from autoloop.journal.recording import Journal
from autoloop.journal.schema import APPLICATION_ID, MIGRATIONS

__all__ = ["APPLICATION_ID", "MIGRATIONS", "Journal", "Outline", "refuse_remote"]
