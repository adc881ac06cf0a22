"""`mien detect`: the faces on photos, without names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import exit_codes, output, parallel
from mien.cli.command import Json
from mien.cli.photo_sources import files, read
from mien.domain.errors import MienError

if TYPE_CHECKING:
    from mien.domain.faces import Detection


def detect(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")], as_json: Json = False
) -> None:
    """Find faces, without names.

    Exit code 0 when there is one, 1 when there is none, 3 when a photo cannot be used.
    """
    from mien.config import open_app

    with open_app() as app:
        limit = app.policy.max_image_bytes
        chosen = files(paths)
        answers = dict(parallel.each(chosen, lambda path: app.detect(read(path, limit)), "Looking"))
    ordered = {path: answers[path] for path in chosen}
    if as_json:
        output.emit({"photos": [_as_object(path, answer) for path, answer in ordered.items()]})
    else:
        _show(ordered)
    if any(isinstance(answer, MienError) for answer in answers.values()):
        raise typer.Exit(exit_codes.ExitCode.REFUSED)
    raise typer.Exit(exit_codes.ExitCode.DONE if any(answers.values()) else exit_codes.ExitCode.NO)


def _as_object(path: Path, answer: list[Detection] | MienError) -> dict[str, object]:
    if isinstance(answer, MienError):
        return {"photo": path, "error": {"code": answer.code, "message": str(answer)}}
    return {"photo": path, "faces": answer}


def _show(answers: dict[Path, list[Detection] | MienError]) -> None:
    table = output.table("Photo", ">Face", ">Left, top", ">Size", ">Certain", ">Sharp", ">Bright", ">Roll, yaw, pitch")
    for path, answer in answers.items():
        photo = output.text(str(path))
        if isinstance(answer, MienError) or not answer:
            table.add_row(photo, output.text(str(answer)) if answer else "no face")
            continue
        for number, face in enumerate(answer, 1):
            table.add_row(photo if number == 1 else "", str(number), *_measures(face))
    output.show(table)


def _measures(face: Detection) -> tuple[str, ...]:
    box, pose, quality = face.box, face.pose, face.quality
    return (
        f"{box.left:.1%}, {box.top:.1%}",
        f"{quality.size:.0f} px",
        f"{face.confidence:.0f} %",
        f"{quality.sharpness:.0f}",
        f"{quality.brightness:.0f}",
        f"{pose.roll:.0f}°, {pose.yaw:.0f}°, {pose.pitch:.0f}°",
    )
