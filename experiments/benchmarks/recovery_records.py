"""The runs of `recovery.py`, each made once and kept as one line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def seeds(options: argparse.Namespace, full: int, quick: int) -> range:
    """Return the seeds of a policy in one place."""
    n = options.seeds or (quick if options.quick else full)
    return range(options.first_seed, options.first_seed + n)


def read_records(path: Path) -> dict[str, Record]:
    """Return the runs that are done, by key; a line cut short is left out."""
    if not path.exists():
        return {}
    records: dict[str, Record] = {}
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[record["key"]] = record
    return records


def keep(options: argparse.Namespace, record: Record) -> Record:
    """Add a run to those that are done."""
    with (options.out / "runs.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record
