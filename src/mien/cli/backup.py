"""Keep and bring back a data folder: `mien backup`, `restore` and `reset`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.data_folder import unused
from mien.config import open_audit, open_embedded
from mien.domain.errors import InvalidInput, NotFound, StorageBusy, StorageDamaged
from mien.security.audit import COMMAND_LINE, DONE, Action, Activity, AuditFilter
from mien.settings import Backend, Settings

BACKUPS = AuditFilter(action=Action.BACK_UP)
MAX_LOOKED_AT = 20

PassphraseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The passphrase is the first line of this file.")
]


def backup(
    context: Context,
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Put the API keys' hashes in it, too.")] = False,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Encrypt it; the passphrase is asked for.")] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Copy the data folder into one file, while it is in use. The file is read again before it gets its name.

    It holds people, faces, photos, stored recognitions and the audit log. Restore it with `mien restore`.
    """
    from mien.backends.embedded.backup import back_up

    settings = _embedded(context.settings)
    if not (settings.data_dir / "mien.db").exists():
        raise InvalidInput(f"{settings.data_dir} holds no data yet.")
    keys_file = settings.api_keys_file or settings.default_keys_file
    if with_keys and not keys_file.exists():
        raise InvalidInput(f"There is no file of API keys {keys_file}.")
    passphrase = _read_passphrase(passphrase_file) if passphrase_file else None
    if encrypt and passphrase is None:
        passphrase = _checked(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))
    backend = open_embedded(settings)
    with backend.app:
        made = back_up(backend, file, keys_file=keys_file if with_keys else None, passphrase=passphrase)
    context.activity.counts.update(people=made.people, faces=made.faces, photos=made.photos)
    if as_json:
        output.print_json({"file": file, **output.jsonable(made)})
        return
    size = f"{made.size / 1e6:.1f} MB{', encrypted' if made.is_encrypted else ''}"
    output.show(output.escape(f"Backed up {_counts(made.people, made.faces, made.photos)} to {file} ({size})."))
    if not made.is_encrypted:
        output.note("The file is not encrypted: whoever reads it has all photos and faces.")


def restore(
    context: Context,
    file: Annotated[Path, typer.Argument(help="The backup.")],
    forgotten_in: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The data folder that was backed up, as it is now: who was forgotten there is forgotten here, too.",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a data folder from a backup. Restores all of it or nothing, and never into a folder that holds data.

    Consents and stored results that have ended since are erased at once, and erasures that were under way are finished.
    """
    from mien.backends.embedded.restore import restore as restore_into

    settings = _embedded(context.settings)
    activity = Activity(COMMAND_LINE, Action.RESTORE)

    def ask() -> str:
        if passphrase_file:
            return _read_passphrase(passphrase_file)
        answer: str = typer.prompt("Passphrase", hide_input=True, err=True)
        return answer

    made = restore_into(
        file,
        settings.data_dir,
        lambda folder: open_embedded(replace(settings, data_dir=folder)),
        passphrase=ask,
        former=forgotten_in,
        record=lambda backend: backend.audit.record(activity),
    )
    if as_json:
        output.print_json({"data_dir": settings.data_dir, **output.jsonable(made)})
    else:
        counts = _counts(made.people, made.faces, made.photos)
        output.show(output.escape(f"Restored {counts} to {settings.data_dir}, as of {_minute(made.created_at)} UTC."))
        if made.forgotten:
            output.show(f"Forgot again who had been forgotten since: {made.forgotten}.")
        if made.has_keys:
            output.note("The API keys of the backup are valid in it: `mien keys list` shows them.")
    if forgotten_in is None:
        output.note(
            f"Whoever was forgotten after {_minute(made.created_at)} UTC is enrolled again: forget them once more, or "
            "restore with --forgotten-in if the former data folder still exists."
        )


def reset(
    context: Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Start over: delete all people, photos, recognitions, API keys and the audit log of the data folder for good."""
    from mien.backends.embedded.backend import CONTENT, SIGNS
    from mien.backends.embedded.event_queue import alone
    from mien.backends.embedded.events import PRESENCE_FILE
    from mien.gallery.store import deep_folders

    folder = _embedded(context.settings).data_dir
    found = [folder / name for name in CONTENT if (folder / name).exists()]
    if not any((folder / name).exists() for name in SIGNS):
        raise NotFound(f"There is nothing to delete in {folder}: it is no data folder of Mien.")
    _check_no_links(folder)
    if not yes:
        typer.confirm(f"Delete everything that Mien keeps in {folder}, for good?", abort=True, err=True)
    try:
        with alone(folder / PRESENCE_FILE), unused(folder):
            for path in (*found, folder / PRESENCE_FILE):
                is_folder = path.is_dir() and not path.is_symlink()
                deep_folders.remove(path) if is_folder else path.unlink(missing_ok=True)
    except BlockingIOError:
        raise StorageBusy("A server is running on this data folder; stop it first.") from None
    if as_json:
        output.print_json({"data_dir": folder, "deleted": [path.name for path in found]})
    else:
        output.show(output.escape(f"Deleted everything that Mien kept in {folder}."))


def _check_no_links(folder: Path) -> None:
    """Raise InvalidInput for a link among what Mien keeps: what it leads to would stay, and seem to be deleted."""
    from mien.backends.embedded.backend import CONTENT

    for path in (folder / name for name in CONTENT):
        if path.is_symlink():
            raise InvalidInput(
                f"{path} is a link to {path.readlink()}, and Mien deletes nothing outside of the data folder: delete "
                "yourself what Mien has put there, remove the link, and repeat the command. Nothing is deleted yet."
            )


def note_backups(settings: Settings) -> None:
    """Say on standard error that backups exist in which somebody who was forgotten may still be."""
    if settings.backend is not Backend.EMBEDDED:
        return
    try:
        with open_audit(settings) as audit:
            entries = audit.find(BACKUPS, MAX_LOOKED_AT, None).items
    except StorageDamaged:  # the person is forgotten all the same
        output.note("Whether there are backups is not known: the audit log cannot be read; see `mien audit --verify`.")
        return
    made = next((entry for entry in entries if entry.outcome == DONE), None)
    if made:
        output.note(
            f"Backups are not searched, and the last one was made on {made.time[:10]}: whichever was made before the "
            "person was forgotten still holds them. Delete it, or restore it with --forgotten-in."
        )


def _embedded(settings: Settings) -> Settings:
    if settings.backend is Backend.AWS:
        raise InvalidInput("This is for a data folder; on AWS, back up the bucket and the tables with AWS Backup.")
    return settings


def _counts(people: int, faces: int, photos: int) -> str:
    kinds = (output.count(faces, "face"), output.count(photos, "photo"))
    return f"{output.count(people, 'person')}, {kinds[0]} and {kinds[1]}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _read_passphrase(file: Path) -> str:
    try:
        return _checked(file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as a passphrase.") from error


def _checked(passphrase: str) -> str:
    if not passphrase:
        raise InvalidInput("The passphrase is empty.")
    return passphrase
