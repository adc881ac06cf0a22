"""Prove that a deployed stage works, with a protocol to keep: `mien --stack mien-dev smoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode
from mien.domain.errors import InvalidInput, SetupError

NEEDED = 3


def smoke(
    context: Context,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Two photos of one person and one of somebody else; default: the demo's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk through a stack on AWS: photo, event, face, recognition, result, erasure.

    Nothing stays but the protocol. Exit code 0 when all works, 4 when a step fails.
    """
    from mien.backends.aws.smoke_test import Photos, walk

    if photos and len(photos) != NEEDED:
        raise InvalidInput("The walk needs three photos: two of one person and one of somebody else.")
    if context.settings.stack is None:
        raise SetupError("Name the stack: mien --stack mien-dev smoke.")
    enrolled, again, stranger = (path.read_bytes() for path in photos or _demo_photos())
    steps = []
    if not as_json:
        typer.echo(_heading(context))
    for step in walk(context.settings, Photos(enrolled, again, stranger)):
        steps.append(step)
        if not as_json:
            verdict = "passed" if step.passed else "FAILED"
            typer.echo(f"| {step.title} | {verdict} | {step.seconds:.1f} | {step.seen} |")
    passed = all(step.passed for step in steps)
    if as_json:
        output.print_json({"passed": passed, "steps": steps})
    raise typer.Exit(ExitCode.SUCCESS if passed else ExitCode.ERROR)


def _heading(context: Context) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = (
        f"# Smoke test of {context.settings.stack}",
        f"{now}, mien {version('mien')}, bucket {context.settings.bucket}",
        "| step | result | seconds | seen |\n|---|---|---|---|",
    )
    return "\n\n".join(lines)


def _demo_photos() -> list[Path]:
    from platformdirs import user_cache_path

    from mien.demo.photos import by_person, demo_photos

    (_, [enrolled, again, *_]), (_, [stranger, *_]) = by_person(demo_photos(user_cache_path("mien") / "demo"))
    return [enrolled, again, stranger]
