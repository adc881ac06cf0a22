"""Ask for an API key before a function answers.

API Gateway refuses calls without the header by itself, and calls this once a minute for each key that it sees, whether
the key is known or not. What a key allows is checked by the function that answers, which knows the scope of each route.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerRequestEvent,
    APIGatewayAuthorizerResponse,
)

from mien.backends.aws.secret_keys import SecretKeys
from mien.config import Settings
from mien.domain.errors import NotAuthenticated, SetupError
from mien.lambdas.deadline import prepare
from mien.lambdas.telemetry import count, logger, metrics
from mien.security.api_keys import KeyFile, key_id_in

NOBODY = "nobody"


@logger.inject_lambda_context
@metrics.log_metrics
def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle a question of API Gateway: whether the key in `X-Api-Key` is known, for all routes of the stage.

    The answer names the key's id, never its name, for the access log. A secret that cannot be read is an error, which
    API Gateway answers as such.
    """
    request = APIGatewayAuthorizerRequestEvent(event)
    key_id = _key_id(request.headers.get("X-Api-Key", ""))
    arn = request.parsed_arn
    policy = APIGatewayAuthorizerResponse(
        principal_id=key_id or NOBODY,
        region=arn.region,
        aws_account_id=arn.aws_account_id,
        api_id=arn.api_id,
        stage=arn.stage,
        partition=arn.partition,
    )
    if key_id is None:
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


@cache
def _keys() -> SecretKeys:
    secret = Settings.from_environment().keys_secret
    if secret is None:
        raise SetupError("MIEN_KEYS_SECRET is not set. Without keys, nobody may call the API.")
    return SecretKeys(secret, Path(gettempdir()) / "mien-api-keys.json")


prepare(__name__, lambda _: _keys().refresh())
