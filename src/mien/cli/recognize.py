"""`mien recognize`: who is on these photos?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import drawing, exit_codes, output, parallel
from mien.cli.command import Json
from mien.cli.photo_sources import files, read
from mien.domain.errors import MienError

if TYPE_CHECKING:
    from rich.table import Table

    from mien.domain.records import Recognition, RecognizedFace

Answer = tuple[Path, "Recognition | MienError"]


def recognize(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")],
    threshold: Annotated[
        str | None, typer.Option(help="Least similarity of a match, 0 to 100, or fmr=1e-4, or fpir=0.01.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Draw boxes and names into this picture; of several photos, a contact sheet.")
    ] = None,
    store: Annotated[bool, typer.Option(help="Keep the answers in the data folder.")] = True,
    as_json: Json = False,
) -> None:
    """Say who is on photos.

    Exit code 0 when somebody is recognised, 1 when nobody is, 3 when a photo cannot be used.
    """
    from mien.config import open_app

    chosen = files(paths)
    if annotate:
        drawing.check(annotate, len(chosen))
    with open_app() as app:
        limit = app.policy.max_image_bytes
        answers = dict(
            parallel.each(chosen, lambda path: app.recognize(read(path, limit), threshold, store=store), "Recognising")
        )
    ordered = [(path, answers[path]) for path in dict.fromkeys(chosen)]
    if annotate:
        drawing.save(annotate, [(path, answer) for path, answer in ordered if not isinstance(answer, MienError)])
    _report(ordered, annotate, as_json=as_json)
    raise typer.Exit(_exit_code(ordered))


def _report(answers: Sequence[Answer], annotated: Path | None, *, as_json: bool) -> None:
    if as_json:
        output.emit({"photos": [as_object(path, answer) for path, answer in answers], "annotated": annotated})
        return
    output.show(faces_table(answers))
    if last := next((answer for _, answer in reversed(answers) if not isinstance(answer, MienError)), None):
        output.note(output.threshold(last.threshold, last.threshold_fmr, last.threshold_fpir))
    if annotated:
        output.note(f"Written: {annotated}")


def as_object(path: Path, answer: Recognition | MienError) -> dict[str, object]:
    """A photo's answer for programs."""
    if isinstance(answer, MienError):
        return {"photo": path, "error": {"code": answer.code, "message": str(answer)}}
    return {"photo": path, **output.plain(answer)}


def faces_table(answers: Sequence[Answer]) -> Table:
    """A row per face, and one for each photo without."""
    table = output.table("Photo", ">Face", "Who", ">Similarity")
    for path, answer in answers:
        photo = output.text(str(path))
        if isinstance(answer, MienError):
            table.add_row(photo, "", f"[red]{output.text(str(answer))}[/red]", "")
        elif not answer.faces:
            table.add_row(photo, "", "[dim]no face[/dim]", "")
        else:
            for number, face in enumerate(answer.faces, 1):
                table.add_row(photo if number == 1 else "", str(number), *_verdict(face))
    return table


def _verdict(face: RecognizedFace) -> tuple[str, str]:
    similarity = "" if face.similarity is None else output.percent(face.similarity)
    if face.user_id is not None:
        return f"[bold]{output.text(face.user_id)}[/bold]", similarity
    rivals = [
        f"{output.text(c.user_id)} {output.percent(c.similarity)}" for c in face.candidates if c.user_id is not None
    ]
    if face.similarity is not None:
        return f"[yellow]{' or '.join(rivals[:2])}[/yellow]", similarity
    return "[dim]unknown[/dim]", similarity


def _exit_code(answers: Sequence[Answer]) -> exit_codes.ExitCode:
    recognitions = [answer for _, answer in answers if not isinstance(answer, MienError)]
    if len(recognitions) < len(answers):
        return exit_codes.ExitCode.REFUSED
    found = any(face.similarity is not None for answer in recognitions for face in answer.faces)
    return exit_codes.ExitCode.DONE if found else exit_codes.ExitCode.NO
