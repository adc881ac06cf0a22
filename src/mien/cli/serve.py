"""Run the server, `mien serve`: check its TLS certificate, bind its socket, serve until a signal."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mien.cli import output
from mien.cli.command import Context
from mien.config import check_writable
from mien.domain.errors import InvalidInput, SetupError
from mien.settings import Settings, misspelt_variables

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from mien.api.server import Server

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; port 0 takes any free one. Raises SetupError when that is not possible."""
    try:
        found = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise SetupError(f"This machine knows no address {host}.") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)  # asyncio turns Nagle's delay off only where TCP is named
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SetupError(_reason(error, host, port)) from error
    return listener


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use by another program; name another one with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}; name another one with --port, such as 8000."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine."
    return f"The server cannot listen on {host}, port {port}: {error.strerror}."


def check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Check a certificate chain and its private key, both in PEM; neither is fine, too.

    Raises:
        InvalidInput: One is given without the other.
        SetupError: They cannot be read, do not belong together, or the key has a password.
    """
    if (certificate is None) != (key is None):
        raise InvalidInput("--tls-cert and --tls-key belong together.")
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise SetupError(
            f"{certificate} and {key} are not a certificate and its private key, both in PEM and without a password."
        ) from error
    except OSError as error:
        raise SetupError(f"{certificate} or {key} cannot be read: {error.strerror}.") from error


KEEP_ALIVE_SECONDS = 75
"""More than the 60 seconds after which usual load balancers end an idle connection, so that they do it, not we."""

TRUSTED_PROXIES = "127.0.0.1"
"""Of FORWARDED_ALLOW_IPS, uvicorn's variable, by default."""

M_MMAP_THRESHOLD = -3
"""As in <malloc.h>."""

LARGE_BLOCK = 4 * 1024 * 1024
"""Bytes from which memory goes back to the system when it is freed. By itself, glibc raises this to 32 MiB as it goes,
and threads keep what they free: several hundred MB after an attack."""

BACKLOG = 256
"""Connections that the system keeps until they are accepted, and how many are accepted at a time."""


def give_memory_back() -> None:
    """Have the C library return large blocks to the system when they are freed; where it is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


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

    from mien.api.connections import bounded
    from mien.api.forwarding import trusted_peers
    from mien.api.http_protocol import BoundedProtocol
    from mien.api.logs import json_on_stderr
    from mien.cli import shutdown

    give_memory_back()
    settings = _with_default_keys(context.settings)
    check_writable(settings)  # the audit log and the queue of uploads have to be written
    _require_keys(settings, host, rekognition_only=rekognition_only)
    _check_keys(settings)
    check_certificate(tls_cert, tls_key)
    proxies = trusted_peers(_trusted_proxies())
    with (
        shutdown.ending_on_signals(),
        json_on_stderr() as stderr,
        bounded(listen(host, port), proxies) as listener,
    ):
        server = shutdown.interruptible(lambda: _open(settings, host, rekognition_only=rekognition_only))
        scheme, bound_port = "https" if tls_cert else "http", listener.getsockname()[1]
        _tell(stderr, f"Mien is running at {scheme}://{_url_host(host)}:{bound_port}/ (stop with Ctrl-C).")
        if settings.api_keys_file is None:
            _tell(stderr, "There are no API keys, so only this machine can connect; `mien keys create NAME` makes one.")
        for warning in server.warnings():
            _tell(stderr, warning)
        for name, meant in misspelt_variables(os.environ).items():
            _tell(stderr, f"{name} is no setting, and has no effect. Did you mean {meant}?")
        config = uvicorn.Config(
            _behind_proxies(server, settings.root_path),
            http=partial(BoundedProtocol, listener.connections),  # type: ignore[arg-type]
            ws="none",
            loop="asyncio",
            backlog=BACKLOG,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=shutdown.REQUEST_SECONDS,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
        )
        _run(shutdown.StoppableServer(config, server.stop_working), listener)


def _open(settings: Settings, host: str, *, rekognition_only: bool) -> Server:
    from mien.api.server import Server
    from mien.demo.photos import sample_photos

    return Server(settings, host, rekognition_only=rekognition_only, samples=sample_photos)


def _behind_proxies(app: ASGIApp, root_path: str) -> ASGIApp:
    """Read what trusted proxies tell: the prefix first, as uvicorn's own part then hides the proxy's address."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from mien.api.forwarding import PrefixMiddleware, trusted_peers

    trusted = _trusted_proxies()
    told: Any = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]
    return PrefixMiddleware(told, root_path, trusted_peers(trusted))


def _trusted_proxies() -> str:
    return os.environ.get("FORWARDED_ALLOW_IPS", TRUSTED_PROXIES)


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until a signal ends it. Raises SetupError when the server does not start."""
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise SetupError("The server could not start; its log says why.")


def _with_default_keys(settings: Settings) -> Settings:
    """Add the key file in the data folder, if there is one and no other is set; a link that leads nowhere counts."""
    if settings.api_keys_file is None and os.path.lexists(settings.default_keys_file):
        return replace(settings, api_keys_file=settings.default_keys_file)
    return settings


def _require_keys(settings: Settings, host: str, *, rekognition_only: bool) -> None:
    """Raise SetupError when other machines could reach a server that asks for no keys."""
    from mien.security.origins import is_loopback

    keys_file = settings.access_keys_file if rekognition_only else settings.api_keys_file
    if not is_loopback(host) and keys_file is None:
        advice = "set MIEN_ACCESS_KEYS_FILE" if rekognition_only else "run `mien keys create NAME`"
        raise SetupError(f"Other machines can connect to {host}, so the server needs keys: {advice}.")


def _check_keys(settings: Settings) -> None:
    """Raise SetupError when the file of API keys cannot be trusted or read, which every request would fail by."""
    from mien.security.api_keys import KeyFile

    if settings.api_keys_file is not None:
        KeyFile(settings.api_keys_file).list()


def _tell(stream: TextIO, sentence: str) -> None:
    """Show a sentence on a terminal, or write it to the log."""
    if stream.isatty():
        stream.write(f"{output.printable(sentence)}\n")
    else:
        log.info(sentence)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
