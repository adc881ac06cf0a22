"""An OpenID provider on this machine, over TLS, which can rotate its keys, fail, and publish what it should not."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.certificates import write_certificate

AUDIENCE = "mien"


class Issuer(ThreadingHTTPServer):
    """Serves `documents` by path, and remembers which were asked for."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.certificate = certificate
        self.url = f"https://localhost:{self.server_port}"
        self.asked: list[str] = []
        self.is_down = False
        self.signing: dict[str, tuple[Any, str]] = {}
        self.published: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys?version=1"}
        self.redirects: dict[str, str] = {}

    def add_key(self, key_id: str, algorithm: str = "RS256", bits: int = 2048, **more: Any) -> None:
        """Make a key pair, and publish its public half."""
        if algorithm.startswith("RS"):
            private: Any = rsa.generate_private_key(65537, bits)
            public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        self.signing[key_id] = private, algorithm
        self.published.append(public | {"kid": key_id, "use": "sig", "alg": algorithm} | more)

    def token(self, key_id: str, *, without: str = "", **claims: Any) -> str:
        """A token that is valid but for what the arguments make of it."""
        private, algorithm = self.signing[key_id]
        return jwt.encode(self.claims(without, **claims), private, algorithm, headers={"kid": key_id})

    def claims(self, without: str = "", **claims: Any) -> dict[str, Any]:
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada@example.org",
            "scope": "openid recognize",
            "nbf": time.time(),
        }
        every = usual | {"exp": time.time() + 300} | claims
        return {name: value for name, value in every.items() if name != without}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
            return
        documents = {
            "/.well-known/openid-configuration": self.server.about,
            "/keys?version=1": {"keys": self.server.published},
        }
        found = None if self.server.is_down else documents.get(self.path)
        self.send_response(200 if found else 503)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(folder: Path) -> Iterator[Issuer]:
    """An issuer with the keys `rsa` and `ec`, and its certificate in a folder."""
    with Issuer(*write_certificate(folder, "issuer")) as issuer:
        issuer.add_key("rsa")
        issuer.add_key("ec", "ES256")
        threading.Thread(target=issuer.serve_forever, daemon=True).start()
        yield issuer
        issuer.shutdown()
