"""Count in DynamoDB how often a message of the queue has ended the process that handled it.

SQS counts how often it has handed a message out, whatever came of it. A photo that Rekognition was too busy for may
come ten times; one that ends its function each time costs minutes and calls of Rekognition, and is given up sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mien.backends.aws.clients import domain_errors

KEPT_SECONDS = 86_400  # after the last attempt; longer than the pauses between two


@dataclass(frozen=True)
class Attempts:
    """Counts the attempts at messages that have begun and not ended; a photo that is indexed at once costs no write.

    Attributes:
        client: A boto3 client of DynamoDB.
        table: The table of records.
        clock: Returns the time in seconds since 1970.
    """

    client: Any
    table: str
    clock: Callable[[], float] = time.time

    def begin(self, message_id: str, receives: int) -> int:
        """Note that an attempt begins, and return how many before it have not ended.

        Args:
            message_id: The message's id.
            receives: How often SQS has handed the message out.
        """
        # The first attempt is not noted. If it is over without `end`, the present one stands for it in the count.
        return 0 if receives == 1 else self._add(message_id, 1)

    def end(self, message_id: str) -> None:
        """Note that an attempt has ended, so that its message comes again."""
        self._add(message_id, -1)

    def _add(self, message_id: str, number: int) -> int:
        with domain_errors():
            counted = self.client.update_item(
                TableName=self.table,
                Key={"RecordId": {"S": f"Attempts/{message_id}"}},
                UpdateExpression="SET Kind = :k, ExpiresAt = :e ADD Unended :n",
                ExpressionAttributeValues={
                    ":k": {"S": "Attempts"},
                    ":e": {"N": str(int(self.clock()) + KEPT_SECONDS)},
                    ":n": {"N": str(number)},
                },
                ReturnValues="UPDATED_NEW",
            )
        return int(counted["Attributes"]["Unended"]["N"])
