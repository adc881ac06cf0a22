"""Find the people in photos whom nobody has named: `mien discover`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode, error_json, fail
from mien.cli.groups import SHEET_GROUPS, MinFaces, Sheet, draw_groups, groups_table, listed_groups
from mien.cli.photos import Found, PhotoReader, map_together, photo_files
from mien.cli.recognize import check_image_file
from mien.cli.retention import expire
from mien.config import open_app
from mien.domain.errors import MienError

if TYPE_CHECKING:
    from mien.app.groups import GroupService
    from mien.domain import groups as domain
    from mien.domain.records import Recognition

SHOWN_GROUPS = 20


@dataclass(frozen=True, slots=True)
class _Discovery:
    """What was found.

    Attributes:
        found: The photos that were to be read.
        results: The outcome of each that was.
        listed: The largest groups.
        grouped: How many faces of photos that were uploaded before got a group.
        failure: What ended it early.
    """

    found: Found[Path]
    results: Mapping[Path, Recognition | MienError]
    listed: Sequence[domain.Group]
    grouped: int
    failure: BaseException | None

    @property
    def not_reached(self) -> int:
        """How many photos were not read."""
        return len(self.found.photos) - len(self.results)


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
        check_image_file(sheet, context.settings)
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
        listed = listed_groups(app, min_faces, SHEET_GROUPS)
        sheet = draw_groups(app, listed, sheet) if sheet and not failure else None  # which could not be repeated
    discovery = _Discovery(found, results, listed, grouped, failure)
    errors = sorted((photo, result) for photo, result in results.items() if isinstance(result, MienError))
    _print_json(discovery, errors) if as_json else _show(discovery, errors, min_faces, sheet)
    if failure:
        fail(failure)
    if errors:
        raise typer.Exit(ExitCode.REJECTED)


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


def _print_json(discovery: _Discovery, errors: Sequence[tuple[Path, MienError]]) -> None:
    files, people = _files(discovery.results)
    output.print_json(
        {
            "photos": len(discovery.results) - len(errors),
            "not_reached": discovery.not_reached,
            "skipped": discovery.found.skipped,
            "known": people,
            "grouped": discovery.grouped + sum(map(len, files.values())),
            "groups": [
                {**output.jsonable(group), "photos": files.get(group.group_id, [])} for group in discovery.listed
            ],
            "refused": [{"photo": photo, "error": error_json(error)} for photo, error in errors],
            "error": discovery.failure and error_json(discovery.failure),
        }
    )


def _show(discovery: _Discovery, errors: Sequence[tuple[Path, MienError]], min_faces: int, sheet: Path | None) -> None:
    files, people = _files(discovery.results)
    listed, strangers = discovery.listed, discovery.grouped + sum(map(len, files.values()))
    if listed:
        names = {group_id: [Path(photo).name for photo in own] for group_id, own in files.items()}
        output.show(groups_table(listed[:SHOWN_GROUPS], names))
    for photo, error in errors:
        output.note_about(photo, str(error))
    photos = output.count(len(discovery.results) - len(errors), "photo")
    known = f"{output.count(sum(people.values()), 'face')} of {output.count(len(people), 'known person')}"
    not_reached = f" {output.count(discovery.not_reached, 'photo')} not reached: repeat the command to go on."
    not_reached *= bool(discovery.failure)
    output.show(f"{photos}: {known}, {output.count(strangers, 'unknown face')}.{not_reached}")
    if min_faces > 1 and strangers:
        output.show(f"Groups of fewer than {min_faces} faces are not shown; --min-faces 1 shows them.")
    if len(listed) > SHOWN_GROUPS:
        output.show(f"The {SHOWN_GROUPS} largest groups are shown; mien groups list shows all.")
    if listed:
        seen = sheet or "mien groups list --sheet people.jpg"
        output.show(output.escape(f"See them: {seen}, or mien serve, and Unnamed on the page."))
        output.show(output.escape(f"Say who they are: mien groups name {listed[0].group_id} NAME"))
    discovery.found.note_skipped()


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
