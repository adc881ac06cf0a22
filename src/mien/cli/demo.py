"""`mien demo`: real photos enrolled and recognised before one's eyes, in a data folder that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import drawing, output
from mien.cli.command import Json
from mien.cli.recognize import as_object, faces_table

if TYPE_CHECKING:
    from mien.demo.story import Act


def demo(
    sheet: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("mien-demo.jpg"),
    keep: Annotated[
        Path | None, typer.Option(help="Keep the photos here: people/ to enrol and new/ to recognise.")
    ] = None,
    as_json: Json = False,
) -> None:
    """See it work: a few photos are fetched, enrolled and recognised."""
    from platformdirs import user_cache_path

    from mien.config import Backend, Settings, open_app
    from mien.demo.photos import demo_photos
    from mien.demo.photos import keep as keep_photos
    from mien.demo.story import play, story_sheet

    drawing.check(sheet)
    photos = demo_photos(user_cache_path("mien") / "demo")
    with tempfile.TemporaryDirectory(prefix="mien-demo-") as folder:
        settings = replace(Settings.from_environment(), backend=Backend.EMBEDDED, data_dir=Path(folder))
        with open_app(settings) as app:
            acts = play(app, photos)
    drawing.write(sheet, story_sheet(acts))
    if keep:
        keep_photos(photos, keep)
    _report(acts, sheet, as_json=as_json)


def _report(acts: Sequence[Act], sheet: Path, *, as_json: bool) -> None:
    if as_json:
        output.emit({"acts": [_as_object(act) for act in acts], "contact_sheet": sheet.resolve()})
        return
    for act in acts:
        output.show(f"Enrolled [bold]{act.name}[/bold] from one photo, {act.enrolled.name}. Who is on these?")
        output.show(faces_table([(Path(path.name), answer) for path, answer in act.answers]))
    output.show(f"All of it in one picture: [bold]{sheet}[/bold]\n")
    output.show(_what_next(Path(sys.argv[0])))


def _as_object(act: Act) -> dict[str, object]:
    answers = [as_object(path, answer) for path, answer in act.answers]
    return {"user_id": act.name, "enrolled": act.enrolled, "photos": answers}


def _what_next(program: Path) -> str:
    """The next commands, in words that work in this very shell."""
    mien = "mien" if shutil.which("mien") else os.path.relpath(program)
    return (
        "Your turn:\n"
        f"  {mien} enroll FOLDER                             (a sub-folder with photos for each person)\n"
        f"  {mien} recognize PHOTO --annotate names.jpg\n"
        f"  {mien} serve                                     (the REST API and the web page)"
    )
