"""One HTTP request goes in, one answer comes out: the checks of AWS's front end, in AWS's order, then the operation.

Method, target, JSON, signature, rate, types and constraints, permission, operation. AWS publishes no order;
this one is pieced together from captures of its JSON services. Plain functions without a server around them,
so that the parser and the checks can be fuzzed.
"""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

from mien.domain.errors import MienError
from mien.rekognition.access import authorise, identify
from mien.rekognition.errors import INTERNAL, SLOW_DOWN, WireError, from_domain
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.parsing import operation_model, parse, service_model
from mien.rekognition.rates import Rates
from mien.rekognition.serializers import collection_of
from mien.rekognition.service import Call, Service
from mien.rekognition.settings import WireSettings
from mien.rekognition.sigv4 import Received
from mien.rekognition.validation import check

JSON_TYPE = "application/x-amz-json-1.1"
CONTENT_TYPES = (JSON_TYPE, "application/json")
TARGET_PREFIX = "RekognitionService."
NOT_POST = (
    b"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n"
    b"</AccessDeniedException>\n"
)
NO_TARGET = b"<UnknownOperationException/>\n"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = JSON_TYPE
    request_id: str = ""


class Dispatcher:
    def __init__(self, service: Service, settings: WireSettings) -> None:
        self._service, self._settings = service, settings
        self._rates = Rates(settings.rates)

    def answer(self, request: Received, *, local: bool) -> Answer:
        """Answer a request, whatever it is; nothing is raised. `local`: see `identify`."""
        request_id = str(uuid4())
        if request.method != "POST":
            return Answer(403, NOT_POST, "application/xml", request_id)
        if "x-amz-target" not in request.headers or not _is_json(request.headers.get("content-type", "")):
            return Answer(404, NO_TARGET, "application/xml", request_id)
        try:
            body = self._respond(request, local, request_id)
        except WireError as error:
            return _refusal(error, request_id)
        return Answer(200, _json(body), request_id=request_id)

    def _respond(self, request: Received, local: bool, request_id: str) -> dict[str, Any]:
        name = request.headers["x-amz-target"].removeprefix(TARGET_PREFIX)
        params: dict[str, Any] = {}
        try:
            given = _read(request, name)
            caller = identify(request, local, self._settings)
            self._rates.take(name)
            params = self._params(name, given)
            authorise(caller, name, params, self._service.account)
            call = Call(name, params, caller.key.identity, caller.region)
            return self._service.tokens.once(call, lambda: OPERATIONS[name](self._service, call))
        except WireError:
            raise
        except MienError as error:
            raise from_domain(error, params) from error
        except Exception as error:
            _log_failure(error, request_id)
            raise WireError("InternalServerError", INTERNAL) from error

    def _params(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        if name not in OPERATIONS:
            raise WireError("UnsupportedOperationException", f"Mien does not offer the operation {name}.")
        shape = operation_model(name).input_shape
        params: dict[str, Any] = parse(shape, given)
        check(shape, params)
        if "ResourceArn" in params:
            params["CollectionId"] = collection_of(params["ResourceArn"], self._service.account)
        return params


def throttled() -> Answer:
    """The answer to a request for which there is no room."""
    return _refusal(WireError("ThrottlingException", SLOW_DOWN, cause="Too many wait."), str(uuid4()))


def _refusal(error: WireError, request_id: str) -> Answer:
    log.warning("%s %s: %s", request_id, error.code, error.cause or "as its code says")
    return Answer(error.status, _json(error.body(request_id)), request_id=request_id)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in CONTENT_TYPES


def _read(request: Received, name: str) -> dict[str, Any]:
    """The JSON object in the body, for an operation that the service has."""
    known = name in service_model().operation_names and request.headers["x-amz-target"] == TARGET_PREFIX + name
    if not known and not request.body:
        raise WireError("UnknownOperationException", "")
    given = _json_object(request.body)
    if not known:
        raise WireError("UnknownOperationException", "")
    return given


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise WireError("SerializationException", "", cause="The body is not JSON.") from None
    if not isinstance(given, dict):
        raise WireError("SerializationException", "", cause="The body is not a JSON object.")
    return given


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _log_failure(error: Exception, request_id: str) -> None:
    """Where it broke and what kind of error it was; its text may hold personal data, so it is left out."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s %s\n%s", request_id, type(error).__name__, frames)
