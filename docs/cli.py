"""Generate docs/cli.md from the commands' own help: `python -m docs.cli > docs/cli.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import typer

from mien.cli.main import COMMANDS, app

INTRODUCTION = """# The command line

Each command takes `--data-dir FOLDER`, `--backend NAME` and `--stack NAME` (a stack on AWS) as well, before or after
its name, and `--help`. With `--json` the answer is one JSON object on standard output; everything else goes to standard
error. `enrol` and `recognise` are `enroll` and `recognize`; `mien --install-completion` completes words in your shell.

| exit code | |
|---|---|
| 0 | success |
| 1 | the answer is no: no match, not found, or a check found something |
| 2 | the arguments cannot be used |
| 3 | some photos were rejected; the others are done |
| 4 | storage, a model or a setting does not work |
| 5 | too busy; the same command may succeed later |
| 130 | interrupted; what was reported before is kept |

What a command writes for you, such as with `--annotate`, `--sheet`, `--export` or `--report`, is a new file outside of
the data folder: a file that exists is never replaced.

This page is generated from the sources: `python -m docs.cli > docs/cli.md`.
"""

SHARED = {"data_dir", "backend", "stack", "help"}


def page() -> str:
    """Return docs/cli.md."""
    group: Any = typer.main.get_command(app)
    parts = [INTRODUCTION]
    for panel, functions in COMMANDS.items():
        parts.append(f"\n## {panel}\n")
        parts += [_section(group.commands[function.__name__.replace("_", "-")]) for function in functions]
    for name, nested in group.commands.items():
        if hasattr(nested, "commands"):
            parts.append(f"\n## {name.capitalize()}\n")
            parts += [_section(command, f"{name} ") for command in nested.commands.values()]
    return "".join(parts)


def _section(command: Any, prefix: str = "") -> str:
    params = command.get_params(typer.Context(command))
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param.param_type_name == "option" and param.name not in SHARED]
    usage = " ".join([f"mien {prefix}{command.name}", *map(_word, arguments), *["[OPTIONS]"] * bool(options)])
    rows = "".join(_rows([*arguments, *options]))
    table = f"\n| | |\n|---|---|\n{rows}" if rows else ""
    return f"\n### {prefix}{command.name}\n\n`{usage}`\n\n{inspect.cleandoc(command.help or '')}\n{table}"


def _word(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper() + ("…" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _rows(params: list[Any]) -> Iterator[str]:
    for param in params:
        is_option = param.param_type_name == "option"
        names = (
            ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
            if is_option
            else f"`{_word(param)}`"
        )
        value = f" {param.metavar}" if is_option and param.metavar else ""
        default = f" Default: {param.default}." if is_option and _is_telling(param.default) else ""
        yield f"| {names}{value} | {(param.help or '').replace('|', '/')}{default} |\n"


def _is_telling(default: Any) -> bool:
    return isinstance(default, (int, str)) and not isinstance(default, bool) and default != ""


if __name__ == "__main__":
    sys.stdout.write(page())
