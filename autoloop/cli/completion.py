"""`autoloop completion`: what a shell needs to complete verbs, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, add_verb, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs

_SHELLS = ("bash", "zsh", "fish")


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "completion",
        _completion,
        purpose="Print what a shell needs to complete verbs, options and files",
        example='eval "$(autoloop completion bash)"',
    )
    parser.epilog = (
        f"{parser.epilog}\nThis is for the shell at hand. For every one to come:\n\n"
        "  bash  mkdir -p ~/.local/share/bash-completion/completions\n"
        "        autoloop completion bash "
        "> ~/.local/share/bash-completion/completions/autoloop\n"
        "  zsh   mkdir -p ~/.zfunc; autoloop completion zsh > ~/.zfunc/_autoloop\n"
        "        and in ~/.zshrc: fpath=(~/.zfunc $fpath); autoload -Uz compinit; "
        "compinit\n"
        "  fish  autoloop completion fish > "
        "~/.config/fish/completions/autoloop.fish\n\n"
        "The bash of Debian and others reads that folder if bash-completion is "
        "installed. Write the file\nagain after an upgrade of autoloop."
    )
    parser.add_argument(
        "shell", metavar="SHELL", choices=_SHELLS, help="bash, zsh, fish"
    )


def _completion(arguments: Arguments) -> int:
    import shtab

    from autoloop.cli import make_parser

    parser = make_parser()
    for action in _actions(parser):
        _say_what_completes(action)
    print(shtab.complete(parser, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Give the arguments of a parser and of all its verbs."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)


def _say_what_completes(action: argparse.Action) -> None:
    """Mark an argument with what completes it, where that is not its choices."""
    import shtab

    how: Any = None
    if action.metavar == "RUN.yaml" and not action.option_strings:
        how = shtab.glob("*.yaml", "*.yml")
    elif action.type is run_folder or action.metavar == "DIR":
        how = shtab.DIRECTORY
    elif action.type is Path:
        how = shtab.FILE
    elif action.dest == "policy":
        from autoloop.plugins import policy_names

        how = _words_or_files(policy_names())
    elif action.dest == "crystal":
        from autoloop.structure.crystals import crystal_names

        how = _words_or_files(crystal_names())
    if how is not None:
        action.complete = how  # type: ignore[attr-defined]


def _words_or_files(words: tuple[str, ...]) -> dict[str, Any]:
    """Return, in the form of shtab, completion by some words or any file."""
    listed = " ".join(words)
    name = f"_autoloop_{words[0]}_or_file".replace("-", "_")
    bash = f'compgen -W "{listed}" -- $1; compgen -f -- $1'
    return {
        "bash": name,
        "zsh": f"{{compadd -- {listed}; _files}}",
        "fish": f"(printf '%s\\n' {listed}; __fish_complete_path (commandline -ct))",
        "preamble": {"bash": f"{name}() {{ {bash}; }}\n"},
    }
