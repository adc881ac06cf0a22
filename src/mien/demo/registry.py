"""A file of a Python package registry: found as pip finds it, and given out only with the right SHA-256.

Sources: the simple repository API (PEP 503 and PEP 691), pip's configuration (`global.index-url`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

from mien.domain.errors import SetupError

PYPI = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
MAX_BYTES = 64 * 1024 * 1024
TIMEOUT = 60


def index_url() -> str:
    """The registry that pip would ask."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    asked = [sys.executable, "-m", "pip", "--no-input", "config", "get", "global.index-url"]
    answer = subprocess.run(asked, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    return answer.stdout.strip() or PYPI


def fetch(project: str, filename: str, sha256: str, index: str | None = None) -> bytes:
    """The file's content. SetupError, as a sentence, when it cannot be had or is not the expected one."""
    page = f"{(index or index_url()).rstrip('/')}/{project}/"
    try:
        body, base, kind = _get(page)
        links = _json_links(body) if kind.endswith("json") else _html_links(body)
        if filename not in links:
            raise SetupError(f"The package registry at {_shown(page)} does not offer {filename}.")
        content, _, _ = _get(urljoin(base, links[filename]), like=page)
    except (OSError, HTTPException, ValueError, LookupError) as error:
        raise SetupError(f"{filename} could not be fetched from {_shown(page)}: {_why(error)}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SetupError(f"{filename} from {_shown(page)} is not the expected file: its SHA-256 differs.")
    return content


def _get(url: str, like: str = "") -> tuple[bytes, str, str]:
    """(content, address after redirects, content type); credentials in `url`, or in `like` for the same host."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("it is neither http nor https")
    request = Request(_bare(url), headers={"Accept": ACCEPT, "User-Agent": "mien-demo"})  # noqa: S310
    if token := _credentials(url) or (_credentials(like) if urlsplit(url).hostname == urlsplit(like).hostname else ""):
        request.add_unredirected_header("Authorization", f"Basic {token}")
    with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        content = answer.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError("it is larger than expected")
        return content, answer.url, answer.headers.get_content_type()


def _credentials(url: str) -> str:
    user_info, at, _ = urlsplit(url).netloc.rpartition("@")
    return base64.b64encode(user_info.encode()).decode() if at else ""


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _shown(url: str) -> str:
    return _bare(url).rstrip("/")


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rstrip(".") or type(error).__name__


def _json_links(body: bytes) -> dict[str, str]:
    return {file["filename"]: file["url"] for file in json.loads(body)["files"]}


def _html_links(body: bytes) -> dict[str, str]:
    links: dict[str, str] = {}

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            href = dict(attrs).get("href")
            if tag == "a" and href:
                links[urlsplit(href).path.rpartition("/")[2]] = href

    Anchors().feed(body.decode(errors="replace"))
    return links
