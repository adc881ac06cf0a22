"""Lambda's Runtime API on loopback, so that AWS's own client (awslambdaric) runs our handlers as Lambda does.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.process import PATIENCE_SECONDS

VERSION = "/2018-06-01/runtime"


class Invocation:
    def __init__(self, event: Any) -> None:
        self.event, self.id = event, str(uuid.uuid4())
        self.outcome: queue.Queue[tuple[str, Any]] = queue.Queue()


class RuntimeApi(ThreadingHTTPServer):
    """Hands out events one by one and takes what comes of them."""

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seconds = seconds
        self.waiting: queue.Queue[Invocation] = queue.Queue()
        self.running: dict[str, Invocation] = {}
        self.pid, self.output = 0, ""
        self.started = threading.Event()  # the function has initialised and asks for an event

    def invoke(self, event: Any) -> Any:
        """The handler's answer; its failure is raised."""
        kind, answer = self.begin(event).outcome.get(timeout=PATIENCE_SECONDS)
        if kind != "response":
            raise RuntimeError(f"{answer.get('errorType')}: {answer.get('errorMessage')}")
        return answer

    def begin(self, event: Any) -> Invocation:
        """Hand out the event and wait for nothing."""
        invocation = Invocation(event)
        self.waiting.put(invocation)
        return invocation

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A function that was killed leaves a broken connection behind."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RuntimeApi

    def do_GET(self) -> None:
        self.server.started.set()
        try:
            invocation = self.server.waiting.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            return self._send(500, b"{}")
        self.server.running[invocation.id] = invocation
        deadline = str(int((time.time() + self.server.seconds) * 1000))
        headers = {  # the client crashes without any of them
            "Content-Type": "application/json",
            "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": deadline,
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:mien",
        }
        return self._send(200, json.dumps(invocation.event).encode(), headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.removeprefix(VERSION).split("/")
        if parts[1] == "invocation":
            self.server.running.pop(parts[2]).outcome.put((parts[3], json.loads(body)))
        self._send(202, b"{}")

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def function(handler: str, code: Path, environment: Mapping[str, str], seconds: float) -> Iterator[RuntimeApi]:
    """A function of the package under Lambda's runtime client; nothing of this checkout is on its path."""
    api = RuntimeApi(seconds)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    temporary = TemporaryDirectory()  # on Lambda, no two functions share one
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", handler],
        cwd=code,
        env=_environment(api.server_port, handler, code) | {"TMPDIR": temporary.name} | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    api.pid = process.pid
    try:
        yield api
    finally:
        process.kill()
        api.output = process.communicate()[0].decode()
        temporary.cleanup()
        api.shutdown()


def _environment(port: int, handler: str, code: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(code),
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": handler.split(".")[-1],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "_HANDLER": handler,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_SERVICE_NAME": "mien-dev",
        "POWERTOOLS_METRICS_NAMESPACE": "Mien",
    }
