"""`mien doctor`: does everything work here, is a forgotten person really gone, is what was half done finished?"""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli import output
from mien.cli.failures import ExitCode
from mien.cli.verb import Json


def doctor(
    verify_erased: Annotated[
        str | None, typer.Option(help="Look into every store for traces of this person instead; 1 when there are any.")
    ] = None,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Look over who is enrolled instead; 1 when something looks wrong.")
    ] = False,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Finish what a crash left half done: erasures, photos, metadata.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check models, storage and settings.

    Exit code 0 when all works, 4 when something does not.
    """
    if verify_erased is not None:
        _verify_erased(verify_erased, as_json=as_json)
    elif gallery:
        _look_over(as_json=as_json)
    elif reconcile:
        _reconcile(as_json=as_json)
    else:
        _check(as_json=as_json)


def _check(*, as_json: bool) -> None:
    from mien.cli.checks import run
    from mien.config import Settings

    findings = list(run(Settings.from_environment()))
    works = all(finding.works for finding in findings)
    if as_json:
        output.emit({"works": works, "checks": findings})
    else:
        table = output.table("Check", "", "Found")
        for finding in findings:
            mark = "[green]works[/green]" if finding.works else "[red]fails[/red]"
            table.add_row(finding.check, mark, output.text(finding.detail))
        output.show(table)
    raise typer.Exit(ExitCode.DONE if works else ExitCode.BROKEN)


def _verify_erased(user: str, *, as_json: bool) -> None:
    from mien.config import open_app

    with open_app() as app:
        traces = app.verify_erased(user)
    if as_json:
        output.emit({"erased": not traces, "traces": traces})
    else:
        output.show(f"Traces are left in: {', '.join(traces)}." if traces else "No trace is left in any store.")
    raise typer.Exit(ExitCode.NO if traces else ExitCode.DONE)


def _look_over(*, as_json: bool) -> None:
    from mien.config import open_app

    with open_app() as app:
        found = app.hygiene()
    if as_json:
        output.emit({"findings": found})
    else:
        for finding in found:
            faces = ", ".join(finding.face_ids)
            output.show(output.text(f"{finding.evidence}\n  Faces: {faces}\n  {finding.action}\n"))
        if not found:
            output.show("Nothing looks wrong with who is enrolled.")
    raise typer.Exit(ExitCode.NO if found else ExitCode.DONE)


def _reconcile(*, as_json: bool) -> None:
    from mien.cli.repair import reconcile
    from mien.config import Settings

    counts = reconcile(Settings.from_environment())
    if as_json:
        output.emit(counts)
    else:
        output.show("Put right: " + ", ".join(f"{what.replace('_', ' ')} {count}" for what, count in counts.items()))
