"""Gather all commands in `mien`. Commands import large libraries when they run, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from mien.cli.backup import backup, reset, restore
from mien.cli.command import Command, Group
from mien.cli.configuration import config
from mien.cli.demo import demo
from mien.cli.detect import compare, detect
from mien.cli.discover import discover
from mien.cli.doctor import doctor
from mien.cli.enroll import enroll
from mien.cli.evaluate import calibrate, evaluate
from mien.cli.groups import groups
from mien.cli.maintenance import inspect, repair, verify_erased
from mien.cli.naming import merge, rename
from mien.cli.past import history, move, photos
from mien.cli.people import faces, forget, people, reject
from mien.cli.recognize import recognize
from mien.cli.retention import consent
from mien.cli.security import audit, keys
from mien.cli.serve import serve
from mien.cli.smoke import smoke
from mien.cli.sort import sort

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Recognise": (demo, enroll, recognize, discover, sort, detect, compare),
    "Manage": (
        people,
        photos,
        faces,
        history,
        rename,
        merge,
        move,
        consent,
        reject,
        forget,
        verify_erased,
        inspect,
        repair,
        audit,
        doctor,
        smoke,
    ),
    "Serve": (serve, config, backup, restore, reset),
    "Measure": (evaluate, calibrate),
}

app = typer.Typer(cls=Group, no_args_is_help=True, pretty_exceptions_show_locals=False)
for panel, functions in COMMANDS.items():
    for function in functions:
        app.command(cls=Command, rich_help_panel=panel)(function)
app.add_typer(groups, name="groups", rich_help_panel="Manage")
app.add_typer(keys, name="keys", rich_help_panel="Serve")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mien {version('mien')}")
        raise typer.Exit


@app.callback()
def mien(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recognise faces: enrol photos of people you know, show a new photo, learn who is in it."""


def main() -> None:
    app(prog_name="mien")
