"""Who gets in: the authorizer, limits that all instances share, and what the gateway answers by itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mien.backends.aws import clients, secret_keys
from mien.backends.aws.key_rates import KeyRates
from mien.security.api_keys import key_id_of
from mien.security.token_issuer import LEEWAY_SECONDS
from tests.aws import local, stack
from tests.aws.world import World, request
from tests.support import token_issuer

ARN = f"arn:aws:execute-api:{stack.REGION}:{stack.ACCOUNT}:abcdef123/dev/GET/users"
OPEN = {"/", "/static/{file+}", "/{path+}"}


def question(key: str, header: str = "X-Api-Key") -> dict[str, Any]:
    """What API Gateway asks an authorizer of the type REQUEST."""
    return request("GET", "/users", "/users") | {"type": "REQUEST", "methodArn": ARN, "headers": {header: key}}


def test_the_authorizer_knows_the_keys_and_names_nobody(world: World, tmp_path: Path) -> None:
    key = world.keep_keys(tmp_path)
    with world.function("authorizer") as function:
        known = function.invoke(question(key))
        again = function.invoke(question(key, "x-api-key"))
        unknown = function.invoke(question(key[:-1] + ("A" if key[-1] != "A" else "B")))
    for answer, effect in ((known, "Allow"), (again, "Allow"), (unknown, "Deny")):
        (statement,) = answer["policyDocument"]["Statement"]
        assert statement["Effect"] == effect
        assert statement["Resource"] == [ARN.removesuffix("GET/users") + "*/*"]  # the gateway keeps it for every route
    assert (known["principalId"], unknown["principalId"]) == (key_id_of(key), "nobody")
    assert '"KeysRefused":[1.0]' in function.output
    assert key not in function.output


def test_an_authorizer_without_the_secret_lets_nobody_in(world: World) -> None:
    world.secrets.delete_secret(SecretId="keys", ForceDeleteWithoutRecovery=True)
    with world.function("authorizer") as function, pytest.raises(RuntimeError, match="SetupError"):
        function.invoke(question("mien_00000000_" + 43 * "a"))


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[token_issuer.Issuer]:
    with token_issuer.running(tmp_path) as issuer:
        yield issuer


def trusting(issuer: token_issuer.Issuer) -> dict[str, str]:
    """The settings of an authorizer that accepts an issuer's tokens."""
    audience = {"MIEN_JWT_AUDIENCE": token_issuer.AUDIENCE}
    return audience | {"MIEN_JWT_ISSUER": issuer.url, "SSL_CERT_FILE": str(issuer.certificate)}


def test_a_token_of_the_issuer_opens_what_its_scopes_allow(
    world: World, tmp_path: Path, issuer: token_issuer.Issuer
) -> None:
    key, until = world.keep_keys(tmp_path), int(time.time()) + 300
    token = issuer.token("ec", exp=until, scope="recognize manage")
    with world.function("authorizer", **trusting(issuer)) as authorizer:
        allowed = authorizer.invoke(question(token))
        same = authorizer.invoke(question(issuer.token("rsa")))
        other = authorizer.invoke(question(issuer.token("rsa", sub="grace@example.org")))
        by_key = authorizer.invoke(question(key))
        denied = authorizer.invoke(question(issuer.token("rsa", exp=until - 600)))
        issuer.is_down = True
        assert authorizer.invoke(question(token)) == allowed  # its keys are known
    assert [answer["policyDocument"]["Statement"][0]["Effect"] for answer in (allowed, by_key, denied)] == [
        *("Allow", "Allow", "Deny")
    ]
    assert allowed["context"] == {"scopes": "manage recognize", "until": str(until + LEEWAY_SECONDS)}
    assert allowed["principalId"] == same["principalId"] != other["principalId"]
    assert (by_key["principalId"], denied["principalId"]) == (key_id_of(key), "nobody")
    for told in (json.dumps([allowed, same, other, denied]), authorizer.output):
        assert "ada@" not in told
        assert "grace@" not in told
        assert token not in told

    asked = request("GET", "/users", "/users", token)
    told = {"principalId": allowed["principalId"]}
    asked["requestContext"]["authorizer"] = told | allowed["context"]
    narrow = request("GET", "/users", "/users", token)
    narrow["requestContext"]["authorizer"] = told | {"scopes": "recognize", "until": str(until)}
    late = request("GET", "/users", "/users", token)
    late["requestContext"]["authorizer"] = told | {"scopes": "manage", "until": str(until - 600)}
    with world.function("people") as people:
        statuses = [people.invoke(each)["statusCode"] for each in (asked, narrow, late)]
        unasked = people.invoke(request("GET", "/users", "/users", token))  # the authorizer did not vouch for it
    assert (statuses, unasked["statusCode"]) == ([200, 403, 401], 401)
    assert f'"key_id":"{allowed["principalId"]}"' in people.output


def test_no_token_opens_anything_while_the_issuer_is_down_or_unset(
    world: World, tmp_path: Path, issuer: token_issuer.Issuer
) -> None:
    key = world.keep_keys(tmp_path)
    with world.function("authorizer") as authorizer:
        assert authorizer.invoke(question(issuer.token("rsa")))["principalId"] == "nobody"
    assert issuer.asked == []
    issuer.is_down = True
    with world.function("authorizer", **trusting(issuer)) as authorizer:
        with pytest.raises(RuntimeError, match="StorageError"):  # which the gateway answers with 503, and does not keep
            authorizer.invoke(question(issuer.token("rsa")))
        assert authorizer.invoke(question(key))["principalId"] == key_id_of(key)  # keys do not depend on it
    without_tls = trusting(issuer) | {"MIEN_JWT_ISSUER": issuer.url.replace("https", "http")}
    with world.function("authorizer", **without_tls) as authorizer, pytest.raises(RuntimeError, match="SetupError"):
        authorizer.invoke(question(issuer.token("rsa")))


def test_a_key_is_known_seconds_after_it_was_made(world: World, tmp_path: Path) -> None:
    """The authorizer's answer is kept for a minute, a wrong one, too; and so is each function's copy of the keys."""
    world.keep_keys(tmp_path)
    with world.function("authorizer") as authorizer, world.function("people") as people:
        assert authorizer.invoke(question("mien_00000000_" + 43 * "a"))["principalId"] == "nobody"
        assert people.invoke(request("GET", "/users", "/users"))["statusCode"] == 401
        (tmp_path / "keys.json").unlink()
        key = world.keep_keys(tmp_path)
        asked = request("GET", "/users", "/users", key)
        asked["requestContext"]["authorizer"] = {"principalId": key_id_of(key)}
        time.sleep(secret_keys.NEW_KEY_SECONDS)
        assert authorizer.invoke(question(key))["principalId"] == key_id_of(key)
        assert people.invoke(asked)["statusCode"] == 200


def test_the_keys_are_not_fetched_again_for_each_guess(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = json.dumps({"keys": {}, "signing": 16 * "s"})
    fetched: list[str] = []
    monkeypatch.setattr(clients, "secret", lambda name: (fetched.append(name) or content, "v-1"))
    keys = secret_keys.SecretKeys("keys", tmp_path / "copy.json")
    for number in range(100):
        keys.refresh(f"{number:08x}")
    assert len(fetched) == 1


def test_a_keys_limit_holds_across_instances(world: World, tmp_path: Path) -> None:
    key = world.keep_keys(tmp_path)
    asked = request("GET", "/users", "/users", key)
    limit = {"MIEN_RATE_PER_MINUTE": "3"}
    with world.function("people", **limit) as one, world.function("people", **limit) as other:
        statuses = [f.invoke(asked)["statusCode"] for f in (one, other, one, other, one, other, one)]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses  # also where a minute ends in between


def test_a_count_begins_anew_each_minute_and_expires() -> None:
    now = [60_000_000.0]
    with local.storage() as (_, catalog):
        client = catalog._dynamodb
        rates = [KeyRates(client, "MienRecords", 2, lambda: now[0]) for _ in range(2)]
        assert [rates[n % 2].take("one") for n in range(3)] == [True, True, False]
        assert rates[0].take("another")
        now[0] += 60
        assert rates[1].take("one")
        items = client.scan(TableName="MienRecords")["Items"]
    assert {item["Kind"]["S"] for item in items} == {"KeyRate"}
    assert all(now[0] < int(item["ExpiresAt"]["N"]) <= now[0] + 600 for item in items)


def test_every_route_but_the_pages_files_asks_for_a_key() -> None:
    (api,) = stack.resources("AWS::ApiGateway::RestApi").values()
    for path, methods in api["Body"]["paths"].items():
        for operation in methods.values():
            needed = [name for each in operation.get("security", ()) for name in each]
            assert needed == (["NONE"] if path in OPEN else ["Keys"])
    authorizer = api["Body"]["components"]["securitySchemes"]["Keys"]["x-amazon-apigateway-authorizer"]
    assert authorizer["identitySource"] == "method.request.header.X-Api-Key"  # without it the gateway refuses by itself
    assert authorizer["authorizerResultTtlInSeconds"] == 60


def test_pages_of_api_origins_read_what_the_gateway_answers_itself() -> None:
    """Whatever ApiOrigins is: SAM makes a new deployment of the API when its definition changes, not a parameter."""
    (api,) = stack.resources("AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= answers.keys()
    for answer in answers.values():
        headers = answer["responseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        if "gatewayresponse.header.Retry-After" in headers:
            assert "Retry-After" in str(headers["gatewayresponse.header.Access-Control-Expose-Headers"])
    definition = json.dumps({"paths": api["Body"]["paths"], "answers": answers})
    assert {name for name in stack.translated()["Parameters"] if f'"{name}"' in definition} == set()


def test_pages_of_api_origins_read_each_refusal_of_a_function(world: World, tmp_path: Path) -> None:
    world.keep_keys(tmp_path)
    friend, stranger = {"Origin": "https://friend.example"}, {"Origin": "https://stranger.example"}
    guarded = ("GET", "/health", "/health")
    with world.function("recognize", MIEN_CORS_ORIGINS=friend["Origin"]) as function:
        refused = function.invoke(request(*guarded, headers=friend))
        hidden = function.invoke(request(*guarded, headers=stranger))
        unknown = function.invoke(request("GET", "/nowhere", "/nowhere", headers=friend))
    assert function.output.count('"KeysRefused":[1.0]') == 2  # and not the unknown route
    assert (refused["statusCode"], refused["headers"]["access-control-allow-origin"]) == (401, friend["Origin"])
    assert (hidden["statusCode"], "access-control-allow-origin" in hidden["headers"]) == (401, False)
    assert (unknown["statusCode"], unknown["headers"]["Access-Control-Allow-Origin"]) == (404, "*")
    world.secrets.delete_secret(SecretId="keys", ForceDeleteWithoutRecovery=True)
    with world.function("recognize", MIEN_CORS_ORIGINS=friend["Origin"]) as function:
        failed = function.invoke(request(*guarded, headers=friend))
    with world.function("recognize") as function:
        closed = function.invoke(request(*guarded, headers=friend))
    assert (failed["statusCode"], failed["headers"]["Access-Control-Allow-Origin"]) == (500, "*")
    assert (closed["statusCode"], "Access-Control-Allow-Origin" in closed["headers"]) == (500, False)


def test_browsers_keep_the_pages_files_for_as_long_as_they_stay_the_same(world: World, tmp_path: Path) -> None:
    world.keep_keys(tmp_path)
    with world.function("people") as function:
        page = function.invoke(request("GET", "/", "/"))["body"]
        (path,) = re.findall(r'script type="module" src="(static/[0-9a-f]{16}/main.js)"', page)
        script = function.invoke(request("GET", "/static/{file+}", f"/{path}"))
        other = function.invoke(request("GET", "/static/{file+}", "/static/0123456789abcdef/main.js"))
        bare = function.invoke(request("GET", "/static/{file+}", "/static/main.js"))
    assert (script["statusCode"], script["headers"]["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert other["statusCode"] == 404
    assert (bare["statusCode"], bare["headers"]["cache-control"]) == (200, "no-cache")
    assert '"static/' not in page.replace(path.removesuffix("main.js"), "")


def test_an_instance_is_ready_before_its_first_call(world: World, tmp_path: Path) -> None:
    """A function that starts without its secret answers its first call with what was wrong, and the next one, too."""
    key = world.keep_keys(tmp_path)
    with world.function("people") as function:
        assert function.invoke(request("GET", "/users", "/users", key))["statusCode"] == 200
        world.secrets.delete_secret(SecretId="keys", ForceDeleteWithoutRecovery=True)
        assert function.invoke(request("GET", "/users", "/users", key))["statusCode"] == 200  # it has the keys already
    with world.function("people") as function:
        refused = function.invoke(request("GET", "/users", "/users", key))
    assert refused["statusCode"] == 500
    assert json.loads(refused["body"])["type"].startswith("urn:mien:")
