"""The functions on AWS with events that nobody should send: refused or handled, and nothing of them in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mien.app.app import FaceApp
from mien.backends.aws import clients
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.errors import InvalidInput, SetupError
from mien.lambdas import api_gateway, authorizer, queue_messages, telemetry, upload_queue, worker
from mien.security.api_keys import KeyFile, Scope, key_id_of
from tests.hostile.events import any_batch, any_gateway_event, any_question
from tests.hostile.target import CANARY, NAME, PERSON
from tests.hostile.test_fuzz import WRONG_KEY, many
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of

SIGNING = "s" * 32


class Context:
    """What Lambda tells a function of its call."""

    function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "f", 512, "arn:aws:lambda:f", "r-1"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


class Rates:
    """Counts no calls, so that a key may make any number."""

    def take(self, _key_id: str) -> bool:
        return bool(_key_id)


class Lines(logging.Handler):
    """Keeps what a function would write to its log, as its formatter writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(telemetry.logger.registered_formatter)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(self.format(record))


@dataclass
class Functions:
    app: FaceApp
    key: str
    lines: Lines
    sent: list[str]

    def check_lines(self, cause: object) -> None:
        kept, self.lines.kept = self.lines.kept, []
        for line in kept:
            assert isinstance(json.loads(line), dict), cause
            assert CANARY not in line, (cause, line)
            assert "uillfeather" not in line, (cause, line)


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    folder, bucket, engine = tmp_path_factory.mktemp("functions"), MemoryBucket(lambda _: None), FakeFaceEngine()
    app = FaceApp(bucket, MemoryRecognizer(engine), MemoryCatalog())
    key = KeyFile(folder / "keys.json").create("tests", list(Scope))
    secret = json.dumps({"keys": json.loads((folder / "keys.json").read_text()), "signing": SIGNING})
    lines, sent = Lines(), list[str]()
    loggers = [logging.getLogger(), logging.getLogger("mien"), telemetry.logger._logger]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("MIEN_BACKEND", "aws"),
            ("MIEN_KEYS_SECRET", "keys"),
            ("MIEN_BUCKET", "photos"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ):
            patch.setenv(name, value)
        patch.setattr(telemetry.metrics.provider, "namespace", "Mien")
        patch.setattr(clients, "secret", lambda _: (secret, "v-1"))
        patch.setattr(api_gateway, "open_inside", lambda *_: app)
        patch.setattr(api_gateway, "gettempdir", lambda: str(folder))
        patch.setattr(authorizer, "gettempdir", lambda: str(folder))
        patch.setattr(api_gateway, "KeyRates", lambda *_: Rates())
        patch.setattr(worker, "application", lambda: app)
        patch.setattr(queue_messages, "send", sent.append)
        for each in loggers:
            patch.setattr(each, "handlers", [lines])
        api_gateway._gateway.cache_clear()
        authorizer._keys.cache_clear()
        worker.audit_log.cache_clear()
        app.enroll(photo_of("Ada"), PERSON, NAME)
        yield Functions(app, key, lines, sent)
    api_gateway._gateway.cache_clear()
    authorizer._keys.cache_clear()
    worker.audit_log.cache_clear()


HANDLERS = {"upload": upload_queue.upload, "recognize": api_gateway.recognize, "people": api_gateway.people}


@many(500, 20_000)
def test_an_event_of_a_gateway_is_answered(
    functions: Functions, numbers: Iterable[int], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in numbers:
        name, event = any_gateway_event(number, (None, WRONG_KEY, functions.key))
        is_stranger = functions.key not in json.dumps(event)
        answer = HANDLERS[name](event, Context())
        assert 200 <= answer["statusCode"] < 500, (event, answer)
        json.dumps(answer)
        if is_stranger:
            assert "uillfeather" not in str(answer.get("body")), (event, answer)
        functions.check_lines(event)
        assert CANARY not in capsys.readouterr().out


def test_a_path_that_is_no_unicode_is_a_bad_request(functions: Functions) -> None:
    event = {
        "resource": "/users/{user_id+}",
        "path": "/users/\ud800",
        "httpMethod": "GET",
        "headers": {"X-Api-Key": functions.key},
        "multiValueHeaders": {"X-Api-Key": [functions.key]},
        "requestContext": {"path": "/dev/users/\ud800", "stage": "dev", "identity": {"sourceIp": "203.0.113.7"}},
        "body": None,
        "isBase64Encoded": False,
    }
    answer = api_gateway.people(event, Context())
    assert (answer["statusCode"], json.loads(answer["body"])["detail"]) == (400, "The request cannot be read.")


@many(1000, 40_000)
def test_a_batch_of_the_queue_fails_alone(
    functions: Functions, numbers: Iterable[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(functions.app)
    for number in numbers:
        event: Any = any_batch(number)
        with suppress(InvalidInput):  # no batch of SQS
            answer = upload_queue.upload(event, Context())
            names = [message["messageId"] for message in event["Records"]]
            failed = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
            assert all(name in names for name in failed), event
        functions.check_lines(event)
        assert CANARY not in capsys.readouterr().out
    assert stored(functions.app) == before


@many(1000, 40_000)
def test_dead_letters_change_nothing_that_is_indexed(
    functions: Functions, numbers: Iterable[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(functions.app)
    for number in numbers:
        event: Any = any_batch(number)
        with suppress(InvalidInput):  # no batch of SQS
            answer = upload_queue.give_up(event, Context())
            assert answer == {"batchItemFailures": []}, event  # whatever it is, it has to leave the dead letters
        functions.check_lines(event)
        assert CANARY not in capsys.readouterr().out
    assert stored(functions.app) == before


def test_a_dead_letter_of_a_deleted_photo_takes_its_faces_along(functions: Functions) -> None:
    path = functions.app.enroll(photo_of("Grace"), "grace").image_path
    functions.app._bucket.delete([path])
    body = queue_messages.message_body(path, removed=True)
    message = {"messageId": "m", "body": body, "attributes": {"ApproximateReceiveCount": "11"}}
    event = {"Records": [message | {"eventSource": "aws:sqs"}]}
    assert upload_queue.give_up(event, Context()) == {"batchItemFailures": []}
    assert not [face for face in functions.app.faces().items if face.image_path == path]


@many(1000, 40_000)
def test_the_authorizer_lets_in_the_key_and_nothing_else(
    functions: Functions, numbers: Iterable[int], capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = 0
    for number in numbers:
        event = any_question(number, (WRONG_KEY, functions.key))
        try:
            answer = authorizer.authorize(event, Context())
        except Exception as error:  # which the gateway answers with 500, and Lambda writes to the log
            if CANARY in str(error):
                pytest.fail(str(event))
            continue
        finally:
            functions.check_lines(event)
            out = capsys.readouterr().out
            assert CANARY not in out
            assert functions.key not in out
        (statement,) = answer["policyDocument"]["Statement"]
        if statement["Effect"] == "Allow":
            assert functions.key in event["headers"].values(), event
            assert answer["principalId"] == key_id_of(functions.key)
            allowed += 1
    assert allowed


@pytest.mark.parametrize(
    "secret",
    [
        *("", "[]", "{}", "null", '{"keys": {}}', '{"keys": [], "signing": "' + SIGNING + '"}'),
        '{"keys": {"KEY": 5}, "signing": "' + SIGNING + '"}',
        '{"keys": {"KEY": {"name": "n", "scopes": ["everything"], "sha256": "0"}}, "signing": "' + SIGNING + '"}',
        '{"keys": {"KEY": {"name": "n", "scopes": [], "sha256": null}}, "signing": "' + SIGNING + '"}',
    ],
)
def test_a_damaged_secret_lets_nobody_in(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str
) -> None:
    text = secret.replace("KEY", key_id_of(functions.key))
    monkeypatch.setattr(clients, "secret", lambda _: (text, "v-2"))
    monkeypatch.setattr(authorizer, "gettempdir", lambda: str(tmp_path))
    authorizer._keys.cache_clear()
    arn = "arn:aws:execute-api:eu-west-1:123456789012:abcdef123/dev/GET/users"
    with pytest.raises((SetupError, TypeError)):
        authorizer.authorize({"methodArn": arn, "headers": {"X-Api-Key": functions.key}}, Context())
    authorizer._keys.cache_clear()


def stored(app: FaceApp) -> list[tuple[str, int]]:
    uploads = [upload for upload in app.uploads().items if upload.user_id == PERSON]
    return [(upload.image_path, len(upload.face_ids)) for upload in uploads]


def test_a_message_about_another_bucket_concerns_no_photo(functions: Functions, tmp_path: Path) -> None:
    (upload,) = [upload for upload in functions.app.uploads().items if upload.user_id == PERSON]
    record = {
        "eventName": "ObjectRemoved:Delete",
        "s3": {"bucket": {"name": "elsewhere"}, "object": {"key": upload.image_path}},
    }
    attributes = {"ApproximateReceiveCount": "1"}
    message = {"messageId": "m", "body": json.dumps({"Records": [record]}), "attributes": attributes}
    event = {"Records": [message | {"eventSource": "aws:sqs"}]}
    assert upload_queue.upload(event, Context()) == {"batchItemFailures": []}
    assert stored(functions.app) == [(upload.image_path, 1)]
