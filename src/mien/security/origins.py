"""Tell where a request comes from: a program on this machine, a proxy, a page of this server or of another site.

What a server without keys answers depends on it. Browsers tell it by Fetch metadata (W3C, "Fetch Metadata Request
Headers", `Sec-Fetch-Site`), older ones by `Origin` and `Referer`; a page cannot forge these.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from mien.domain.errors import MalformedRequest

TRUST = "mien.trust_connection"
"""In an ASGI scope of `mien serve`: to be called once the caller has shown a valid key."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names under which a program or a browser calls a server on its own machine."""

_HOST = re.compile(r"(\[(?P<address>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,255}))(:[0-9]{1,5})?")

_PROXY_HEADERS = frozenset({"via", "early-data", "surrogate-capability", "front-end-https", "eagleid"})
_PROXY_PREFIXES = (
    *("x-", "cf-", "cdn-", "fly-", "ngrok-", "tailscale-", "fastly-", "akamai-", "azure-", "cloudfront-", "envoy-"),
    *("proxy-", "wl-proxy-", "remote-", "ssl-client-"),
)
_PROXY_WORD, _PROXY_ENDINGS = "forward", ("-ip", "clientip", "remoteip")
_CLIENT_PREFIXES = ("x-amz-", "x-amzn-", "x-request-id", "x-b3-", "x-datadog-")
_CLOUDFRONT_PREFIX = "x-amz-cf-"
"""What reverse proxies, tunnels and content networks add to the requests that they pass on; and of the names that begin
like theirs those that AWS's clients, and what traces calls, send themselves."""

_BROWSER_HEADERS = frozenset({"origin", "referer", "cookie", "dnt", "upgrade-insecure-requests", "save-data"})
_BROWSER_PREFIX, _NODE_HEADER = "sec-", "sec-fetch-mode"
"""What browsers send. One of these `fetch` of Node sends as well; a browser never sends it alone."""

HTTP_VERSIONS = ("1.0", "1.1")
"""Any other that a request line names is spoken by nobody on such a connection."""

_ONCE = frozenset(
    {
        *(b"host", b"origin", b"referer", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"content-type"),
        *(b"authorization", b"x-api-key", b"x-amz-target", b"x-amz-date", b"x-amz-security-token"),
    }
)
"""Headers that decide who may do what. Of two, a proxy may have checked the other one."""

_OWN_SITE = ("same-origin", "none")  # none: the user's own doing, such as an address that was typed


def refuse_ambiguous(http_version: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise MalformedRequest for an HTTP version that is none, and for two headers where only one can count.

    Args:
        http_version: Such as 1.1.
        headers: Lower-case names and values, as in an ASGI scope.
    """
    if http_version not in HTTP_VERSIONS:
        raise MalformedRequest("The server speaks HTTP/1.1.")
    names = [name for name, _ in headers if name in _ONCE]
    if len(names) > len(set(names)):
        repeated = min(name for name, times in Counter(names).items() if times > 1).decode()
        raise MalformedRequest(f"The request has more than one of a header that may stand there once: {repeated}.")


def client_network(address: str) -> str:
    """Return what stands for one client: an IPv4 address, or the network of 64 bits that one IPv6 client is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), 64), strict=False))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host, given as an IP address or a name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str | None:
    """Return the name or address in a Host header, in small letters; None for what cannot be one."""
    match = _HOST.fullmatch(host)
    return (match["address"] or match["name"]).lower() if match else None


def is_local_program(peer: str, http_version: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a program on this machine, as far as that can be told.

    Whatever smells of a proxy, whose clients may be anywhere, or of a browser does not: one of their headers, another
    host name, or HTTP/1.0, which proxies speak by default and AWS's clients do not.

    Args:
        peer: The address that the connection comes from.
        http_version: Such as 1.1.
        headers: Values by lower-case name.
    """
    is_direct = is_loopback(peer) and host_name(headers.get("host", "")) in LOOPBACK_NAMES and http_version == "1.1"
    return is_direct and not any(_is_proxys(name) or _is_browsers(name) for name in headers)


def is_foreign_origin(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether a request names an origin that is neither the server's own nor one of `allowed`."""
    origin = headers.get("origin")
    return origin is not None and origin not in allowed and not _is_at(origin, headers.get("host", ""))


def is_from_other_site(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether a page of another origin, none of `allowed`, makes the request or links to it."""
    if is_foreign_origin(headers, allowed):
        return True
    if headers.get("origin") in allowed:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in _OWN_SITE
    referer = headers.get("referer")
    return referer is not None and not _is_at(referer, headers.get("host", ""))


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Return whether a page of this server makes the request, or no browser at all."""
    return headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _is_proxys(name: str) -> bool:
    name = name.replace("_", "-")  # as servers behind a gateway read it
    is_named_like = name.startswith(_PROXY_PREFIXES) and not name.startswith(_CLIENT_PREFIXES)
    tells_of_another = _PROXY_WORD in name or name.endswith(_PROXY_ENDINGS)
    return name in _PROXY_HEADERS or is_named_like or tells_of_another or name.startswith(_CLOUDFRONT_PREFIX)


def _is_browsers(name: str) -> bool:
    return name in _BROWSER_HEADERS or (name.startswith(_BROWSER_PREFIX) and name != _NODE_HEADER)


def _is_at(url: str, host: str) -> bool:
    try:
        return urlsplit(url).netloc == host
    except ValueError:
        return False
