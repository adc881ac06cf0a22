"""Put photos into a folder for each person: `mien sort`. Shows the plan first; `--yes` carries it out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode, error_json, fail
from mien.cli.photos import Found, PhotoReader, map_photos, photo_files
from mien.cli.placing import Folder, Placing, Undone
from mien.cli.retention import expire
from mien.cli.sidecars import XMP_SUFFIX, Region, sidecar
from mien.config import Backend, open_app
from mien.domain.errors import InvalidInput, MienError
from mien.domain.object_keys import fold

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Recognition, RecognizedFace

STRANGERS, NO_FACES = "Unknown", "No faces"
"""The folders of people whom nobody has named, and of photos that show nobody."""

MIN_GROUP_FACES = 2
MAX_FOLDER_BYTES = 200
EXIF_ORIENTATION = 274
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]|^\.+')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sorted:
    """A photo, the folders for it, and who is where in it; `refused` says why nothing could be done with it."""

    photo: Path
    folders: tuple[str, ...]
    regions: tuple[Region, ...] = ()
    refused: str | None = None


def sort(
    context: Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="Photos, or folders of photos.")] = None,
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the people's folders are made.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photos (the default).")] = False,
    link: Annotated[bool, typer.Option("--link", help="Make hard links; on another disk symbolic ones.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move the photos.")] = False,
    with_sidecars: Annotated[
        bool, typer.Option("--sidecar", help="Write an XMP file with names and their places beside each photo.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Carry the plan out; else nothing is changed.")] = False,
    undo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Undo what was sorted into this folder instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Sort photos into a folder for each person. Shows the plan; `--yes` carries it out, `--undo DIR` undoes it.

    A photo of several people is put into the folder of each. Strangers have a folder for each group, once
    `mien discover` has grouped them. Repeat an interrupted command to continue it.
    """
    if undo is not None:
        _show_undone(Folder(undo).undo(), as_json=as_json)
        return
    if into is None or not paths:
        raise InvalidInput("Name photos and, with --into DIR, the folder in which the people's folders are made.")
    if copy + link + move > 1:
        raise InvalidInput("Choose one of --copy, --link and --move.")
    placing = Placing.LINK if link else Placing.MOVE if move else Placing.COPY
    found = photo_files(paths)
    target = into.resolve()
    photos = [photo for photo in found.photos if target not in photo.resolve().parents]
    with open_app(context.settings) as app:
        expire(context.settings, app)
        read = PhotoReader(app.policy.max_image_bytes)
        results: dict[Path, Recognition | MienError] = dict(
            map_photos(context.settings, photos, lambda photo: app.recognize(read(photo), store=False), "Recognising")
        )
        context.activity.note(list(results.values()))
        plan = _plan(app, results, with_groups=context.settings.backend is Backend.EMBEDDED)
    failure: BaseException | None = None
    if yes:
        try:
            plan = _carry_out(plan, Folder(into), placing, with_sidecars=with_sidecars)
        except (MienError, KeyboardInterrupt) as error:
            failure = error
    _report(plan, found, into, placing, failure, is_done=yes, as_json=as_json)
    if failure:
        fail(failure)
    if any(photo.refused for photo in plan):
        raise typer.Exit(ExitCode.REJECTED)


def _plan(app: FaceApp, results: Mapping[Path, Recognition | MienError], *, with_groups: bool) -> list[Sorted]:
    recognized = {photo: result for photo, result in results.items() if not isinstance(result, MienError)}
    people = {
        face.user_id: face.name or face.user_id
        for result in recognized.values()
        for face in result.faces
        if face.user_id is not None
    }
    folders = _folder_names(people)
    plan = []
    for photo, result in sorted(results.items()):
        if isinstance(result, MienError):
            plan.append(Sorted(photo, (), refused=str(result)))
            continue
        named = [face for face in result.faces if face.user_id is not None]
        own = [folders[face.user_id or ""] for face in named]
        own += _groups(app, [face for face in result.faces if face.user_id is None]) if with_groups else []
        default = STRANGERS if result.faces else NO_FACES
        regions = tuple(Region(face.name or face.user_id or "", face.box) for face in named)
        plan.append(Sorted(photo, tuple(dict.fromkeys(own)) or (default,), regions))
    return plan


def _groups(app: FaceApp, faces: Sequence[RecognizedFace]) -> list[str]:
    """The folders of the groups that faces of strangers belong to."""
    like = [candidate.face_id for face in faces for candidate in face.candidates[:1] if candidate.user_id is None]
    groups = {app.face(face_id).group_id for face_id in like if face_id is not None} - {None}
    counts = app.groups.counts([group_id for group_id in groups if group_id is not None])
    return sorted(f"{STRANGERS}/{each}" for each, count in counts.items() if count.faces >= MIN_GROUP_FACES)


def _folder_names(people: Mapping[str, str]) -> dict[str, str]:
    """Name a folder for each person, by user id: safe on every system, and never the same for two people."""
    taken = {fold(STRANGERS), fold(NO_FACES)}
    names = {}
    for user_id, name in sorted(people.items()):
        folder = folder_name(name)
        if fold(folder) in taken:
            folder = folder_name(f"{name} ({user_id})")
        taken.add(fold(folder))
        names[user_id] = folder
    return names


def folder_name(name: str) -> str:
    """Return a person's name as the name of a folder that Linux, macOS and Windows allow."""
    safe = _UNSAFE.sub("_", unicodedata.normalize("NFC", name).strip(" ")).rstrip(". ")
    safe = f"{safe}_" if _DEVICES.fullmatch(safe) else safe
    return safe.encode()[:MAX_FOLDER_BYTES].decode(errors="ignore").rstrip(". ") or "_"


def _carry_out(plan: Sequence[Sorted], folder: Folder, placing: Placing, *, with_sidecars: bool) -> list[Sorted]:
    done = []
    for photo in plan:
        if photo.refused:
            done.append(photo)
            continue
        try:
            xmp = _sidecar(photo) if with_sidecars and photo.regions else None
            places, has_stayed = folder.place(photo.photo, photo.folders, placing)
        except OSError as error:
            done.append(Sorted(photo.photo, (), refused=f"{photo.photo} cannot be read: {error.strerror}."))
            continue
        if xmp is not None:
            for place in places:
                folder.write(place.with_name(place.name + XMP_SUFFIX), xmp)
        stayed = f"{photo.photo} was copied, but its folder is read-only: it is still there, too."
        done.append(Sorted(photo.photo, photo.folders, photo.regions, stayed if has_stayed else None))
    return done


def _sidecar(photo: Sorted) -> bytes:
    from PIL import Image

    from mien.annotate import open_upright

    content = photo.photo.read_bytes()
    try:
        with Image.open(photo.photo) as image:
            (width, height), orientation = image.size, image.getexif().get(EXIF_ORIENTATION, 1)
    except OSError:  # a format that Pillow does not open, such as HEIC, which knows no EXIF orientation
        (width, height), orientation = open_upright(content).size, 1
    return sidecar(photo.regions, width, height, orientation if orientation in range(1, 9) else 1)


def _report(
    plan: Sequence[Sorted],
    found: Found[Path],
    into: Path,
    placing: Placing,
    failure: BaseException | None,
    *,
    is_done: bool,
    as_json: bool,
) -> None:
    counts = Counter(folder for photo in plan for folder in photo.folders)
    if as_json:
        output.print_json(
            {
                "done": is_done and failure is None,
                "placing": placing,
                "folders": dict(sorted(counts.items())),
                "photos": [{"photo": each.photo, "folders": each.folders, "problem": each.refused} for each in plan],
                "skipped": found.skipped,
                "error": failure and error_json(failure),
            }
        )
        return
    table = output.table("Folder", ">Photos")
    for folder, count in sorted(counts.items()):
        table.add_row(output.escape(folder), f"{count:,}")
    if counts:
        output.show(table)
    for photo in plan:
        if photo.refused:
            output.note(photo.refused)
    photos = output.count(sum(bool(photo.folders) for photo in plan), "photo")
    folders = output.count(len(counts), "folder")
    verb = {Placing.COPY: "copied", Placing.LINK: "linked", Placing.MOVE: "moved"}[placing]
    if is_done:
        sentence = f"{photos} {verb} into {folders} of {into}. To undo it: mien sort --undo {into}"
    else:
        sentence = f"{photos} would be {verb} into {folders} of {into}. Nothing is changed yet: add --yes to do it."
    if not failure:
        output.show(output.escape(sentence))
    found.note_skipped()


def _show_undone(undone: Undone, *, as_json: bool) -> None:
    if as_json:
        output.print_json(undone)
    else:
        restored = f", {output.count(undone.restored, 'photo')} put back" * bool(undone.restored)
        output.show(f"{output.count(undone.removed, 'file')} removed{restored}.")
        for path in undone.kept:
            output.note(f"{path} was changed, or its photo is gone from where it came: it is left.")
    if undone.kept:
        raise typer.Exit(ExitCode.REJECTED)
