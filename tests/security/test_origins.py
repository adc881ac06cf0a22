"""Where a request comes from, by its headers."""

from __future__ import annotations

import pytest

from mien.domain.errors import MalformedRequest
from mien.security.origins import host_name, is_from_other_site, is_local_program, is_own_page, refuse_ambiguous

HOST = {"host": "127.0.0.1:8000"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_a_program_on_this_machine_is_local(host: str) -> None:
    told = (
        "user-agent",
        "x-amz-date",
        "x-amzn-trace-id",
        "amz-sdk-request",
        "accept",
        "traceparent",
        "x-datadog-trace-id",
    )
    assert is_local_program("127.0.0.1", "1.1", {"host": host} | dict.fromkeys(told, "…"))
    assert is_local_program(
        "127.0.0.1", "1.1", {"host": host, "sec-fetch-mode": "cors", "accept-language": "*"}
    )  # Node


@pytest.mark.parametrize(
    "header",
    [
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-anything", "forwarded", "via"),
        *("x-real-ip", "cf-connecting-ip", "cf-ray", "true-client-ip", "cdn-loop", "fly-client-ip", "x-envoy-id"),
        *("ngrok-auth", "tailscale-user-login", "x-original-url", "x-arr-log-id", "x-client-ip", "proxy-connection"),
        *("x-host", "x-sucuri-clientip", "x-anything", "remote-addr", "cloudfront-viewer-country", "ssl-client-verify"),
        *("x-forwarded_for", "x-amz-cf-id", "fastly-client-ip", "proxy-authorization", "forwarded-for", "x-amz-cf-pop"),
        *(
            "cluster-client-ip",
            "do-connecting-ip",
            "ar-real-ip",
            "azure-clientip",
            "cdn-requestid",
            "ssl_client_verify",
        ),
        *("max-forwards", "front-end-https", "envoy-decorator-operation", "remote-groups", "wl-proxy-ssl"),
        *("origin", "referer", "sec-fetch-site", "sec-fetch-dest", "sec-ch-ua", "cookie", "dnt", "sec-gpc"),
    ],
)
def test_whatever_smells_of_a_proxy_or_a_page_is_not_local(header: str) -> None:
    for value in ("127.0.0.1", "http://127.0.0.1:8000", "none", ""):
        assert not is_local_program("127.0.0.1", "1.1", HOST | {header: value})


@pytest.mark.parametrize(
    "host",
    ["", "example.org", "127.0.0.1.example.org", "localhost.example.org", "me@127.0.0.1", "[", "127.0.0.1:8000:1", "0"],
)
def test_another_host_name_is_not_local(host: str) -> None:
    assert not is_local_program("127.0.0.1", "1.1", {"host": host})


def test_another_machine_and_a_proxys_http_are_not_local() -> None:
    assert not is_local_program("192.168.1.7", "1.1", HOST)
    assert not is_local_program("127.0.0.1", "1.0", HOST)


@pytest.mark.parametrize(
    "host", ["[", "[::1", "::1", "a b", "a/b", "a@b", "a:b", "a:123456", "é", "http://a", "[x]", ""]
)
def test_what_no_host_is_called(host: str) -> None:
    assert host_name(host) is None


@pytest.mark.parametrize(
    ("headers", "is_foreign"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "something new"}, True),
        ({"origin": "http://127.0.0.1:8000"}, False),
        ({"origin": "http://127.0.0.1:9000"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://["}, True),
        ({"origin": "https://friend.example", "sec-fetch-site": "cross-site"}, False),
        ({"referer": "http://127.0.0.1:8000/people"}, False),
        ({"referer": "http://[/people"}, True),
        ({"referer": "https://evil.example/"}, True),
        ({"referer": "https://evil.example/", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_pages_of_other_sites(headers: dict[str, str], is_foreign: bool) -> None:
    assert is_from_other_site(HOST | headers, ["https://friend.example"]) is is_foreign


def test_an_address_that_was_typed_is_no_page_of_our_own() -> None:
    assert is_own_page({})
    assert is_own_page({"sec-fetch-site": "same-origin"})
    assert not is_own_page({"sec-fetch-site": "none"})


def test_a_million_headers_of_one_name_are_refused_as_two_are() -> None:
    for headers in ([(b"host", b"a")] * 2, [(b"host", b"a"), (b"x-api-key", b"b")] * 1_000_000):
        with pytest.raises(MalformedRequest, match=r"once: host\.$"):
            refuse_ambiguous("1.1", headers)
