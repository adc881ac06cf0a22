"""Put photos into a folder for each person: `mien sort`. Shows the plan first; `--yes` carries it out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.discover import remember_all
from mien.cli.exit_codes import ExitCode, error_json, fail
from mien.cli.journal import JOURNAL
from mien.cli.photos import Found, PhotoReader, map_photos, photo_files, real_path
from mien.cli.placing import Folder, Placing, Undone, opened
from mien.cli.retention import expire
from mien.cli.sidecars import XMP_SUFFIX, Region, sidecar
from mien.config import open_app
from mien.domain.errors import InvalidInput, MienError, StorageReadOnly
from mien.domain.object_keys import fold
from mien.settings import Backend

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Recognition, RecognizedFace

STRANGERS, NO_FACES = "Unknown", "No faces"
"""The folders of people whom nobody has named, and of photos that show nobody."""

MIN_GROUP_FACES = 2
MAX_FOLDER_BYTES = 200
EXIF_ORIENTATION = 274
_PLACED = {Placing.COPY: "copied", Placing.LINK: "linked", Placing.MOVE: "moved"}
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
    no_groups: Annotated[
        bool, typer.Option("--no-groups", help="Do not group strangers, of whom then nothing is kept.")
    ] = False,
    undo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Undo what was sorted into this folder instead.")
    ] = None,
    trust_journal: Annotated[
        bool, typer.Option("--trust-journal", help="With --undo: put photos back that another user or system moved.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sort photos into a folder for each person. Shows the plan; `--yes` carries it out, `--undo DIR` undoes it.

    A photo of several people is put into the folder of each. Strangers are grouped as by `mien discover`, and each
    group of several faces has a folder. Links that lead out of the folders are passed over. Repeat an interrupted
    command to continue it.
    """
    if undo is not None:
        with opened(undo, make=False) as sorted_folder:
            undone = sorted_folder.undo(trusting=trust_journal)
        _show_undone(undone, as_json=as_json)
        return
    if into is None or not paths:
        raise InvalidInput("Name photos and, with --into DIR, the folder in which the people's folders are made.")
    if copy + link + move > 1:
        raise InvalidInput("Choose one of --copy, --link and --move.")
    placing = Placing.LINK if link else Placing.MOVE if move else Placing.COPY
    found, outside = _within(photo_files(paths), paths, real_path(into))
    failure: BaseException | None = None
    done: list[Sorted] = []
    with opened(into, make=True) if yes else nullcontext() as folder:
        plan = _planned(context, found.photos, with_groups=not no_groups)
        if folder is not None:
            try:
                _carry_out(plan, done, folder, placing, with_sidecars=with_sidecars)
            except (MienError, KeyboardInterrupt) as error:
                failure = error
    _report(plan, done if yes else None, found, into, placing, failure, as_json=as_json)
    if outside and not as_json:
        output.note(f"Passed over {output.count(outside, 'photo')} to which links lead out of the folders.")
    if failure:
        fail(failure)
    if any(photo.refused for photo in (done if yes else plan)):
        raise typer.Exit(ExitCode.REJECTED)


def _within(found: Found[Path], paths: Sequence[Path], into: Path) -> tuple[Found[Path], int]:
    """Leave out what is sorted already, and what a link leads to that lies elsewhere; count the latter.

    Raises InvalidInput where all that was named is sorted already. Some of it may be: a shell that expands `photos/*`
    names `photos/sorted`, too, when the command is repeated.
    """
    if all(into in {real_path(path), *real_path(path).parents} for path in paths):
        raise InvalidInput(f"{paths[0]} lies in {into}, and what lies there is not sorted again: name another folder.")
    roots = set(map(real_path, paths))
    places = {photo: real_path(photo) for photo in found.photos}
    named = set(paths)
    reached = [photo for photo, place in places.items() if photo in named or roots & {place, *place.parents}]
    kept = [photo for photo in reached if into not in places[photo].parents]
    return replace(found, photos=kept), len(places) - len(reached)


def _planned(context: Context, photos: Sequence[Path], *, with_groups: bool) -> list[Sorted]:
    with open_app(context.settings) as app:
        expire(context.settings, app)
        has_groups = context.settings.backend is Backend.EMBEDDED
        results = _recognized(context, app, photos, with_groups=has_groups and with_groups)
        context.activity.note(list(results.values()))
        return _plan(app, results, with_groups=has_groups)


def _recognized(
    context: Context, app: FaceApp, photos: Sequence[Path], *, with_groups: bool
) -> Mapping[Path, Recognition | MienError]:
    """Recognise photos and, where that can be stored, group the strangers in them."""
    read = PhotoReader(app.policy.max_image_bytes)
    if with_groups:
        try:
            return remember_all(app.groups, photos, read, "Recognising")
        except StorageReadOnly:
            output.note("The data folder is read-only: strangers are not grouped.")
    job = partial(_recognize, app, read)
    return dict(map_photos(context.settings, photos, job, "Recognising"))


def _recognize(app: FaceApp, read: PhotoReader, photo: Path) -> Recognition:
    return app.recognize(read(photo), store=False)


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
    """The folders of the groups that faces of strangers belong to, or that they are like."""
    groups = {face.group_id for face in faces}
    like = [face.candidates[:1] for face in faces if face.group_id is None]
    face_ids = [each.face_id for candidates in like for each in candidates if each.user_id is None]
    groups |= {app.face(face_id).group_id for face_id in face_ids if face_id is not None}
    counts = app.groups.counts([group_id for group_id in groups if group_id is not None])
    return sorted(f"{STRANGERS}/{each}" for each, count in counts.items() if count.faces >= MIN_GROUP_FACES)


def _folder_names(people: Mapping[str, str]) -> dict[str, str]:
    """Name a folder for each person, by user id: safe on every system, and never the same for two people."""
    taken = {fold(STRANGERS), fold(NO_FACES)}
    names = {}
    for user_id, name in sorted(people.items()):
        folder = folder_name(name)
        for suffix in chain([f" ({user_id})"], (f" ({number})" for number in count(2))):
            if fold(folder) not in taken:
                break
            folder = folder_name(name, suffix)
        taken.add(fold(folder))
        names[user_id] = folder
    return names


def folder_name(name: str, suffix: str = "") -> str:
    """Return a person's name as the name of a folder that Linux, macOS and Windows allow; a suffix is never cut off."""
    safe, end = (_UNSAFE.sub("_", unicodedata.normalize("NFC", text)) for text in (name.strip(" "), suffix))
    safe = f"{safe}_" if _DEVICES.fullmatch(safe.rstrip(". ")) else safe.rstrip(". ")
    end = end.rstrip(". ")
    cut = safe.encode()[: MAX_FOLDER_BYTES - len(end.encode())].decode(errors="ignore")
    return (cut + end).rstrip(". ") or "_"


def _carry_out(
    plan: Sequence[Sorted], done: list[Sorted], folder: Folder, placing: Placing, *, with_sidecars: bool
) -> None:
    """Place the photos, and add to `done` what became of each."""
    for photo in plan:
        result = photo if photo.refused else _place(photo, folder, placing, with_sidecar=with_sidecars)
        done += [result]


def _place(photo: Sorted, folder: Folder, placing: Placing, *, with_sidecar: bool) -> Sorted:
    try:
        xmp = _sidecar(photo) if with_sidecar and photo.regions else None
        places, has_stayed = folder.place(photo.photo, photo.folders, placing)
        for place in places if xmp is not None else ():
            folder.write(place.with_name(place.name + XMP_SUFFIX), xmp or b"")
    except OSError as error:
        return Sorted(photo.photo, (), refused=f"It cannot be {_PLACED[placing]}: {error.strerror}.")
    stayed = "It was copied, but its folder is read-only: it is still there, too."
    return replace(photo, refused=stayed if has_stayed else None)


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
    done: Sequence[Sorted] | None,
    found: Found[Path],
    into: Path,
    placing: Placing,
    failure: BaseException | None,
    *,
    as_json: bool,
) -> None:
    """Tell what was done or, without `done`, what would be."""
    shown = plan if done is None else done
    counts = Counter(folder for photo in shown for folder in photo.folders)
    if as_json:
        output.print_json(
            {
                "done": done is not None and failure is None,
                "placing": placing,
                "folders": dict(sorted(counts.items())),
                "photos": [{"photo": each.photo, "folders": each.folders, "problem": each.refused} for each in shown],
                "not_reached": len(plan) - len(shown),
                "skipped": found.skipped,
                "error": failure and error_json(failure),
            }
        )
        return
    table = output.table("Folder", ">Photos")
    for folder, count_of_photos in sorted(counts.items()):
        table.add_row(output.escape(folder), f"{count_of_photos:,}")
    if counts:
        output.show(table)
    for photo in shown:
        if photo.refused:
            output.note_about(photo.photo, photo.refused)
    output.show(output.escape(_outcome(plan, done, len(counts), into, placing, failure)))
    found.note_skipped()


def _outcome(
    plan: Sequence[Sorted],
    done: Sequence[Sorted] | None,
    folders: int,
    into: Path,
    placing: Placing,
    failure: BaseException | None,
) -> str:
    """Say in a sentence or two how many photos came, or would come, into so many folders, and what to do next."""
    photos = output.count(sum(bool(photo.folders) for photo in (plan if done is None else done)), "photo")
    where = f"{photos} {{}} into {output.count(folders, 'folder')} of {into}."
    if done is None:
        return f"{where.format(f'would be {_PLACED[placing]}')} No photo is touched yet: add --yes to do it."
    if failure:
        not_reached = f"{output.count(len(plan) - len(done), 'photo')} not reached."
        next_step = f"Repeat the command to go on, or undo it: mien sort --undo {into}"
        return f"{where.format(_PLACED[placing])} {not_reached} {next_step}"
    return where.format(_PLACED[placing]) + f" To undo it: mien sort --undo {into}" * bool(folders)


def _show_undone(undone: Undone, *, as_json: bool) -> None:
    if as_json:
        output.print_json(undone)
    else:
        restored = f", {output.count(undone.restored, 'photo')} put back" * bool(undone.restored)
        output.show(f"{output.count(undone.removed, 'file')} removed{restored}.")
        for path in undone.kept:
            output.note(f"{path} was changed, or its photo is gone from where it came: it is left.")
        if undone.unsealed:
            files = output.count(len(undone.unsealed), "photo")
            output.note(
                f"{files} left: moved by another user or on another system, or somebody has edited {JOURNAL}. If you "
                "trust it with where they are put, add --trust-journal."
            )
    if undone.kept or undone.unsealed:
        raise typer.Exit(ExitCode.REJECTED)
