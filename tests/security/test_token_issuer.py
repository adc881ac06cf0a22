"""Tokens of an issuer are verified by its published keys, and nothing that cannot be verified is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mien.domain.errors import MienError, NotAuthenticated, SetupError, StorageError
from mien.security import token_issuer
from mien.security.api_keys import Scope
from mien.security.token_issuer import LEEWAY_SECONDS, TokenIssuer
from tests.support.token_issuer import AUDIENCE, Issuer, running


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    with running(tmp_path) as issuer:
        monkeypatch.setenv("SSL_CERT_FILE", str(issuer.certificate))
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> TokenIssuer:
    return TokenIssuer(issuer.url, AUDIENCE, "scope", clock)


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_a_valid_token_names_its_bearer(issuer: Issuer, tokens: TokenIssuer, key: str) -> None:
    end = int(time.time()) + 300
    bearer = tokens.check(issuer.token(key, exp=end, aud=["other", AUDIENCE]))
    assert (bearer.subject, bearer.scopes) == ("ada@example.org", {Scope.RECOGNIZE})
    assert bearer.until == end + LEEWAY_SECONDS


def test_a_token_within_the_leeway_is_not_over_for_those_who_look_later(issuer: Issuer, tokens: TokenIssuer) -> None:
    now = time.time()
    assert tokens.check(issuer.token("ec", exp=int(now) - LEEWAY_SECONDS // 3)).until > now


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        ("upload manage", {Scope.UPLOAD, Scope.MANAGE}),
        (["upload", "recognize"], {Scope.UPLOAD, Scope.RECOGNIZE}),
        ("mien/upload mien:manage other/recognize", {Scope.UPLOAD, Scope.MANAGE}),
    ],
)
def test_scopes_are_words_or_a_list(issuer: Issuer, claim: object, scopes: set[Scope]) -> None:
    tokens = TokenIssuer(issuer.url, AUDIENCE, "permissions", Clock())
    assert tokens.check(issuer.token("rsa", permissions=claim)).scopes == scopes


def _by_secret(issuer: Issuer) -> str:
    """The old confusion: the public key, which everybody has, as the secret of a symmetric signature."""
    public = issuer.signing["rsa"][0].public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made = jwt.encode(issuer.claims(), "x" * 32, "HS256", headers={"kid": "rsa"}).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(made.encode(), secret)
    return f"{made}.{jwt.utils.base64url_encode(signature).decode()}"


def _by_published_secret(issuer: Issuer) -> str:
    issuer.published.append(
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": jwt.utils.base64url_encode(b"s" * 32).decode()}
    )
    return jwt.encode(issuer.claims(), b"s" * 32, "HS256", headers={"kid": "shared"})


def _of_stranger(issuer: Issuer) -> str:
    """A token by somebody else's key, under the id of a published one."""
    issuer.add_key("stranger")
    del issuer.published[-1]
    return jwt.encode(issuer.claims(), issuer.signing["stranger"][0], "RS256", headers={"kid": "rsa"})


def _with_key(issuer: Issuer, key_id: str, algorithm: str = "RS256", **more: object) -> str:
    issuer.add_key(key_id, algorithm, **more)
    return issuer.token(key_id)


def _altered(token: str) -> str:
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def _without_key_id(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), issuer.signing["rsa"][0], "RS256")


REFUSED: dict[str, Callable[[Issuer], str]] = {
    "no signature": lambda i: jwt.encode(i.claims(), None, "none", headers={"kid": "rsa"}),
    "a symmetric signature by the public key": _by_secret,
    "a symmetric signature by a published secret": _by_published_secret,
    "somebody else's signature": _of_stranger,
    "an altered signature": lambda i: _altered(i.token("rsa")),
    "another algorithm": lambda i: _with_key(i, "long", "RS512"),
    "a key that is too short": lambda i: _with_key(i, "short", bits=1024),
    "a key for encryption": lambda i: _with_key(i, "locked", use="enc"),
    "a key that is not published": lambda i: (i.add_key("secret"), i.published.pop(), i.token("secret"))[2],
    "no key id": _without_key_id,
    "an end that is over": lambda i: i.token("rsa", exp=time.time() - 60),
    "no end": lambda i: i.token("rsa", without="exp"),
    "a beginning that is to come": lambda i: i.token("rsa", nbf=time.time() + 300),
    "another audience": lambda i: i.token("rsa", aud="others"),
    "no audience": lambda i: i.token("rsa", without="aud"),
    "another issuer": lambda i: i.token("rsa", iss="https://evil.example"),
    "no issuer": lambda i: i.token("rsa", without="iss"),
    "no subject": lambda i: i.token("rsa", without="sub"),
    "a subject that is no text": lambda i: jwt.encode(
        i.claims() | {"sub": 7}, i.signing["rsa"][0], "RS256", headers={"kid": "rsa"}
    ),
    "no scope": lambda i: i.token("rsa", without="scope"),
    "scopes of something else": lambda i: i.token("rsa", scope="openid other/upload"),
    "scopes of a strange form": lambda i: i.token("rsa", scope={"upload": True}),
    "nothing of a token": lambda i: "a.b.c",
    "JSON without end": lambda i: jwt.utils.base64url_encode(b"[" * 100_000).decode() + ".e30.AA",
    "no JSON": lambda i: "!!!.???.___",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_token_is_refused_for(what: str, issuer: Issuer, tokens: TokenIssuer) -> None:
    token = REFUSED[what](issuer)
    with pytest.raises(NotAuthenticated):
        tokens.check(token)
    assert tokens.check(issuer.token("rsa"))  # others go on


def test_a_new_key_of_the_issuer_is_found_and_a_withdrawn_one_forgotten(
    issuer: Issuer, tokens: TokenIssuer, clock: Clock
) -> None:
    old = issuer.token("rsa")
    tokens.check(old)
    clock.seconds += token_issuer.PAUSE_SECONDS
    issuer.add_key("next")
    assert tokens.check(issuer.token("next"))
    issuer.published = [key for key in issuer.published if key["kid"] != "rsa"]
    assert tokens.check(old)
    clock.seconds += token_issuer.KEYS_SECONDS
    with pytest.raises(NotAuthenticated, match="does not publish"):
        tokens.check(old)


def test_invented_keys_do_not_besiege_the_issuer(issuer: Issuer, tokens: TokenIssuer, clock: Clock) -> None:
    tokens.check(issuer.token("rsa"))
    fetched = len(issuer.asked)
    private = issuer.signing["rsa"][0]
    for number in range(50):
        clock.seconds += 0.1
        invented = jwt.encode(issuer.claims(), private, "RS256", headers={"kid": f"key-{number}"})
        with pytest.raises(NotAuthenticated):
            tokens.check(invented)
    assert len(issuer.asked) == fetched == 2  # its description and its keys


def test_nobody_gets_in_while_the_issuer_is_down_unless_its_keys_are_known(
    issuer: Issuer, tokens: TokenIssuer, clock: Clock
) -> None:
    issuer.is_down = True
    for _ in range(3):
        with pytest.raises(StorageError):
            tokens.check(issuer.token("rsa"))
    assert len(issuer.asked) == 1  # not asked again at once
    issuer.is_down = False
    clock.seconds += token_issuer.PAUSE_SECONDS
    assert tokens.check(issuer.token("rsa"))
    issuer.is_down = True
    clock.seconds += token_issuer.PAUSE_SECONDS
    with pytest.raises(StorageError):
        tokens.check(jwt.encode(issuer.claims(), issuer.signing["rsa"][0], "RS256", headers={"kid": "new"}))
    assert tokens.check(issuer.token("rsa"))
    clock.seconds += token_issuer.KEYS_SECONDS
    with pytest.raises(StorageError):
        tokens.check(issuer.token("rsa"))


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://localhost/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"padding": "x" * token_issuer.MAX_BYTES},
    ],
)
def test_an_issuer_that_describes_itself_wrongly_is_not_believed(
    issuer: Issuer, tokens: TokenIssuer, about: dict[str, object]
) -> None:
    issuer.about |= about
    with pytest.raises(StorageError):
        tokens.check(issuer.token("rsa"))


def test_a_redirect_is_not_followed(issuer: Issuer, tokens: TokenIssuer) -> None:
    issuer.redirects = {"/keys?version=1": f"{issuer.url}/.well-known/openid-configuration"}
    with pytest.raises(StorageError):
        tokens.check(issuer.token("rsa"))
    assert len(issuer.asked) == 2


def test_a_certificate_that_nobody_trusts_ends_it(
    issuer: Issuer, tokens: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(StorageError):
        tokens.check(issuer.token("rsa"))
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("url", "audience"), [("http://localhost", AUDIENCE), ("https://localhost", ""), ("", AUDIENCE)]
)
def test_an_issuer_without_tls_or_audience_is_refused(url: str, audience: str) -> None:
    with pytest.raises(SetupError):
        TokenIssuer(url, audience, "scope")


def test_what_is_wrong_is_said_without_the_token(issuer: Issuer, tokens: TokenIssuer) -> None:
    token = issuer.token("rsa", exp=time.time() - 60)
    with pytest.raises(MienError) as refused:
        tokens.check(token)
    assert not any(part in str(refused.value) for part in [*token.split("."), "ada@example.org"])
