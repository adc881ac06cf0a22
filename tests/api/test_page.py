"""The page's frame: it knows the prefix it is served under, and may load nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.testclient import TestClient

from tests.api.conftest import Service


def test_the_page_is_told_its_prefix(open_service: Callable[..., Service]) -> None:
    api = open_service().client.app
    assert '<base href="/">' in TestClient(api).get("/").text
    assert '<base href="/dev/">' in TestClient(api, root_path="/dev").get("/dev/").text
    assert '"><script>' not in TestClient(api, root_path='/"><script>').get("/").text


def test_the_page_is_told_what_this_server_has(open_service: Callable[..., Service]) -> None:
    """What it is not told of, it offers to nobody."""
    assert '<meta name="offers" content="docs groups">' in open_service().client.get("/").text  # no sample photos here


def test_the_page_may_load_from_its_own_server_only(open_service: Callable[..., Service]) -> None:
    policy = open_service().client.get("/").headers["content-security-policy"]
    sources = {word for rule in policy.split(";") for word in rule.split()[1:]}
    assert sources <= {"'self'", "'none'", "blob:", "data:"}


def test_the_description_loads_nothing_from_elsewhere(open_service: Callable[..., Service]) -> None:
    client = open_service().client
    document = client.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', document)
    assert files
    assert all(file.startswith("/") and client.get(file).status_code == 200 for file in files)
