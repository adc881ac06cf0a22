"""Ask for an API key, or for a token of the issuer that the stage trusts, before a function answers.

API Gateway refuses calls without the header by itself, and calls this once a minute for each key that it sees, whether
the key is known or not. What a key allows is checked by the function that answers, which knows the scope of each route;
what a token allows is told to it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerRequestEvent,
    APIGatewayAuthorizerResponse,
)

from mien.backends.aws.secret_keys import SecretKeys
from mien.domain.errors import NotAuthenticated, SetupError
from mien.lambdas.deadline import prepare
from mien.lambdas.telemetry import count, logger, metrics
from mien.security.api_keys import KeyFile, key_id_in
from mien.security.signing import Signer
from mien.settings import Settings

if TYPE_CHECKING:
    from mien.security.token_issuer import TokenIssuer

NOBODY = "nobody"
JWT_DOTS = 2  # a JSON Web Token has three parts; a key has none


@logger.inject_lambda_context
@metrics.log_metrics
def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle a question of API Gateway: whether the key or token in `X-Api-Key` is known, for all routes of the stage.

    The answer names the key's id, never its name, for the access log, and for a token a pseudonym, its scopes and its
    end. A secret or an issuer that cannot be asked is an error, which API Gateway answers as such.
    """
    request = APIGatewayAuthorizerRequestEvent(event)
    text = request.headers.get("X-Api-Key", "")
    caller, told = _bearer(text) if text.count(".") == JWT_DOTS else (_key_id(text), {})
    arn = request.parsed_arn
    policy = APIGatewayAuthorizerResponse(
        principal_id=caller or NOBODY,
        region=arn.region,
        aws_account_id=arn.aws_account_id,
        api_id=arn.api_id,
        stage=arn.stage,
        partition=arn.partition,
        context=told,
    )
    if caller is None:
        count("KeysRefused")
        policy.deny_all_routes()
    else:
        policy.allow_all_routes()
    answer: dict[str, Any] = policy.asdict()
    return answer


def _key_id(text: str) -> str | None:
    keys = _keys()
    keys.refresh(key_id_in(text))
    try:
        return KeyFile(keys.copy).check(text).key_id
    except NotAuthenticated:
        return None


def _bearer(token: str) -> tuple[str | None, dict[str, str]]:
    """Return the pseudonym of a token's subject, and what the functions are told of the token."""
    issuer = _issuer()
    if issuer is None:
        return None, {}
    try:
        bearer = issuer.check(token)
    except NotAuthenticated:
        return None, {}
    keys = _keys()
    keys.refresh()
    pseudonym = Signer(keys.signing.encode()).hash(f"bearer {bearer.subject}")
    return f"token-{pseudonym}", {"scopes": " ".join(sorted(bearer.scopes)), "until": str(bearer.until)}


@cache
def _issuer() -> TokenIssuer | None:
    settings = Settings.from_environment()
    if not settings.jwt_issuer:
        return None
    from mien.security.token_issuer import TokenIssuer  # loads a cryptographic library, which keys do not need

    return TokenIssuer(settings.jwt_issuer, settings.jwt_audience or "", settings.jwt_scopes)


@cache
def _keys() -> SecretKeys:
    secret = Settings.from_environment().keys_secret
    if secret is None:
        raise SetupError("MIEN_KEYS_SECRET is not set. Without keys, nobody may call the API.")
    return SecretKeys(secret, Path(gettempdir()) / "mien-api-keys.json")


def _prepare(_: object) -> None:
    _keys().refresh()
    _issuer()


prepare(__name__, _prepare)
