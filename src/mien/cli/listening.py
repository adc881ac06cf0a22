"""Open the socket that `mien serve` listens on, and check its TLS certificate; errors are sentences."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

from mien.domain.errors import InvalidInput, SetupError


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
