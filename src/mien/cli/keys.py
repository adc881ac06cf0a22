"""Create, list and revoke API keys: `mien keys`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Command, Context, Json
from mien.config import Backend, Settings
from mien.domain.errors import SetupError
from mien.security.api_keys import KeyFile, Scope, key_id_of

keys = typer.Typer(
    help="Create, list and revoke API keys, in MIEN_API_KEYS_FILE or, on AWS, in MIEN_KEYS_SECRET.",
    no_args_is_help=True,
)


@keys.command(cls=Command)
def create(
    context: Context,
    name: Annotated[str, typer.Argument(help="What the key is for, such as the name of a device.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What the key may do; may be given several times. Default: everything.")
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
        file.revoke(key_id)
    context.activity.key_id = key_id
    if as_json:
        output.print_json({"revoked": key_id})
    output.note(f"The key {key_id} is revoked.")


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
