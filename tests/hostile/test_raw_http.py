"""Bytes that are not HTTP, or nearly so, over sockets: refused or dropped, and the next client is served."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.hostile.conftest import inputs
from tests.hostile.sockets import CASES, HIDDEN, SMUGGLED, Server, all_statuses


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("raw"))
    yield started
    started.process.terminate()
    started.process.wait()


def test_what_is_not_http_is_refused(server: Server) -> None:
    answers = all_statuses(server, list(CASES))
    assert [pair for pair in zip(CASES, answers, strict=True) if any(status >= 500 for status in pair[1])] == []
    server.check()


def test_the_host_in_a_request_target_counts_instead_of_the_header(server: Server) -> None:
    request = b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"
    cases = {
        request % (b"http://localhost:%d/users?limit=1" % server.port, b"127.0.0.1"): [200],
        request % (b"HTTP://localhost", b"evil.example"): [200],
        request % (b"https://evil.example/users", b"127.0.0.1"): [403],
        request % (b"http://localhost@evil.example/users", b"127.0.0.1"): [403],
        request % (b"http:///users", b"127.0.0.1"): [404],
        request % (b"ftp://localhost/users", b"127.0.0.1"): [404],
    }
    assert all_statuses(server, list(cases)) == list(cases.values())
    server.check()


def test_no_request_hides_in_the_body_of_another(server: Server) -> None:
    payloads = [form % len(b"0\r\n\r\n" + HIDDEN) for form in SMUGGLED]
    for payload, answers in zip(payloads, all_statuses(server, payloads), strict=True):
        assert len(answers) <= 1, payload
    server.check()


def test_damaged_requests_are_refused(server: Server) -> None:
    rng = random.Random(15)
    payloads = []
    for _ in range(inputs(300)):
        damaged = bytearray(rng.choice((*CASES, *SMUGGLED))[:3000])
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(damaged) + 1)
            damaged[at : at + rng.randrange(3)] = rng.choice(
                (b"", b"\r\n", b"\0", b":", b" ", b"\xff", b"0", b"chunked")
            )
        payloads.append(bytes(damaged) + b"\r\n\r\n")
    answers = all_statuses(server, payloads)
    assert [pair for pair in zip(payloads, answers, strict=True) if any(status >= 500 for status in pair[1])] == []
    server.check()
