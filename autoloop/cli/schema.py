"""`autoloop schema`: the run file as a JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb
from autoloop.errors import ConfigError

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "schema",
        _schema,
        purpose="Print the JSON Schema of run files, for editors that check as one "
        "types",
        example="autoloop schema -o autoloop.schema.json",
    )
    parser.epilog = (
        f"{parser.epilog}\nAn editor with a YAML language server (VS Code with the "
        "YAML extension, Neovim, Emacs)\nthen completes keys, shows what they mean and "
        "marks mistakes in every run file that begins with\n\n"
        "  # yaml-language-server: $schema=autoloop.schema.json\n\n"
        "the path being relative to the run file. 'autoloop init' writes this line if "
        "autoloop.schema.json\nlies where the run file goes. JSON Schema draft-07; "
        "'autoloop validate' checks more."
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="write it there (default: print it); one that is there is replaced",
    )


def _schema(arguments: Arguments) -> int:
    from autoloop.config.schema import MODELINE, run_file_schema

    text = json.dumps(run_file_schema(), indent=1, ensure_ascii=False) + "\n"
    output: Path | None = arguments.output
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{output}: cannot be written: {error.strerror}; name another file with -o"
        ) from error
    print(
        f"{output}: first line of run files beside it: {MODELINE.format(output.name)}"
    )
    return 0
