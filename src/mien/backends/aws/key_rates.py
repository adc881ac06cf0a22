"""Count the requests of API keys in DynamoDB, so that a key's limit holds across all instances of the functions.

Each key has an item per minute, which DynamoDB adds to in one write and deletes once the minute is over. A usage plan
of API Gateway would cost no write, but needs a second key in API Gateway for each of ours, and promises no exact limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mien.backends.aws.clients import domain_errors

SECONDS = 60
KEPT_SECONDS = 300  # after the minute; DynamoDB deletes what has expired within days


@dataclass(frozen=True)
class KeyRates:
    """Limits how many requests a key may make in each minute.

    Attributes:
        client: A boto3 client of DynamoDB.
        table: The table of records.
        per_minute: The limit.
        clock: Returns the time in seconds since 1970.
    """

    client: Any
    table: str
    per_minute: int
    clock: Callable[[], float] = time.time

    def take(self, key_id: str) -> bool:
        """Count a request of a key, and return whether it is within the limit."""
        minute = int(self.clock()) // SECONDS
        with domain_errors():
            counted = self.client.update_item(
                TableName=self.table,
                Key={"RecordId": {"S": f"KeyRate/{key_id}/{minute}"}},
                UpdateExpression="SET Kind = :k, ExpiresAt = :e ADD Requests :one",
                ExpressionAttributeValues={
                    ":k": {"S": "KeyRate"},
                    ":e": {"N": str((minute + 1) * SECONDS + KEPT_SECONDS)},
                    ":one": {"N": "1"},
                },
                ReturnValues="UPDATED_NEW",
            )
        return int(counted["Attributes"]["Requests"]["N"]) <= self.per_minute
