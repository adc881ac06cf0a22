"""Examine and repair the enrolled people's data: `mien inspect`, `repair` and `verify-erased`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mien.app.reconciliation import Reconciliation
from mien.cli import output
from mien.cli.backup import note_backups
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode
from mien.cli.past import photo_file
from mien.config import open_app, open_embedded
from mien.domain.errors import FaceNotFound, UserNotFound
from mien.domain.groups import is_group_id
from mien.settings import Backend, Settings

if TYPE_CHECKING:
    from mien.app.app import FaceApp

REPAIRS = {
    "erasures": "Interrupted erasures completed",
    "recognitions_expired": "Recognitions expired",
    "photos_expired": "Photos of nobody expired",
    "people_expired": "People erased whose consent has ended",
    "photos_without_state": "Unfinished photos indexed",
    "photos_failed": "Photos that could not be indexed (--retry-failed tries them again)",
    "photos_deleted_by_hand": "Photos deleted by hand, their faces removed",
    "faces_without_metadata": "Faces without metadata removed",
    "metadata_without_face": "Metadata without a face removed",
    "faces_without_photo": "Faces that their photo does not show any more, removed",
    "people_without_claim": "People whose id or name nothing reserved, reserved now",
    "faces_of_erased": "Faces that an erasure had left, removed",
    "uploads_unlisted": "Photos of nobody that would never have expired, will now",
    "people_miscounted": "People whose number of faces was missing or wrong, counted anew",
    "foreign_faces": "Faces of others in the same collection, left alone",
}


def inspect(context: Context, as_json: Json = False) -> None:
    """Look for mistakes among the people who are enrolled: one face with two names, duplicates, poor photos.

    Exit code 0 when nothing is found, 1 when something is. Nothing is changed.
    """
    with open_app(context.settings) as app:
        issues = app.inspect()
        photos = {face_id: _describe(context.settings, app, face_id) for issue in issues for face_id in issue.face_ids}
    context.activity.note(list(issues))
    if as_json:
        output.print_json({"findings": issues})
    else:
        for issue in issues:
            shown = "".join(f"\n  {line}" for line in (*map(photos.__getitem__, issue.face_ids), issue.action))
            output.show(output.escape(f"{issue.evidence}{shown}\n"))
        hint = "To correct them: mien move PHOTO PERSON, mien merge PERSON INTO, or mien forget --face FACE."
        output.show(hint if issues else "No mistakes found among the people enrolled.")
    raise typer.Exit(ExitCode.NO if issues else ExitCode.SUCCESS)


def _describe(settings: Settings, app: FaceApp, face_id: str) -> str:
    """Name a face's person and photo."""
    try:
        face = app.face(face_id)
    except FaceNotFound:
        return f"face {face_id}"
    return f"{face.name}: {photo_file(settings, face.image_path) or face.image_path} (face {face_id})"


def repair(
    context: Context,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Repair even if suspiciously much is to be removed.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Only count what there is to repair.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try photos again whose indexing failed for good.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Complete what a crash interrupted: erasures, and photos that were not indexed.

    Also removes the faces of photos that were deleted by hand, and what else lacks its photo or its face. Faces that
    others keep in the same collection are counted and left alone. Exit code 1 when there is so much to remove, more
    than 10 things or more than 1 % of the faces, that nothing was removed: find out why, and repeat with --yes. A
    single thing is always removed.
    """
    settings = context.settings
    repair_all = _repair_stack if settings.backend is Backend.AWS else _repair_folder
    counts, is_stopped = repair_all(context, force=yes, report=report, retry_failed=retry_failed)
    context.activity.counts.update(counts)
    if as_json:
        output.print_json({**counts, "stopped": is_stopped})
    else:
        _show_repairs(counts, is_stopped=is_stopped, report=report)
    raise typer.Exit(ExitCode.NO if is_stopped else ExitCode.SUCCESS)


def _show_repairs(counts: dict[str, int], *, is_stopped: bool, report: bool) -> None:
    if is_stopped:
        output.show("Nothing was repaired: this is suspiciously much to remove. If it is right, repeat with --yes.")
    elif report and any(counts.values()):
        output.show("Without --report, this would be repaired:")
    for name, count in counts.items():
        if count:
            output.show(f"{REPAIRS[name]}: {count}")
    if not any(counts.values()):
        output.show("Nothing to repair.")


def _repair_folder(context: Context, *, force: bool, report: bool, retry_failed: bool) -> tuple[dict[str, int], bool]:
    """Repair a data folder. Photos are indexed from the queue, which counts even attempts that end this process."""
    from mien.backends.embedded.backup import remove_abandoned

    backend = open_embedded(context.settings)
    with backend.app as app:
        if report:
            return _counts({"erasures": 0}, app.reconcile(repair=False))
        backend.database.check_writable()  # a repair leaves out what it cannot do, and would seem to be done
        ended = _end(app, context)
        backend.bucket.remove_abandoned_drafts()
        remove_abandoned(backend.data_dir)
        if retry_failed:
            backend.queue.retry_dead()
        done = app.reconcile(repair=True, force=force, retry_failed=retry_failed, index=backend.queue.add)
        if not done.is_stopped:
            worker = backend.worker(threads=1)
            while worker.run_once():
                pass
        return _counts(ended, done)


def _repair_stack(context: Context, *, force: bool, report: bool, retry_failed: bool) -> tuple[dict[str, int], bool]:
    from mien.backends.aws.stack import GRACE_SECONDS

    with open_app(context.settings) as app:
        ended = {"erasures": 0} if report else _end(app, context)
        done = app.reconcile(repair=not report, force=force, grace=GRACE_SECONDS, retry_failed=retry_failed)
        return _counts(ended, done)


def _counts(ended: dict[str, int], done: Reconciliation) -> tuple[dict[str, int], bool]:
    found = output.jsonable(done.found)
    del found["faces"]
    return {**ended, "photos_deleted_by_hand": found.pop("photos_gone"), **found}, done.is_stopped


def _end(app: FaceApp, context: Context) -> dict[str, int]:
    """Finish the erasures that were interrupted, and erase what is over."""
    erasures = app.resume_erasures()
    expiry = app.expire()
    for report in (*erasures, *expiry.receipts):
        context.activity.concern(report.user_id)
    return {
        "erasures": sum(not report.remaining_stores for report in erasures),
        "recognitions_expired": expiry.recognitions,
        "photos_expired": expiry.photos,
        "people_expired": len(expiry.receipts),
    }


def _enrolled_or_erased(app: FaceApp, text: str) -> tuple[str, ...]:
    with suppress(UserNotFound):
        return (app.find_person(text).user_id,)
    return app.erased_ids(text) or ((text,) if is_group_id(text) else ())  # a group leaves no receipt


def verify_erased(
    context: Context,
    user: Annotated[str, typer.Argument(metavar="NAME", help="The person who was erased, by name or by user id.")],
    as_json: Json = False,
) -> None:
    """Check that no data of a person remains in any store.

    Exit code 0 when none remains, 1 when some does, or when nobody was erased under this name or id.
    """
    with open_app(context.settings) as app:
        user_ids = _enrolled_or_erased(app, user)
        found: list[str] = []
        for user_id in user_ids or (user,):  # without a receipt, something may be left, too
            context.activity.concern(user_id)
            found += app.verify_erased(user_id)
        stores = list(dict.fromkeys(found))
        if not user_ids and not stores:
            raise UserNotFound("Nobody was erased under this name or id.")
    context.activity.counts["stores_with_remains"] = len(stores)
    if as_json:
        output.print_json({"erased": not stores, "traces": stores})
    else:
        left = f"Data of {user} remains in: {', '.join(stores)}."
        output.show(output.escape(left if stores else f"No data of {user} remains in any store."))
    note_backups(context.settings)
    raise typer.Exit(ExitCode.NO if stores else ExitCode.SUCCESS)
