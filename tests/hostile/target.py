"""The server of `mien serve` in this process, with keys and with people to find: requests go in without a socket.

Every answer is checked by `refused_or_answered`: no failure of the server, every log line JSON, nothing of the client's
in the log, and nothing of anybody in an answer to a stranger.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mien.api.forwarding import PrefixMiddleware, trusted_peers
from mien.api.logs import JsonLines
from mien.api.server import Server
from mien.security.api_keys import KeyFile, Scope, key_id_of
from mien.settings import Settings
from tests.hostile.signing import sign
from tests.support.painter import photo_of

SECONDS = 60.0
"""For one answer; costs nothing where all is well."""

PERSON, NAME = "p-quillfeather", "Zenobia Quillfeather"
QUEUE = "mien.Events"
CANARY = "canary_7c1d"
"""Stands in what a fuzzed client sends: in paths, queries, headers and bodies. No log line may hold it."""

JSON, WIRE_JSON, JPEG = "application/json", "application/x-amz-json-1.1", "image/jpeg"
CLIENT = ("127.0.0.1", 50000)


@dataclass(frozen=True)
class Request:
    """An HTTP request as an ASGI server hands it on."""

    method: str = "GET"
    path: str = "/"
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    chunks: tuple[bytes, ...] = ()
    hangs_up: bool = False
    """After the chunks the client is gone, instead of having sent all."""

    http_version: str = "1.1"

    def with_header(self, name: str, value: str) -> Request:
        return replace(self, headers=(*self.headers, (name.lower().encode(), value.encode("latin-1"))))


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Lines(logging.Handler):
    """Formats records as `mien serve` writes them, and keeps the lines of the newest requests."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(self.format(record))

    def take(self) -> list[str]:
        kept, self._kept = self._kept, []
        return kept


class Target:
    """A running server. `keys` are API keys by name: one for each scope, `all` for every scope, and `revoked`."""

    def __init__(self, folder: Path, *, rekognition_only: bool = False) -> None:
        self.folder = folder
        file = KeyFile(folder / "api-keys.json")
        self.keys = {scope.value: file.create(scope.value, [scope]) for scope in Scope}
        self.keys |= {name: file.create(name, list(Scope)) for name in ("all", "revoked")}
        file.revoke(key_id_of(self.keys["revoked"]))
        self.access_keys = folder / "access-keys.json"
        self.write_access_keys({"ADMIN": {"secret": "admin's", "identity": "admin"}})
        settings = Settings(
            data_dir=folder,
            api_keys_file=folder / "api-keys.json",
            access_keys_file=self.access_keys,
            rate_per_minute=1_000_000_000,
        )
        trusted, self._is_wire_alone = "127.0.0.1", rekognition_only
        self._server = Server(settings, rekognition_only=rekognition_only)
        proxied: Any = ProxyHeadersMiddleware(self._server, trusted)  # type: ignore[arg-type]
        self._app = PrefixMiddleware(proxied, "", trusted_peers(trusted))
        self.lines = Lines()
        self._loop = asyncio.new_event_loop()
        self._to_lifespan: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_lifespan: asyncio.Queue[Any] = asyncio.Queue()

    def write_access_keys(self, entries: dict[str, Any]) -> None:
        draft = self.access_keys.with_suffix(".draft")
        draft.write_text(json.dumps(entries), "utf-8")
        draft.chmod(0o600)
        draft.replace(self.access_keys)

    def ask(self, request: Request) -> Answer:
        """Send one request and return the whole answer. An exception of the server's is raised here."""
        return asyncio.run_coroutine_threadsafe(self._ask(request), self._loop).result(SECONDS)

    def refused_or_answered(self, request: Request, *, is_stranger: bool) -> Answer:
        """Send a request, and check what must hold for every request whatever."""
        answer = self.ask(request)
        assert 100 <= answer.status < 500, (request, answer)
        for line in self.lines.take():
            assert isinstance(json.loads(line), dict), request
            assert "\n" not in line, (request, line)
            assert CANARY not in line, (request, line)
            assert "uillfeather" not in line, (request, line)
        if is_stranger:
            assert b"uillfeather" not in answer.body, (request, answer)
        return answer

    def stored(self) -> dict[str, int]:
        """How many rows each table has, and how many photos the bucket.

        Without the audit log, and without what changes when nobody asks: the worker empties its queue after the status
        that clients see, and the watcher reads the clock of the bucket's disk from a file.
        """
        counts = {"files": sum(path.is_file() for path in (self.folder / "bucket" / "uploaded").rglob("*"))}
        for path in self.folder.glob("*.db"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for table in tables:
                    (count,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()
                    counts[f"{path.stem}.{table}"] = count
        return {name: count for name, count in counts.items() if name != QUEUE and "audit" not in name.lower()}

    def enroll(self) -> None:
        """Enrol the person of whom no stranger may learn."""
        query = f"user_id={PERSON}&name={NAME.replace(' ', '%20')}".encode()
        answer = self.ask(rest("POST", "/upload", key=self.keys["all"], query=query, body=photo_of("Ada"), kind=JPEG))
        assert answer.status == 202, answer
        location = answer.headers["location"]
        while (state := json.loads(self.ask(rest("GET", location, key=self.keys["all"])).body))["status"] == "pending":
            threading.Event().wait(0.01)
        assert state["status"] == "indexed", state

    @contextmanager
    def running(self) -> Iterator[Target]:
        root, level = logging.getLogger(), logging.getLogger().level
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        handlers, root.handlers = root.handlers, [self.lines]  # pytest's would keep a million lines
        root.setLevel(logging.INFO)
        lifespan = asyncio.run_coroutine_threadsafe(
            self._app({"type": "lifespan"}, self._to_lifespan.get, self._from_lifespan.put), self._loop
        )
        try:
            self._lifespan("startup")
            if not self._is_wire_alone:
                self.enroll()
            self.lines.take()
            yield self
        finally:
            self._lifespan("shutdown")
            lifespan.result(SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()
            root.handlers = handlers
            root.setLevel(level)

    def _lifespan(self, event: str) -> None:
        async def pass_on() -> Any:
            await self._to_lifespan.put({"type": f"lifespan.{event}"})
            return await self._from_lifespan.get()

        answer = asyncio.run_coroutine_threadsafe(pass_on(), self._loop).result(SECONDS)
        assert answer["type"] == f"lifespan.{event}.complete", answer

    async def _ask(self, request: Request) -> Answer:
        answer, messages, is_answered = Answer(), _messages(request), asyncio.Event()

        async def receive() -> dict[str, Any]:
            message = next(messages, None)
            if message is None and not request.hangs_up:
                await is_answered.wait()
            return message or {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")
                if not message.get("more_body", False):
                    is_answered.set()

        try:
            await self._app(_scope(request), receive, send)
        except Exception:
            if not answer.status:
                raise
        if not answer.status:
            assert request.hangs_up, "no answer"
            answer.status = 499
        return answer


def _messages(request: Request) -> Iterator[dict[str, Any]]:
    for number, chunk in enumerate(request.chunks or (b"",), 1):
        is_last = number >= len(request.chunks) and not request.hangs_up
        yield {"type": "http.request", "body": chunk, "more_body": not is_last}


def _scope(request: Request) -> dict[str, Any]:
    from urllib.parse import unquote

    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": list(request.headers),
        "client": CLIENT,
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def rest(
    method: str, path: str, *, key: str | None = None, query: bytes = b"", body: bytes = b"", kind: str = JSON
) -> Request:
    """A well-formed request of the REST API."""
    headers = [(b"host", b"127.0.0.1:8000"), (b"content-length", str(len(body)).encode())]
    headers += [(b"content-type", kind.encode())] if body else []
    headers += [(b"x-api-key", key.encode())] if key is not None else []
    return Request(method, path, query, tuple(headers), (body,))


def wire(operation: str, body: bytes, key_id: str | None = "ADMIN", secret: str = "admin's") -> Request:
    """A request of the wire API, signed unless `key_id` is None."""
    headers = {"host": "127.0.0.1:8000", "x-amz-target": f"RekognitionService.{operation}", "content-type": WIRE_JSON}
    if key_id is not None:
        headers |= sign(headers, body, key_id, secret)
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return Request("POST", "/", b"", (*pairs, (b"content-length", str(len(body)).encode())), (body,))
