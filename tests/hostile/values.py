"""What to put where a client may put anything: texts, header values, methods and paths that have broken servers."""

from __future__ import annotations

from collections.abc import Mapping

from tests.hostile.target import CANARY, JPEG, JSON, WIRE_JSON

UNLISTED = ("/", "/docs", "/openapi.json", "/static/main.js", "/static/../index.html", "/bucket", "/redoc", "//", "*")
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "BREW",
    "get",
    "-",
)
QUERY_NAMES = (
    *("user_id", "name", "threshold", "store", "image_path", "since", "until", "limit", "cursor", "consent_before"),
    *("consent_until", "unnamed", "action", "actor", CANARY, "", "X-Amz-Algorithm", "X-Amz-Expires"),
)
TEXTS = (
    *("", " ", ".", "..", "/", "\\", "\0", "%", "%00", "%zz", "%ff", "%ED%A0%80", "../../etc/passwd", "a/../../b"),
    *("..%2f..%2f", "%2e%2e/", "uploaded/", "uploaded//x.jpg", ".incoming/x", "C:\\x", "nul", "~root", "$(id)", "'--"),
    *(
        "e\u0301",
        "\u200b",
        "\u202eexe",
        "\ufeff",
        "\ud7ff",
        "\U0001f600",
        "ı",
        "ﬀ",
        "\r\nX-Injected: 1",
        "a" * 81,
        "a" * 5000,
    ),
    *("0", "-1", "1e400", "nan", "inf", "-0", "9" * 400, "0x10", "1_000", "٣", "true", "null", "fmr=", "fpir=1e-400"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30", "20261128", "2026-W48-6", "P1D"),
    *("fmr=nan", "fmr=0", "fpir=2", "1e-4", "upload", "recognize", "key 00000000", "{}", "[]", CANARY, f"{CANARY}.jpg"),
)
HEADER_VALUES: Mapping[str, tuple[str, ...]] = {
    "host": (
        "[",
        "[::1",
        "[::1]:x",
        "a:b:c",
        "",
        "127.0.0.1:99999",
        "localhost.",
        "evil.example",
        "127.0.0.1@evil",
        "\xe9",
    ),
    "origin": (
        "null",
        "http://[",
        "http://127.0.0.1:8000",
        "https://evil.example",
        "http://",
        "x",
        "http://[::1]:8000",
    ),
    "sec-fetch-site": ("cross-site", "same-origin", "none", "same-site", CANARY, ""),
    "sec-fetch-mode": ("navigate", "no-cors", CANARY),
    "content-length": ("-1", "99999999999999999999", "x", "0", "1, 2", "+5", " 7", "1_0", "\xb2", ""),
    "transfer-encoding": ("chunked", "gzip, chunked", "identity", "x"),
    "content-type": (
        *(
            JSON,
            JPEG,
            WIRE_JSON,
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=x",
        ),
        *(
            "multipart/form-data; boundary=" + "b" * 300,
            "multipart/mixed; boundary=x",
            "application/json; charset=utf-16",
        ),
        *("image/svg+xml", "image/", "text/plain", "application/x-www-form-urlencoded", "\xe9", ";", "a" * 2000, ""),
    ),
    "content-encoding": ("gzip", "br", "deflate", "x"),
    "authorization": (
        "Bearer",
        "Bearer ",
        "Bearer mien_00000000_" + "a" * 43,
        "Basic Og==",
        "AWS4-HMAC-SHA256",
        "\xe9",
        "bearer \0",
    ),
    "x-api-key": ("", "mien_", "mien_00000000_" + "a" * 43, "\xe9\xff", "a" * 5000, CANARY),
    "x-forwarded-for": ("127.0.0.1", "10.0.0.1, 127.0.0.1", "::1", "unknown", "\xe9", "[", ",,,", "a" * 3000),
    "x-forwarded-proto": ("https", "http", "javascript", "", "\xe9", CANARY),
    "x-forwarded-prefix": ("/mien", "//evil", "/..", "/" + "a" * 300, "\xe9", "/a b", f"/{CANARY}"),
    "x-forwarded-host": ("evil.example", "["),
    "forwarded": ("for=127.0.0.1;proto=https", 'for="[::1]"', "\xe9", ";;"),
    "via": ("1.1 proxy",),
    "x-request-id": ("a" * 65, "x y", "\xe9", "{}", f"{CANARY}", "\t"),
    "x-amz-target": (
        "RekognitionService.ListCollections",
        "RekognitionService.",
        f"X.{CANARY}",
        "",
        "\xe9",
        "a" * 3000,
    ),
    "x-amz-date": ("20200101T000000Z", "99999999T999999Z", "", "\xe9", "20260101T000000"),
    "x-amz-security-token": ("", "\xe9", "a" * 4000),
    "range": ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=" + "0-1," * 500, "x"),
    "if-none-match": ("*", '"x"', "\xe9"),
    "if-modified-since": ("x", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 0000 99:99:99 GMT"),
    "accept": ("*/*", "\xe9", "text/html;q=x"),
    "cookie": (f"a={CANARY}", "\xe9"),
    "expect": ("100-continue", "x"),
    "upgrade": ("websocket", "h2c"),
    "access-control-request-method": ("DELETE", CANARY),
    "user-agent": (CANARY, "\xe9" * 50),
}
