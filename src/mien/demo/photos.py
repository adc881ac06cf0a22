"""Fetch the demo's photos from a package registry once, verify them, and keep them in the user's cache.

They are the test images of another project's source distribution on PyPI. The registry is the one that pip is
configured for, queried by the simple repository API (PEP 503 and PEP 691).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

from mien.domain.errors import SetupError

PROJECT = "face-recognition"
ARCHIVE = "face_recognition-1.3.0.tar.gz"
SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
FOLDER = "tests/test_images"
SUFFIXES = {".jpg"}
"""The archive's one PNG is a second copy of a JPEG."""

PEOPLE = {"obama": "Barack Obama", "biden": "Joe Biden"}
"""Beginning of a file name -> name of the person."""

PYPI = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
MAX_BYTES = 64 * 1024 * 1024
TIMEOUT_SECONDS = 60


def demo_photos(cache: Path, index: str | None = None) -> list[Path]:
    """Return the photos, in the order of their names, and fetch them if the cache has none.

    Args:
        cache: folder in which they are kept.
        index: URL of the registry's simple index; None for the one that pip is configured for.

    Raises:
        SetupError: they are not in the cache and cannot be fetched.
    """
    folder = cache / SHA256[:16]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            unpack(fetch(PROJECT, ARCHIVE, SHA256, index), Path(draft) / "photos")
            (Path(draft) / "photos").rename(folder)
    return sorted(folder.iterdir(), key=lambda file: file.stem)


def sample_photos() -> list[tuple[str, list[Path]]]:
    """Return the photos in the user's cache by person, and fetch them if it has none. Raises SetupError."""
    from platformdirs import user_cache_path

    return by_person(demo_photos(user_cache_path("mien") / "demo"))


def by_person(photos: Iterable[Path]) -> list[tuple[str, list[Path]]]:
    """Group photos by the person that the file name begins with; the person with the most photos comes first."""
    groups = [(name, [photo for photo in photos if photo.stem.startswith(start)]) for start, name in PEOPLE.items()]
    return sorted(groups, key=lambda group: -len(group[1]))


def keep(photos: Iterable[Path], folder: Path) -> None:
    """Copy one photo of each person to `folder`/people/<name>, to enrol, and all others to `folder`/new.

    A file that exists is left as it is.
    """
    for name, (first, *others) in by_person(photos):
        for photo, target in ((first, folder / "people" / name), *((photo, folder / "new") for photo in others)):
            target.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), (target / photo.name).open("xb") as copy:
                copy.write(photo.read_bytes())


def unpack(archive: bytes, folder: Path) -> None:
    """Write the photos of a .tar.gz, and nothing else, into a new folder, without their paths.

    Raises:
        SetupError: the archive is damaged or the folder cannot be written.
    """
    folder.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for name, content in _photos_in(tar):
                (folder / name).write_bytes(content)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SetupError(f"{ARCHIVE} cannot be unpacked: {error}.") from error


def _photos_in(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        path = PurePosixPath(member.name)
        is_photo = "/".join(path.parts[1:-1]) == FOLDER and path.suffix in SUFFIXES
        if member.isfile() and is_photo and (file := tar.extractfile(member)):
            yield path.name, file.read()


def index_url() -> str:
    """Return the URL of the simple index that pip is configured for."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    command = [sys.executable, "-m", "pip", "--no-input", "config", "get", "global.index-url"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    return result.stdout.strip() or PYPI


def fetch(project: str, filename: str, sha256: str, index: str | None = None) -> bytes:
    """Fetch a file of a project from a registry.

    Args:
        project: normalised name of the project.
        filename: name of the file.
        sha256: its digest, hexadecimal.
        index: URL of the simple index, which may hold credentials; None for the one that pip is configured for.

    Raises:
        SetupError: it cannot be fetched, or has another SHA-256. The message does not show credentials.
    """
    page_url = f"{(index or index_url()).rstrip('/')}/{project}/"
    shown_url = _without_credentials(page_url).rstrip("/")
    try:
        page = _get(page_url, _credentials(page_url))
        links = _json_links(page.content) if page.content_type.endswith("json") else _html_links(page.content)
        if filename not in links:
            raise SetupError(f"The package registry at {shown_url} does not offer {filename}.")
        file_url = urljoin(page.url, links[filename])
        content = _get(file_url, _file_credentials(file_url, page_url)).content
    except (OSError, HTTPException, ValueError, LookupError) as error:
        reason = str(getattr(error, "reason", None) or error).rstrip(".") or type(error).__name__
        raise SetupError(f"{filename} could not be fetched from {shown_url}: {reason}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SetupError(f"{filename} from {shown_url} is not the expected file: its SHA-256 differs.")
    return content


@dataclass(frozen=True, slots=True)
class _Response:
    content: bytes
    url: str  # after redirects
    content_type: str


def _get(url: str, credentials: str) -> _Response:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("it is neither http nor https")
    headers = {"Accept": ACCEPT, "User-Agent": "mien-demo"}
    request = Request(_without_credentials(url), headers=headers)  # noqa: S310
    if credentials:
        token = base64.b64encode(credentials.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        content = response.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError("it is larger than expected")
        return _Response(content, response.url, response.headers.get_content_type())


def _credentials(url: str) -> str:
    """`user:password` of a URL, or an empty string."""
    return urlsplit(url).netloc.rpartition("@")[0]


def _file_credentials(file_url: str, page_url: str) -> str:
    """The file's own credentials, or else the page's if both are on one host."""
    if own := _credentials(file_url):
        return own
    return _credentials(page_url) if urlsplit(file_url).hostname == urlsplit(page_url).hostname else ""


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _json_links(page: bytes) -> dict[str, str]:
    """File name -> URL, from a page of PEP 691."""
    return {file["filename"]: file["url"] for file in json.loads(page)["files"]}


def _html_links(page: bytes) -> dict[str, str]:
    """File name -> URL, from a page of PEP 503."""
    links: dict[str, str] = {}

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            href = dict(attrs).get("href")
            if tag == "a" and href:
                links[urlsplit(href).path.rpartition("/")[2]] = href

    Anchors().feed(page.decode(errors="replace"))
    return links
