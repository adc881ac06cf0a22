"""A real server on a loopback port, in a thread: what the tests of the wire API talk to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import uvicorn
from botocore.config import Config
from starlette.types import ASGIApp

from tests.support.process import wait_for

KEEP_ALIVE_SECONDS = 600
"""So that no connection ends just when its client, which was idle meanwhile, sends the next request over it."""


@dataclass(frozen=True)
class Running:
    url: str
    port: int

    def client(self, key: str = "test", secret: str = "test", *, attempts: int = 1, **more: Any) -> Any:
        """A stock boto3 client; with one attempt, so that a test sees every error."""
        config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, max_pool_connections=16)
        return boto3.client(
            "rekognition",
            region_name=more.pop("region_name", "eu-west-1"),
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config,
            **more,
        )


@contextmanager
def running(app: ASGIApp) -> Iterator[Running]:
    """Serve the application until the block ends."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio turns Nagle's delay off only where TCP is named
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=KEEP_ALIVE_SECONDS))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield Running(f"http://127.0.0.1:{port}", port)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
