"""`mien serve`: the REST API, the page and the Rekognition wire API on one address."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Annotated

import typer

from mien.config import Settings
from mien.domain.errors import SetupError

KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 10


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
    rekognition_only: Annotated[
        bool, typer.Option("--rekognition-only", help="Answer the Rekognition wire API and nothing else.")
    ] = False,
) -> None:
    """Serve the REST API, the page and the Rekognition wire API."""
    import uvicorn

    from mien.api.server import Server

    settings = with_keys(Settings.from_environment())
    require_keys(settings, host, rekognition_only=rekognition_only)
    _log_to_stderr()
    server = Server(settings, host, rekognition_only=rekognition_only)
    typer.echo(f"Mien answers at http://{_address(host)}:{port}/ (stop with Ctrl-C)", err=True)
    if settings.api_keys_file is None:
        typer.echo("Without API keys it listens on this machine only; make some with `mien keys create`.", err=True)
    uvicorn.run(
        server,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def with_keys(settings: Settings) -> Settings:
    """The settings with the data folder's own file of keys, when there is one and no other is named."""
    if settings.api_keys_file is None and settings.default_keys_file.exists():
        return replace(settings, api_keys_file=settings.default_keys_file)
    return settings


def require_keys(settings: Settings, host: str, *, rekognition_only: bool) -> None:
    """Raises SetupError when strangers could reach a server that asks for no keys."""
    from mien.rekognition.settings import is_loopback

    needed = settings.access_keys_file if rekognition_only else settings.api_keys_file
    if not is_loopback(host) and needed is None:
        cure = "name a file of keys in MIEN_ACCESS_KEYS_FILE" if rekognition_only else "run `mien keys create`"
        raise SetupError(f"{host} can be reached from other machines, which needs keys: {cure}.")


def _log_to_stderr() -> None:
    from mien.api.telemetry import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in ("uvicorn", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
