"""`mien serve`: run the server. `mien keys`: manage the API keys that it asks for."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import output
from mien.cli.command import Command, Context, Json
from mien.cli.listening import check_certificate, listen
from mien.config import Backend, Settings
from mien.domain.errors import SetupError
from mien.security.api_keys import KeyFile, Scope

if TYPE_CHECKING:
    from socket import socket

    import uvicorn
    from starlette.types import ASGIApp

KEEP_ALIVE_SECONDS = 75
"""More than the 60 seconds after which usual load balancers end an idle connection, so that they do it, not we."""

TRUSTED_PROXIES = "127.0.0.1"
"""Of FORWARDED_ALLOW_IPS, uvicorn's variable, by default."""

SHUTDOWN_SECONDS = 10

keys = typer.Typer(
    help="Create, list and revoke API keys, in MIEN_API_KEYS_FILE or, on AWS, in MIEN_KEYS_SECRET.",
    no_args_is_help=True,
)


def serve(
    context: Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
    rekognition_only: Annotated[
        bool, typer.Option("--rekognition-only", help="Serve the Rekognition wire API and nothing else.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve HTTPS with this certificate chain, in PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's private key, in PEM.")] = None,
    keep_alive: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds after which an idle connection ends.")
    ] = KEEP_ALIVE_SECONDS,
) -> None:
    """Serve the REST API, the web page and the Rekognition wire API at one address."""
    import uvicorn

    from mien.api.server import Server

    settings = _with_default_keys(context.settings)
    _require_keys(settings, host, rekognition_only=rekognition_only)
    check_certificate(tls_cert, tls_key)
    _log_to_stderr()
    with listen(host, port) as listener:
        server = Server(settings, host, rekognition_only=rekognition_only)
        scheme, bound_port = "https" if tls_cert else "http", listener.getsockname()[1]
        output.note(f"Mien is running at {scheme}://{_url_host(host)}:{bound_port}/ (stop with Ctrl-C).")
        if settings.api_keys_file is None:
            output.note("There are no API keys, so only this machine can connect; `mien keys create NAME` makes one.")
        config = uvicorn.Config(
            _behind_proxies(server, settings.root_path),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
        )
        _run(uvicorn.Server(config), listener)


def _behind_proxies(app: ASGIApp, root_path: str) -> ASGIApp:
    """Read what trusted proxies tell: the prefix first, as uvicorn's own part then hides the proxy's address."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from mien.api.forwarding import PrefixMiddleware, trusted_peers

    trusted = os.environ.get("FORWARDED_ALLOW_IPS", TRUSTED_PROXIES)
    told: Any = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]
    return PrefixMiddleware(told, root_path, trusted_peers(trusted))


def _run(server: uvicorn.Server, listener: socket) -> None:
    """Serve until a signal ends it. Raises SetupError when the server does not start."""
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise SetupError("The server could not start; its log says why.")


def _with_default_keys(settings: Settings) -> Settings:
    """Add the key file in the data folder, if there is one and no other is set."""
    if settings.api_keys_file is None and settings.default_keys_file.exists():
        return replace(settings, api_keys_file=settings.default_keys_file)
    return settings


def _require_keys(settings: Settings, host: str, *, rekognition_only: bool) -> None:
    """Raise SetupError when other machines could reach a server that asks for no keys."""
    from mien.rekognition.settings import is_loopback

    keys_file = settings.access_keys_file if rekognition_only else settings.api_keys_file
    if not is_loopback(host) and keys_file is None:
        advice = "set MIEN_ACCESS_KEYS_FILE" if rekognition_only else "run `mien keys create NAME`"
        raise SetupError(f"Other machines can connect to {host}, so the server needs keys: {advice}.")


def _log_to_stderr() -> None:
    from mien.api.telemetry import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in ("uvicorn", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


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
    from mien.backends.aws.stack import edit_keys

    with edit_keys(settings.keys_secret) as file:
        yield file
