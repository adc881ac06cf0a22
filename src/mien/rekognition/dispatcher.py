"""Answer one HTTP request: the checks of AWS's front end in AWS's order, then the operation.

The order is method, target, JSON, signature, rate, types and constraints, permission, operation. AWS does not publish
it; this one follows published answers of AWS's services that speak the same protocol, AWS JSON 1.1.

Plain functions without a server around them, so that parser and checks can be fuzzed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import uuid4

from mien.domain.errors import InvalidInput, MienError, frames
from mien.rekognition.access import Caller, authorize, find_caller, identify
from mien.rekognition.audit import note, recorded
from mien.rekognition.errors import INTERNAL_ERROR, RATE_EXCEEDED, WireError, from_domain
from mien.rekognition.idempotency import IdempotencyCache
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.parsing import operation_model, parse, service_model
from mien.rekognition.serializers import parse_collection_arn
from mien.rekognition.service import Answer, Call, Service
from mien.rekognition.settings import WireSettings
from mien.rekognition.sigv4 import RawRequest, read_claim
from mien.rekognition.validation import validate
from mien.security.audit import Audit
from mien.security.json_input import parse_object
from mien.security.rate_limit import TokenBucket

JSON_TYPE = "application/x-amz-json-1.1"
CONTENT_TYPES = (JSON_TYPE, "application/json")
TARGET_PREFIX = "RekognitionService."
NOT_POST = (
    b"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n"
    b"</AccessDeniedException>\n"
)
NO_TARGET = b"<UnknownOperationException/>\n"
BURST_SECONDS = 1.0
MAX_MEMBERS = 20_000
"""More than the largest call has: 4,096 face ids."""

MAX_CAUSE_LENGTH = 200
"""In the log: a call may violate as many constraints as it has parameters."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An HTTP response.

    Attributes:
        status, body: The answer.
        content_type, request_id: The values of its Content-Type and x-amzn-requestid headers.
        access_key_id: Who called, if that was verified; for the log.
    """

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    request_id: str = ""
    access_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call whose signature was verified, and of which nothing else was.

    Attributes:
        request_id: For the response and the log.
        operation: The name of the operation.
        body: The JSON object, not yet parsed: parsed texts may take four times as many bytes while a call waits.
        caller: Who signed it.
    """

    request_id: str
    operation: str
    body: bytes
    caller: Caller


class RequestRates:
    """Limits the requests per second of each operation; one without a rate is not limited.

    Each operation has a token bucket that holds one second's worth of requests. An empty bucket answers
    ProvisionedThroughputExceededException; a client that then goes on at more than twice the rate gets
    ThrottlingException.
    """

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        """Limit each operation to its rate in requests per second. `clock` returns seconds that never go back."""
        self._buckets = {operation: TokenBucket(rate, BURST_SECONDS, clock) for operation, rate in rates.items()}

    def take(self, operation: str) -> None:
        """Count one request. Raises WireError when it exceeds the operation's rate."""
        bucket = self._buckets.get(operation)
        if bucket is None:
            return
        refused_in_a_row = bucket.take()
        if refused_in_a_row > bucket.rate:
            raise WireError("ThrottlingException", RATE_EXCEEDED)
        if refused_in_a_row > 0:
            raise WireError("ProvisionedThroughputExceededException", "Provisioned Rate exceeded.")


class Dispatcher:
    """Answers requests with a service's operations; safe to use from several threads."""

    def __init__(self, service: Service, settings: WireSettings, audit: Audit) -> None:
        """Answer requests with `service`, for the access keys and at the rates of `settings`; `audit` records them."""
        self._service, self._settings, self._audit = service, settings, audit
        self._rates = RequestRates(settings.rates)
        self._idempotency = IdempotencyCache()

    def verify(self, request: RawRequest, *, is_local: bool) -> SignedCall | WireResponse:
        """Verify who makes a call, or return the refusal; no exception leaves this method.

        Args:
            request: The request as received, whatever it is.
            is_local: Whether it comes from a program on this machine.
        """
        request_id = str(uuid4())
        if not _is_call(request):
            return _no_call(request, request_id)
        operation = request.headers["x-amz-target"].removeprefix(TARGET_PREFIX)
        try:
            _decode(request, operation)
            caller = identify(request, self._settings, is_local=is_local)
        except WireError as error:
            return _error_response(error, request_id)
        except Exception as error:
            return _failure(error, request_id)
        return SignedCall(request_id, operation, request.body, caller)

    def answer(self, call: SignedCall) -> WireResponse:
        """Answer a call that was verified; no exception leaves this method."""
        try:
            answer = self._run(call)
        except WireError as error:
            response = _error_response(error, call.request_id)
        except Exception as error:
            response = _failure(error, call.request_id)
        else:
            response = WireResponse(200, _encode(answer), request_id=call.request_id)
        return replace(response, access_key_id=call.caller.key_id)

    def refuse_signer(self, request: RawRequest, *, is_local: bool) -> WireResponse | None:
        """Return the refusal of a request whose body need not be read, because its caller is not known; or None.

        Args:
            request: The request, without its body.
            is_local: As for `verify`.
        """
        request_id = str(uuid4())
        if not _is_call(request):
            return _no_call(request, request_id)
        try:
            find_caller(request, self._settings, is_local=is_local)
        except WireError as error:
            return _error_response(error, request_id)
        return None

    def claimed_key_id(self, request: RawRequest) -> str:
        """Return the id of the access key that a request claims to be signed with; empty when there is none such."""
        try:
            key_id = read_claim(request).access_key_id
        except WireError:
            return ""
        return key_id if key_id in self._settings.keys else ""

    def _run(self, signed: SignedCall) -> Answer:
        operation, caller, params = signed.operation, signed.caller, dict[str, Any]()
        self._rates.take(operation)
        try:
            with recorded(self._audit, caller, operation) as activity:
                params = self._parse(operation, _decode_object(signed.body))
                authorize(caller, operation, params, self._service.account)
                call = Call(operation, params, caller.key.identity, caller.region)
                answer = self._idempotency.run_once(call, lambda: OPERATIONS[operation](self._service, call))
                note(activity, params, answer)
        except MienError as error:
            raise from_domain(error, params) from error
        return answer

    def _parse(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        if operation not in OPERATIONS:
            raise WireError("UnsupportedOperationException", f"Mien does not offer the operation {operation}.")
        shape = operation_model(operation).input_shape
        params: dict[str, Any] = parse(shape, members)
        validate(shape, params)
        if "ResourceArn" in params:
            params["CollectionId"] = parse_collection_arn(params["ResourceArn"], self._service.account)
        return params


def operation_name(target: str) -> str:
    """Return the name of an operation of Rekognition from the header X-Amz-Target, or `other`."""
    name = target.removeprefix(TARGET_PREFIX)
    return name if name in _operation_names() else "other"


@cache
def _operation_names() -> frozenset[str]:
    return frozenset(service_model().operation_names)


def _is_call(request: RawRequest) -> bool:
    is_json = _is_json(request.headers.get("content-type", ""))
    return request.method == "POST" and "x-amz-target" in request.headers and is_json


def _no_call(request: RawRequest, request_id: str) -> WireResponse:
    if request.method != "POST":
        return WireResponse(403, NOT_POST, "application/xml", request_id)
    return WireResponse(404, NO_TARGET, "application/xml", request_id)


def throttled() -> WireResponse:
    """Return the response to a request that the server has no capacity for."""
    return _error_response(
        WireError("ThrottlingException", RATE_EXCEEDED, cause="Too many requests wait."), str(uuid4())
    )


def _error_response(error: WireError, request_id: str) -> WireResponse:
    cause = (error.cause or "as its code says")[:MAX_CAUSE_LENGTH]
    log.warning("%s %s: %s", request_id, error.code, cause, extra={"error": error.code})
    return WireResponse(error.status, _encode(error.body(request_id)), request_id=request_id)


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in CONTENT_TYPES


def _decode(request: RawRequest, operation: str) -> dict[str, Any]:
    """Return the JSON object in the body. Raises WireError for an operation that Rekognition does not have."""
    target = request.headers["x-amz-target"]
    is_known = operation in service_model().operation_names and target == TARGET_PREFIX + operation
    if not is_known and not request.body:
        raise WireError("UnknownOperationException", "")
    members = _decode_object(request.body)
    if not is_known:
        raise WireError("UnknownOperationException", "")
    return members


def _decode_object(body: bytes) -> dict[str, Any]:
    try:
        return parse_object(body, MAX_MEMBERS)
    except InvalidInput as error:
        raise WireError("SerializationException", "", cause=str(error)) from None


def _failure(error: Exception, request_id: str) -> WireResponse:
    """Log the kind of an error and where it came from, without its message, which may hold personal data."""
    kind, places = type(error).__name__, frames(error.__traceback__)
    log.error("%s %s in %s", request_id, kind, ", ".join(places), extra={"error": kind, "frames": places})
    return _error_response(WireError("InternalServerError", INTERNAL_ERROR), request_id)
