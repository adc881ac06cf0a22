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
from mien.cli.new_files import free_name
from mien.cli.recognize import check_image_file, faces_table, photo_json, write_image
from mien.config import open_app
from mien.settings import Backend

if TYPE_CHECKING:
    from mien.demo.story import Step

CONTACT_SHEET = Path("mien-demo.jpg")


def demo(
    context: Context,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all photos, with the names on them, to this new contact sheet. Default: mien-demo.jpg, with a "
            "number if that exists.",
        ),
    ] = None,
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
    from mien.demo.story import demo_sheet, run_demo

    sheet = sheet or free_name(CONTACT_SHEET)
    check_image_file(sheet, context.settings)
    photos = demo_photos(user_cache_path("mien") / "demo")
    with tempfile.TemporaryDirectory(prefix="mien-demo-") as folder:
        settings = replace(context.settings, backend=Backend.EMBEDDED, data_dir=Path(folder))
        with open_app(settings) as app:
            steps = run_demo(app, photos)
    write_image(sheet, demo_sheet(steps))
    if keep:
        keep_photos(photos, keep)
    _report(steps, sheet, as_json=as_json)


def _report(steps: Sequence[Step], sheet: Path, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"acts": [_step_json(step) for step in steps], "contact_sheet": sheet.resolve()})
        return
    for step in steps:
        output.show(f"Enrolled [bold]{step.name}[/bold] from one photo, {step.enrolled.name}. Who is in these photos?")
        output.show(faces_table([(Path(path.name), recognition) for path, recognition in step.recognitions]))
    output.show(f"All photos in one contact sheet: [bold]{output.escape(str(sheet))}[/bold]\n")
    output.show(_next_steps(Path(sys.argv[0])))


def _step_json(step: Step) -> dict[str, object]:
    photos = [photo_json(path, recognition) for path, recognition in step.recognitions]
    return {"user_id": step.name, "enrolled": step.enrolled, "photos": photos}


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
