"""`mien compare`: do two photos show the same person?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli import exit_codes, output
from mien.cli.command import Json
from mien.cli.photo_sources import read


def compare(
    source: Annotated[Path, typer.Argument(help="A photo; its largest face counts.")],
    target: Annotated[Path, typer.Argument(help="Another photo; each of its faces is compared.")],
    threshold: Annotated[
        str | None,
        typer.Option(help="Least similarity of the same person, 0 to 100, or a false match rate such as fmr=1e-4."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two photos: is it the same person?

    Exit code 0 when it is, 1 when it is not.
    """
    from mien.config import open_app

    with open_app() as app:
        limit = app.policy.max_image_bytes
        wanted = app.threshold(threshold)
        found = app.compare(read(source, limit), read(target, limit))
    least = wanted.similarity
    same = any(comparison.similarity >= least for comparison in found)
    if as_json:
        output.emit({"same_person": same, "threshold": least, "threshold_fmr": wanted.fmr, "faces": found})
    else:
        table = output.table(">Face", ">Similarity", "")
        for number, comparison in enumerate(found, 1):
            verdict = "same person" if comparison.similarity >= least else "another person"
            table.add_row(str(number), output.percent(comparison.similarity), verdict)
        output.show(table if found else "The second photo shows no face.")
        output.note(output.threshold(wanted.similarity, wanted.fmr))
    raise typer.Exit(exit_codes.ExitCode.DONE if same else exit_codes.ExitCode.NO)
