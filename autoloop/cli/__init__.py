"""The verbs: arguments in, text or JSON out, nothing else.

Importing this package and building the parser loads only the standard library, so that
`autoloop --help` answers at once; each verb imports what it needs when it runs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from autoloop import __version__
from autoloop.cli import (
    completion,
    doctor,
    export,
    init,
    inspect,
    library,
    match,
    policies,
    report,
    resume,
    run,
    schema,
    score,
    simulate,
    status,
    validate,
)
from autoloop.cli.arguments import Parser
from autoloop.cli.complaints import complain

_VERBS = (
    run,
    resume,
    status,
    report,
    export,
    inspect,
    init,
    simulate,
    score,
    match,
    library,
    validate,
    policies,
    schema,
    doctor,
    completion,
)

_EPILOG = """exit status: 0 done, 2 bad usage or run file, 3 environment, 4 bad input
data or run folder, 5 every candidate failed, 130 interrupted (resumable)

example:
  autoloop run experiments/quickstart.yaml
"""
_INTERRUPTED = 130  # 128 + SIGINT, as shells do
_PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process if left out.

    Returns
    -------
    int
        Exit status.
    """
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said what there is to say
        return stop.code if isinstance(stop.code, int) else 2
    # Before numpy is loaded: on small matrices a second thread mostly waits.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    words = sys.argv[1:] if argv is None else argv
    arguments.command_line = shlex.join(["autoloop", *words])
    try:
        exit_status: int = arguments.verb(arguments)
        sys.stdout.flush()
        return exit_status
    except KeyboardInterrupt:
        how = arguments.after_interrupt(arguments)
        print(f"\nautoloop: interrupted{how}", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` say, has enough.
        _abandon_output()
        return _PIPE_CLOSED
    except Exception as error:
        exit_status = complain(error)
        try:
            sys.stdout.flush()
        except OSError:  # what it could not write before, to a full disk say
            _abandon_output()
        return exit_status


def _abandon_output() -> None:
    """Let what is left go nowhere: Python would complain again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="autoloop",
        description="Determine the atomic structure of a grain boundary from an "
        "atomic-resolution HAADF-STEM image.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--version", action="version", version=f"autoloop {__version__}"
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in _VERBS:
        verb.add_to(verbs)
    return parser
