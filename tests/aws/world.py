"""The services that the functions talk to, on loopback, and events as AWS sends them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import httpx
from moto.server import ThreadedMotoServer

import mien
from mien.security.api_keys import KeyFile, Scope
from tests.aws import local, runtime, stack
from tests.aws.rekognition import COLLECTION, Rekognition
from tests.support.fake_engine import FakeFaceEngine

CODE = Path(mien.__file__).parents[1]
BUCKET = "photos"
SIGNING = "s" * 32


class World:
    """The services that the functions talk to."""

    def __init__(self, aws: str, rekognition: Rekognition, rekognition_url: str) -> None:
        self.aws, self.rekognition, self._rekognition_url = aws, rekognition, rekognition_url
        self.s3, self.dynamodb = self.client("s3"), self.client("dynamodb")
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": stack.REGION})
        local.create_tables(self.dynamodb)
        boto3.client("rekognition", endpoint_url=rekognition_url, **local.CREDENTIALS).create_collection(
            CollectionId=COLLECTION
        )
        self.secrets = self.client("secretsmanager")
        self.secrets.create_secret(Name="keys", SecretString=json.dumps({"keys": {}, "signing": SIGNING}))

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.aws, **local.CREDENTIALS)

    def keep_keys(self, folder: Path) -> str:
        file = folder / "keys.json"
        key = KeyFile(file).create("tests", Scope)
        content = {"keys": json.loads(file.read_text()), "signing": SIGNING}
        self.secrets.put_secret_value(SecretId="keys", SecretString=json.dumps(content))
        return key

    def function(self, name: str, seconds: float = 60, **more: str) -> AbstractContextManager[runtime.RuntimeApi]:
        return runtime.function(stack.handler(name), CODE, self.settings(**more), seconds)

    def settings(self, **more: str) -> dict[str, str]:
        return more | {
            "MIEN_BACKEND": "aws",
            "MIEN_BUCKET": BUCKET,
            "MIEN_KEYS_SECRET": "keys",
            "AWS_ENDPOINT_URL": self.aws,
            "AWS_ENDPOINT_URL_REKOGNITION": self._rekognition_url,
        }

    def items(self, table: str) -> list[dict[str, Any]]:
        """Without the counts of attempts at messages, which expire."""
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName=table)["Items"]
        return [item for item in found if item.get("Kind") != {"S": "Attempts"}]

    def unended_attempts(self) -> dict[str, int]:
        """By the ids of messages."""
        found = self.dynamodb.scan(TableName="MienRecords")["Items"]
        counts = [item for item in found if item["Kind"] == {"S": "Attempts"}]
        return {item["RecordId"]["S"].removeprefix("Attempts/"): int(item["Unended"]["N"]) for item in counts}


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    """A world of its own, with the gallery in a folder."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
    with local.switchable(folder, FakeFaceEngine()) as (rekognition, url):
        yield World(f"http://{host}:{port}", rekognition, url)
    server.stop()


def message(
    *keys: str,
    body: str | None = None,
    message_id: str = "m-1",
    receives: int = 1,
    event: str = "ObjectCreated:Put",
) -> dict[str, Any]:
    """A message of SQS that carries an S3 event, as AWS writes them."""
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": stack.REGION,
            "eventName": event,
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
                "object": {"key": quote_plus(key, safe="/"), "size": 1, "eTag": "e", "sequencer": "0"},
            },
        }
        for key in keys
    ]
    return {
        "messageId": message_id,
        "receiptHandle": "r",
        "body": body or json.dumps({"Records": records}),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
    }


def request(method: str, resource: str, path: str, key: str | None = None, **more: Any) -> dict[str, Any]:
    """An event of a REST API with Lambda proxy integration."""
    headers = {"Host": "api.example", "Accept": "*/*"} | ({"X-Api-Key": key} if key else {}) | more.pop("headers", {})
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": more.get("query"),
        "multiValueQueryStringParameters": {n: [v] for n, v in more.get("query", {}).items()} or None,
        "pathParameters": None,
        "requestContext": {"path": f"/dev{path}", "stage": "dev", "identity": {"sourceIp": "203.0.113.7"}},
        "body": base64.b64encode(more["body"]).decode() if "body" in more else None,
        "isBase64Encoded": "body" in more,
    }


def queues(world: World, receives: int) -> tuple[str, str]:
    """The URLs of a queue that hands a message out so often, and of its dead letters."""
    sqs = world.client("sqs")
    dead: str = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    url: str = sqs.create_queue(QueueName="photos", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    return url, dead


def as_event(received: dict[str, Any]) -> dict[str, Any]:
    """A message as Lambda hands it on."""
    return {
        "messageId": received["MessageId"],
        "receiptHandle": received["ReceiptHandle"],
        "body": received["Body"],
        "attributes": {"ApproximateReceiveCount": received["Attributes"]["ApproximateReceiveCount"]},
        "eventSource": "aws:sqs",
    }
