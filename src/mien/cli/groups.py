"""Say who the people are whom nobody has named: `mien groups`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Command, Context, Group, Json, Limit
from mien.cli.naming import suggesting, user_id_of
from mien.cli.recognize import check_image_file, write_image
from mien.config import open_app
from mien.domain.faces import iterate_pages

if TYPE_CHECKING:
    from rich.table import Table

    from mien.app.app import FaceApp
    from mien.domain import groups as domain
    from mien.domain.records import FaceRecord

SHEET_GROUPS = SHEET_FACES = 60
PAGE = 1000
SHOWN_FILES = 3

GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="A group, by its id, such as g-3f9c0a7be2d15486.")]
MinFaces = Annotated[int, typer.Option(min=1, help="Only groups of at least so many faces.")]
Sheet = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write an image with the clearest face of each group to this new file."),
]

groups = typer.Typer(cls=Group, no_args_is_help=True, help="Say who the people are that `mien discover` has found.")


@groups.command("list", cls=Command)
def list_groups(
    context: Context,
    min_faces: MinFaces = 1,
    skipped: Annotated[bool, typer.Option("--skipped", help="Show skipped groups, too.")] = False,
    sheet: Sheet = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the groups of unknown faces, the largest first."""
    if sheet:
        check_image_file(sheet, context.settings)
    with open_app(context.settings) as app:
        listed = listed_groups(app, min_faces, limit, skipped=skipped)
        sheet = sheet and draw_groups(app, listed[:SHEET_GROUPS], sheet)
    context.activity.counts["listed"] = len(listed)
    if as_json:
        output.print_json({"groups": listed, "sheet": sheet})
        return
    output.show(
        groups_table(listed, {}) if listed else "No unknown faces are grouped. Begin with: mien discover FOLDER"
    )


@groups.command("faces", cls=Command)
def faces_of_group(
    context: Context,
    group: GroupArgument,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an image with these faces, by their numbers, to this new file."),
    ] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the faces of a group, the clearest first, with the ids that `mien groups split` takes."""
    if sheet:
        check_image_file(sheet, context.settings)
    with open_app(context.settings) as app:
        pages = iterate_pages(lambda token: app.groups.faces(group, limit=min(limit, PAGE), token=token))
        listed = list(islice(pages, limit))
        if sheet:
            tiles = [(face, str(number), f"{face.timestamp:%Y-%m-%d}") for number, face in enumerate(listed, 1)]
            _draw_sheet(app, output.count(len(listed), "face"), tiles[:SHEET_FACES], sheet)
    context.activity.counts["listed"] = len(listed)
    if as_json:
        output.print_json({"faces": listed, "sheet": sheet})
        return
    table = output.table(">No.", "Face", "Seen", whole="Face")
    for number, face in enumerate(listed, 1):
        table.add_row(str(number), face.face_id, f"{face.timestamp:%Y-%m-%d}")
    output.show(table)


@groups.command(cls=Command)
def name(
    context: Context,
    group: GroupArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who that is; somebody enrolled, or somebody new.")],
    as_json: Json = False,
) -> None:
    """Say who a group is: all its faces are enrolled for that person. `mien groups unname GROUP` undoes it."""
    with open_app(context.settings) as app:
        known = user_id_of(app, name)
        is_known = known != name
        with suggesting(app, name):
            naming = app.groups.name(group, known if is_known else None, None if is_known else name)
        context.activity.note(naming)
    if as_json:
        output.print_json(naming)
        return
    left = f" {output.count(naming.left, 'face')} not clear enough, left in the group." if naming.left else ""
    joined = ", who was enrolled already" * is_known
    enrolled = f"{name}{joined}: {output.count(naming.enrolled, 'face')} enrolled.{left}"
    output.show(output.escape(f"{enrolled} To undo it: mien groups unname {group}"))


@groups.command(cls=Command)
def unname(context: Context, group: GroupArgument, as_json: Json = False) -> None:
    """Take a name back: the faces that the group gave to the person are unknown again."""
    with open_app(context.settings) as app:
        _show_change(context, app.groups.undo_name(group), as_json=as_json)


@groups.command(cls=Command)
def skip(
    context: Context,
    group: GroupArgument,
    undo: Annotated[bool, typer.Option("--undo", help="List the group again.")] = False,
    as_json: Json = False,
) -> None:
    """Leave a group out of the listings from now on."""
    with open_app(context.settings) as app:
        _show_change(context, app.groups.skip(group, skipped=not undo), as_json=as_json)


@groups.command(cls=Command)
def split(
    context: Context,
    group: GroupArgument,
    faces: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FACE", help="The second person's faces, by the ids of `mien groups faces`; else by likeness."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Divide a group that shows two people, who are kept apart from then on."""
    with open_app(context.settings) as app:
        parts = app.groups.split(group, faces or ())
    context.activity.note(parts)
    output.print_json({"groups": parts}) if as_json else output.show(groups_table(parts, {}))


@groups.command(cls=Command)
def merge(
    context: Context,
    group: GroupArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The group that shows the same person.")],
    as_json: Json = False,
) -> None:
    """Merge a group into another, because both show one person."""
    with open_app(context.settings) as app:
        _show_change(context, app.groups.merge(group, into), as_json=as_json)


@groups.command(cls=Command)
def erase(
    context: Context,
    group: GroupArgument,
    no_face: Annotated[
        bool, typer.Option("--no-face", help="It is no face: do not find it again in the same photos.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Erase all faces of a group."""
    if not yes:
        typer.confirm(f"Erase {group} for good?", abort=True, err=True)
    with open_app(context.settings) as app:
        erased = app.groups.dismiss(group) if no_face else app.groups.erase(group)
    context.activity.note(erased)
    output.print_json(erased) if as_json else output.show(f"Erased {output.count(erased.faces, 'face')}.")


def listed_groups(app: FaceApp, min_faces: int, limit: int, *, skipped: bool = False) -> list[domain.Group]:
    """Return the largest groups of at least so many faces, at most `limit`; skipped ones only if asked for."""
    pages = iterate_pages(lambda token: app.groups.list(min_faces, skipped=skipped, token=token))
    return list(islice(pages, limit))


def _show_change(context: Context, changed: domain.Group, *, as_json: bool) -> None:
    context.activity.note(changed)
    output.print_json(changed) if as_json else output.show(groups_table([changed], {}))


def groups_table(listed: Sequence[domain.Group], files: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of groups and, where there are `files` by group id, of the photos that they are in."""
    table = output.table("Group", ">Faces", "Last seen", *["In"] * bool(files))
    for group in listed:
        own = files.get(group.group_id, ())
        shown = ", ".join(own[:SHOWN_FILES]) + ", …" * (len(own) > SHOWN_FILES)
        row = (group.group_id, f"{group.faces:,}", f"{group.last_seen:%Y-%m-%d}")
        table.add_row(*row, *[output.escape(shown)] * bool(files))
    return table


def draw_groups(app: FaceApp, listed: Sequence[domain.Group], file: Path) -> Path | None:
    """Write the contact sheet of the groups' clearest faces; without a group, write nothing and return None."""
    faces = [(face, group.group_id, output.count(group.faces, "face")) for group in listed for face in group.best[:1]]
    if not faces:
        return None
    _draw_sheet(app, output.count(len(faces), "group"), faces, file)
    return file


def _draw_sheet(app: FaceApp, title: str, faces: Sequence[tuple[FaceRecord, str, str]], file: Path) -> None:
    """Write a contact sheet of faces, each with a caption and a second line."""
    from mien.annotate import Tile, contact_sheet, open_upright

    tiles = [Tile(open_upright(app.image(face.image_path).body), (), *captions) for face, *captions in faces]
    write_image(file, contact_sheet(title, tiles, columns=6))
