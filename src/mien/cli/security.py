"""Manage access: API keys (`mien keys`) and the audit log (`mien audit`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import new_files, output
from mien.cli.command import Command, Context, Json, Limit
from mien.cli.exit_codes import ExitCode
from mien.config import open_embedded
from mien.domain.dates import parse_moment
from mien.domain.errors import InvalidInput, SetupError, StorageFull
from mien.domain.faces import iterate_pages
from mien.security.api_keys import KeyFile, Scope, key_id_of
from mien.security.audit import Action, AuditEntry, AuditFilter
from mien.settings import Backend, Settings

if TYPE_CHECKING:
    from mien.backends.embedded.audit import SqliteAudit


keys = typer.Typer(
    help="Create, list and revoke API keys, in MIEN_API_KEYS_FILE or, on AWS, in MIEN_KEYS_SECRET.",
    no_args_is_help=True,
)


@keys.command(cls=Command)
def create(
    context: Context,
    name: Annotated[str, typer.Argument(help="What the key is for, such as the name of a device.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            metavar="SCOPE",
            help="What the key may do: upload, recognize or manage; may be given several times. Default: everything.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a key. It is shown only once; only its hash is stored."""
    with _key_file(context.settings) as file:
        key = file.create(name, scope or list(Scope))
    context.activity.key_id = key_id_of(key)
    if as_json:
        output.print_json({"key": key})
    else:
        typer.echo(key)
    output.note("Store it in a safe place: it is not shown again.")


@keys.command(name="list", cls=Command)
def list_keys(context: Context, as_json: Json = False) -> None:
    """List the keys: their ids, names and scopes."""
    with _key_file(context.settings) as file:
        stored = file.list()
    context.activity.counts["listed"] = len(stored)
    if as_json:
        output.print_json(
            {"keys": [{"id": key.key_id, "name": key.name, "scopes": sorted(key.scopes)} for key in stored]}
        )
        return
    table = output.table("Id", "Name", "Scopes")
    for key in stored:
        table.add_row(key.key_id, output.escape(key.name), ", ".join(sorted(key.scopes)))
    output.show(table if stored else "There are no API keys.")


@keys.command(cls=Command)
def revoke(
    context: Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `mien keys list` shows.")],
    as_json: Json = False,
) -> None:
    """Revoke a key. A running server refuses it at once, a stack on AWS within a minute."""
    with _key_file(context.settings) as file:
        try:
            file.revoke(key_id)
        except StorageFull:  # whoever has the key may have filled the disk with it
            if not _has_made_room(context.settings):
                raise
            file.revoke(key_id)
    context.activity.key_id = key_id
    if as_json:
        output.print_json({"revoked": key_id})
    output.note(f"The key {key_id} is revoked.")


def _has_made_room(settings: Settings) -> bool:
    """Free the space that the data folder reserves, and return whether there was any."""
    from mien.backends.embedded.disk_reserve import DiskReserve

    return settings.backend is Backend.EMBEDDED and DiskReserve(settings.data_dir / "reserve").release()


@contextmanager
def _key_file(settings: Settings) -> Iterator[KeyFile]:
    if settings.backend is not Backend.AWS:
        yield KeyFile(settings.api_keys_file or settings.default_keys_file)
        return
    if settings.keys_secret is None:
        raise SetupError("Set MIEN_KEYS_SECRET to the stack's output ApiKeysSecret.")
    from mien.backends.aws.secret_keys import edit_keys

    with edit_keys(settings.keys_secret) as file:
        yield file


PAGE_SIZE = 1000


def audit(
    context: Context,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Only entries from this time on, in UTC.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Only entries before this time, in UTC.")] = None,
    action: Annotated[
        Action | None, typer.Option(metavar="ACTION", help="Only entries of this action, such as erase.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help='Only entries of this caller, such as "key 1a2b3c4d" or "command line".')
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="Only entries that concern this person, by id or exact name.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no entry is missing or was changed.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the entries to this new file, for you alone, one JSON object a line."),
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show who did what, when, with what outcome; the newest first.

    With --verify: exit code 0 when the log is whole, 1 when it is not.
    """
    settings = _embedded(context.settings)
    if export:
        new_files.check_new(export, settings)
    backend = open_embedded(settings)
    with backend.app as app:
        user_ids = () if person is None else app.ids_of(person)
        context.activity.user_ids.update(user_ids)
        if len(user_ids) > 1:
            output.note(f"{person} may be any of these ids: {', '.join(user_ids)}.")
        wanted = AuditFilter(_moment(since), _moment(until), action, actor, user_ids)
        if verify:
            context.activity.counts["breaks"] = _verify(backend.audit, as_json=as_json)
        elif export:
            context.activity.counts["audit_entries"] = _export(backend.audit, wanted, export, as_json=as_json)
        else:
            entries = _find(backend.audit, wanted, limit)
            context.activity.counts["listed"] = len(entries)
            _show(entries, as_json=as_json)
    if context.activity.counts["breaks"]:
        raise typer.Exit(ExitCode.NO)


def _embedded(settings: Settings) -> Settings:
    if settings.backend is Backend.AWS:
        raise InvalidInput("On AWS, the audit log is in CloudWatch: look for the field `audit` in the functions' logs.")
    return settings


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text)


def _find(log: SqliteAudit, wanted: AuditFilter, limit: int) -> list[AuditEntry]:
    size = min(limit, PAGE_SIZE)
    return list(islice(iterate_pages(lambda token: log.find(wanted, size, token)), limit))


def _show(entries: list[AuditEntry], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"entries": entries})
        return
    table = output.table(">Entry", "Time", "Who", "Action", "Outcome", "Counts")
    for entry in entries:
        counts = ", ".join(f"{name} {count}" for name, count in entry.counts.items())
        time = entry.time[:19].replace("T", " ")
        row = (time, entry.actor, entry.action, entry.outcome, counts)
        table.add_row(str(entry.sequence), *map(output.escape, row))
    output.show(table if entries else "There are no such entries.")


def _export(log: SqliteAudit, wanted: AuditFilter, file: Path, *, as_json: bool) -> int:
    count = 0
    with new_files.writing(file, new_files.PRIVATE_MODE) as stream:
        for item in log.export(wanted):
            stream.write(f"{item}\n".encode())
            count += 1
    if as_json:
        output.print_json({"entries": count, "file": file})
    else:
        output.note(f"Written: {output.count(count, 'entry')} to {file}.")
    return count


def _verify(log: SqliteAudit, *, as_json: bool) -> int:
    """Print where the log is broken, or its last entry; return the number of breaks."""
    breaks, head = log.breaks(), log.head()
    if as_json:
        output.print_json({"whole": not breaks, "breaks": breaks, "last": head and head.sequence})
    elif breaks:
        output.show(output.escape("\n".join(found.reason for found in breaks)))
    else:
        last = f" Entry {head.sequence} is the last; its SHA-256 is {head.digest}." if head else ""
        output.show(f"The audit log is whole.{last}")
    return len(breaks)
