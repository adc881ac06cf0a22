"""Enrol and recognise a few real photos in a temporary data folder: `mien demo`."""

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

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.recognize import check_picture_file, faces_table, photo_json, write_picture
from mien.config import Backend, open_app

if TYPE_CHECKING:
    from mien.demo.story import Act


def demo(
    context: Context,
    sheet: Annotated[
        Path, typer.Option(metavar="FILE", help="Write all photos with their names into this picture.")
    ] = Path("mien-demo.jpg"),
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep the photos in this folder: people/ for `enroll`, new/ for `recognize`."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """See how it works: fetch a few photos, enrol two people and recognise them.

    The data of the demo is deleted at the end; your own data is not touched.
    """
    from platformdirs import user_cache_path

    from mien.demo.photos import demo_photos
    from mien.demo.photos import keep as keep_photos
    from mien.demo.story import play, story_sheet

    check_picture_file(sheet)
    photos = demo_photos(user_cache_path("mien") / "demo")
    with tempfile.TemporaryDirectory(prefix="mien-demo-") as folder:
        settings = replace(context.settings, backend=Backend.EMBEDDED, data_dir=Path(folder))
        with open_app(settings) as app:
            acts = play(app, photos)
    write_picture(sheet, story_sheet(acts))
    if keep:
        keep_photos(photos, keep)
    _report(acts, sheet, as_json=as_json)


def _report(acts: Sequence[Act], sheet: Path, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"acts": [_act_json(act) for act in acts], "contact_sheet": sheet.resolve()})
        return
    for act in acts:
        output.show(f"Enrolled [bold]{act.name}[/bold] from one photo, {act.enrolled.name}. Who is in these photos?")
        output.show(faces_table([(Path(path.name), recognition) for path, recognition in act.answers]))
    output.show(f"All photos in one picture: [bold]{output.escape(str(sheet))}[/bold]\n")
    output.show(_next_steps(Path(sys.argv[0])))


def _act_json(act: Act) -> dict[str, object]:
    photos = [photo_json(path, recognition) for path, recognition in act.answers]
    return {"user_id": act.name, "enrolled": act.enrolled, "photos": photos}


def _next_steps(program: Path) -> str:
    """List commands to try next, written so that they run in this shell."""
    if shutil.which("mien"):
        mien = "mien"
    elif program.name == "__main__.py":
        mien = f"{Path(sys.executable).name} -m mien"
    else:
        mien = os.path.relpath(program)
    return (
        "Your turn:\n"
        f"  {mien} enroll FOLDER                             (one sub-folder with photos per person)\n"
        f"  {mien} recognize PHOTO --annotate names.jpg\n"
        f"  {mien} serve                                     (the REST API and the web page)"
    )
