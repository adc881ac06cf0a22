"""Find the people in photos, and say who they are: `mien discover` and `mien groups`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Command, Context, Group, Json, Limit
from mien.cli.exit_codes import ExitCode, error_json, fail
from mien.cli.naming import suggesting, user_id_of
from mien.cli.photos import Found, PhotoReader, map_together, photo_files
from mien.cli.recognize import check_image_file, write_image
from mien.cli.retention import expire
from mien.config import open_app
from mien.domain.errors import MienError
from mien.domain.faces import iterate_pages

if TYPE_CHECKING:
    from rich.table import Table

    from mien.app.app import FaceApp
    from mien.app.groups import GroupService
    from mien.domain import groups as domain
    from mien.domain.records import FaceRecord, Recognition

SHEET_GROUPS = SHEET_FACES = 60
PAGE = 1000
SHOWN_GROUPS = 20
SHOWN_FILES = 3

GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="A group, by its id, such as g-3f9c0a7be2d15486.")]
MinFaces = Annotated[int, typer.Option(min=1, help="Only groups of at least so many faces.")]
Sheet = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write an image with the clearest face of each group to this file.")
]

groups = typer.Typer(cls=Group, no_args_is_help=True, help="Say who the people are that `mien discover` has found.")


def discover(
    context: Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Photos, or folders; without any, the photos uploaded for nobody.")
    ] = None,
    min_faces: MinFaces = 2,
    sheet: Sheet = None,
    as_json: Json = False,
) -> None:
    """Find the people in photos: group all faces of people who are not enrolled by likeness.

    The photos stay where they are; of each unknown face, a portrait is kept in the data folder. Photos that come later
    join the groups. Say who a group is with `mien groups name`, or on the page.
    """
    if sheet:
        check_image_file(sheet)
    found = photo_files(paths or [])
    results: dict[Path, Recognition | MienError] = {}
    failure: BaseException | None = None
    with open_app(context.settings) as app:
        expire(context.settings, app)
        service, read = app.groups, PhotoReader(app.policy.max_image_bytes)
        grouped = 0 if paths else service.add_all()
        try:
            remember_all(service, found.photos, read, "Looking for people", results)
        except (MienError, KeyboardInterrupt) as error:
            failure = error
        context.activity.note(list(results.values()))
        listed = _groups(app, min_faces, SHEET_GROUPS)
        sheet = sheet and _draw(app, listed, sheet)
    _report(results, found, listed, grouped, failure, min_faces, sheet, as_json=as_json)
    if failure:
        fail(failure)
    if any(isinstance(result, MienError) for result in results.values()):
        raise typer.Exit(ExitCode.REJECTED)


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
        check_image_file(sheet)
    with open_app(context.settings) as app:
        listed = _groups(app, min_faces, limit, skipped=skipped)
        sheet = sheet and _draw(app, listed[:SHEET_GROUPS], sheet)
    context.activity.counts["listed"] = len(listed)
    if as_json:
        output.print_json({"groups": listed, "sheet": sheet})
        return
    output.show(_table(listed, {}) if listed else "No unknown faces are grouped. Begin with: mien discover FOLDER")


@groups.command("faces", cls=Command)
def faces_of_group(
    context: Context,
    group: GroupArgument,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an image with these faces, by their numbers, to this file."),
    ] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the faces of a group, the clearest first, with the ids that `mien groups split` takes."""
    if sheet:
        check_image_file(sheet)
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
    output.print_json({"groups": parts}) if as_json else output.show(_table(parts, {}))


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


def remember_all(
    service: GroupService,
    photos: Sequence[Path],
    read: PhotoReader,
    label: str,
    results: dict[Path, Recognition | MienError] | None = None,
) -> dict[Path, Recognition | MienError]:
    """Recognise photos and group the strangers in them; `results` has what was reached when that ends early."""
    results = {} if results is None else results
    for photo, result in map_together(photos, read, service.remember_many, label):
        results[photo] = result
    of_photos = {photo: {face.group_id for face in each.faces} for photo, each in _recognitions(results)}
    groups = set[str | None]().union(*of_photos.values()) - {None}
    merged = groups - service.counts([each for each in groups if each is not None]).keys()  # by a later photo
    for photo in (each for each, own in of_photos.items() if own & merged):
        results[photo] = service.remember(read(photo))
    return results


def _recognitions(results: Mapping[Path, Recognition | MienError]) -> list[tuple[Path, Recognition]]:
    return [(photo, result) for photo, result in results.items() if not isinstance(result, MienError)]


def _groups(app: FaceApp, min_faces: int, limit: int, *, skipped: bool = False) -> list[domain.Group]:
    pages = iterate_pages(lambda token: app.groups.list(min_faces, skipped=skipped, token=token))
    return list(islice(pages, limit))


def _show_change(context: Context, changed: domain.Group, *, as_json: bool) -> None:
    context.activity.note(changed)
    output.print_json(changed) if as_json else output.show(_table([changed], {}))


def _table(listed: Sequence[domain.Group], files: Mapping[str, Sequence[str]]) -> Table:
    table = output.table("Group", ">Faces", "Last seen", *["In"] * bool(files))
    for group in listed:
        own = files.get(group.group_id, ())
        shown = ", ".join(own[:SHOWN_FILES]) + ", …" * (len(own) > SHOWN_FILES)
        row = (group.group_id, f"{group.faces:,}", f"{group.last_seen:%Y-%m-%d}")
        table.add_row(*row, *[output.escape(shown)] * bool(files))
    return table


def _report(
    results: Mapping[Path, Recognition | MienError],
    found: Found[Path],
    listed: Sequence[domain.Group],
    grouped: int,
    failure: BaseException | None,
    min_faces: int,
    sheet: Path | None,
    *,
    as_json: bool,
) -> None:
    files, people = _files(results)
    errors = {photo: result for photo, result in results.items() if isinstance(result, MienError)}
    if as_json:
        output.print_json(
            {
                "photos": len(results) - len(errors),
                "not_reached": len(found.photos) - len(results),
                "skipped": found.skipped,
                "known": people,
                "grouped": grouped + sum(map(len, files.values())),
                "groups": [{**output.jsonable(group), "photos": files.get(group.group_id, [])} for group in listed],
                "refused": [{"photo": photo, "error": error_json(error)} for photo, error in sorted(errors.items())],
                "error": failure and error_json(failure),
            }
        )
        return
    if listed:
        names = {group_id: [Path(photo).name for photo in own] for group_id, own in files.items()}
        output.show(_table(listed[:SHOWN_GROUPS], names))
    for photo, error in sorted(errors.items()):
        output.note(f"{photo}: {error}")
    strangers = sum(map(len, files.values())) + grouped
    known = f"{output.count(sum(people.values()), 'face')} of {output.count(len(people), 'known person')}"
    known = known.replace("known persons", "known people")
    photos = output.count(len(results) - len(errors), "photo")
    not_reached = (
        f" {output.count(len(found.photos) - len(results), 'photo')} not reached: repeat the command to go on."
    )
    output.show(f"{photos}: {known}, {output.count(strangers, 'unknown face')}.{not_reached * bool(failure)}")
    if min_faces > 1 and strangers:
        output.show(f"Groups of fewer than {min_faces} faces are not shown; --min-faces 1 shows them.")
    if len(listed) > SHOWN_GROUPS:
        output.show(f"The {SHOWN_GROUPS} largest groups are shown; mien groups list shows all.")
    if listed:
        seen = sheet or "mien groups list --sheet people.jpg"
        output.show(output.escape(f"See them: {seen}, or mien serve, and Unnamed on the page."))
        output.show(output.escape(f"Say who they are: mien groups name {listed[0].group_id} NAME"))
    found.note_skipped()


def _files(results: Mapping[Path, Recognition | MienError]) -> tuple[dict[str, list[str]], Counter[str]]:
    """The photos of each group, and how many faces of each known person there are, by name."""
    files: dict[str, list[str]] = defaultdict(list)
    people: Counter[str] = Counter()
    for photo, result in sorted(results.items()):
        for face in () if isinstance(result, MienError) else result.faces:
            if face.group_id is not None:
                files[face.group_id].append(str(photo))
            elif face.user_id is not None:
                people[face.name or face.user_id] += 1
    return files, people


def _draw(app: FaceApp, listed: Sequence[domain.Group], file: Path) -> Path | None:
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
