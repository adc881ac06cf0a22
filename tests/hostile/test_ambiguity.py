"""Requests that a proxy may read in another way than the server: both APIs refuse them, whatever the key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.hostile.target import Request, Target, rest, wire

VALUES = {
    "host": "127.0.0.1:8000",
    "origin": "http://127.0.0.1:8000",
    "referer": "http://127.0.0.1:8000/",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
    "content-type": "application/json",
    "authorization": "Basic Og==",
    "x-api-key": "mien_00000000_" + "a" * 43,
    "x-amz-date": "20260101T000000Z",
    "x-amz-security-token": "token",
    "x-amz-target": "RekognitionService.ListCollections",
}


def with_two(request: Request, name: str) -> Request:
    given = [value.decode() for other, value in request.headers if other == name.encode()]
    for value in (*given, VALUES[name], VALUES[name])[len(given) : 2]:
        request = request.with_header(name, value)
    return request


@pytest.mark.parametrize("name", VALUES)
def test_two_of_a_header_that_counts_once_are_refused(target: Target, name: str) -> None:
    request = with_two(rest("GET", "/users", key=target.keys["all"]), name)
    assert [header for header, _ in request.headers].count(name.encode()) == 2
    answer = target.ask(request)
    assert answer.status == 400
    assert name in answer.body.decode()
    assert target.ask(with_two(wire("ListCollections", b"{}"), name)).status == 400


def test_two_of_another_header_are_answered(target: Target) -> None:
    request = rest("GET", "/users", key=target.keys["all"])
    assert target.ask(request.with_header("accept", "*/*").with_header("accept", "text/html")).status == 200
    assert target.ask(wire("ListCollections", b"{}").with_header("x-a", "1").with_header("x-a", "2")).status == 200


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "9.9"])
def test_an_http_version_that_is_not_spoken_is_refused(target: Target, version: str) -> None:
    for request in (rest("GET", "/users", key=target.keys["all"]), wire("ListCollections", b"{}")):
        assert target.ask(request).status == 200
        assert target.ask(replace(request, http_version=version)).status == 400
