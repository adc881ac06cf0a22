"""`mien`: the verbs, put together. Libraries are loaded inside the verbs, so that help comes at once."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from mien.cli.calibrate import calibrate
from mien.cli.command import verb
from mien.cli.compare import compare
from mien.cli.demo import demo
from mien.cli.detect import detect
from mien.cli.doctor import doctor
from mien.cli.enroll import enroll
from mien.cli.evaluate import evaluate
from mien.cli.forget import forget, reject
from mien.cli.keys import keys
from mien.cli.people import faces, people
from mien.cli.recognize import recognize
from mien.cli.serve import serve

VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Recognise": (demo, enroll, recognize, detect, compare),
    "Look after": (people, faces, reject, forget, doctor),
    "Serve": (serve,),
    "Measure": (evaluate, calibrate),
}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False)
for panel, functions in VERBS.items():
    for function in functions:
        app.command(rich_help_panel=panel)(verb(function))
app.add_typer(keys, name="keys", rich_help_panel="Serve")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mien {version('mien')}")
        raise typer.Exit


@app.callback()
def mien(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Recognise faces: enrol photos of people you know, show a new photo, learn who is on it."""


def main() -> None:
    app(prog_name="mien")
