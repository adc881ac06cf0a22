"""The stage on ministack: the real templates, by the real `sam deploy`, with IAM enforced; our wire API recognises.

What cannot be there is cut out of a copy of the templates: the collection (the wire API has its own), alarms
by metric arithmetic, the budget, and the policy that refuses plain HTTP, which is what the emulator speaks. What it
reads otherwise than AWS is written as it wants it: a number by parameter counts as text, a reference to a secret gives
its name, not its ARN, `~1` is no slash. The queue's visibility timeout is shortened, so that what failed
comes again within a test's patience.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3
import httpx

from tests.aws import stack
from tests.support.process import PATIENCE_SECONDS, free_port

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("MIEN_AWS_TOOLS", ROOT / "build" / "aws-tools"))
CUT_OUT = {
    "data": ("Collection", "BucketPolicy"),
    "app": ("ErrorsAlarm", "FunctionThrottlesAlarm", "TableThrottlesAlarm", "Budget"),
}
READ_OTHERWISE = {
    "data": {
        "RecoveryPeriodInDays: !Ref RecoveryDays": "RecoveryPeriodInDays: 35",
        "VisibilityTimeout: 120": "VisibilityTimeout: 30",
    },
    "app": {
        "MaximumConcurrency: !FindInMap [Quotas, !Ref RekognitionQuota, Uploads]": "MaximumConcurrency: 5",
        "Resource: !Ref ApiKeysSecret": 'Resource: !Sub "arn:aws:secretsmanager:*:*:secret:${ApiKeysSecret}-*"',
        'BinaryMediaTypes: ["*~1*"]': 'BinaryMediaTypes: ["*/*"]',
    },
}
STACK_NAME = "mien-dev"


@dataclass(frozen=True)
class Stack:
    """A deployed stack and how to talk to it."""

    endpoint: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=stack.REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def api(self, key: str | None) -> httpx.Client:
        """The API as its users call it; the emulator tells APIs apart by host name."""
        host = self.outputs["ApiUrl"].split("/")[2].split(".")[0] + ".execute-api.localhost"
        headers = {"Host": host} | ({"X-Api-Key": key} if key else {})
        return httpx.Client(base_url=f"{self.endpoint}/dev", headers=headers, timeout=60)


@contextmanager
def deployed(folder: Path, rekognition: str) -> Iterator[Stack]:
    """Both stacks of the stage `dev`, which `make deploy` would make."""
    write_templates(folder)
    with ministack(folder) as endpoint:
        stage("deploy", endpoint, folder, f"RekognitionEndpoint={rekognition}")
        yield Stack(endpoint, outputs(endpoint, STACK_NAME))


def write_templates(folder: Path) -> None:
    """Write both templates as the emulator can take them, with the packed code."""
    code = package()
    for part, template in (("data", stack.DATA), ("app", stack.APP)):
        (folder / f"{part}.yaml").write_text(adapted(part, template.read_text(), code))


@cache
def package() -> Path:
    """Pack the code once, for this machine's Python, which is the one that the emulator runs functions with."""
    target = Path(mkdtemp(prefix="mien-package-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = os.uname().machine
    command = [sys.executable, ROOT / "infra" / "package.py", "--target", target]
    subprocess.run([*command, "--python", version, "--machine", machine], check=True)
    return target


def adapted(part: str, template: str, code: Path) -> str:
    for name in CUT_OUT[part]:
        template, cut = re.subn(rf"(?m)^  {name}:.*\n(?:    .*\n|\n)+", "", template)
        assert cut == 1, name
    for written, taken in READ_OTHERWISE[part].items():
        assert written in template, written
        template = template.replace(written, taken)
    return template.replace("CodeUri: ../.package", f"CodeUri: {code}")


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),  # where the functions keep their copy of the keys: not beside other tests'
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # else a port opens to the world
        "LAMBDA_EXECUTOR": "local",
        "AUTH": "true",
    }
    with (folder / "ministack.log").open("w") as log:
        process = subprocess.Popen(
            [tool("ministack") / "ministack"], env=environment, cwd=folder, stdout=log, stderr=log
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_ministack/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def outputs(endpoint: str, name: str) -> dict[str, str]:
    (found,) = Stack(endpoint, {}).client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert found["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def stage(command: str, endpoint: str, folder: Path, *parameters: str, name: str = "dev") -> str:
    """What `make deploy`, `make destroy` and their like run, and what they say."""
    program = [tool("sam") / "python", ROOT / "infra" / "stage.py", "--templates", folder]
    return run([*program, command, name, *parameters], endpoint, folder)


def run(command: list[str | Path], endpoint: str, home: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": stack.REGION,
        "SAM_CLI_TELEMETRY": "0",
    }
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise CommandFailed(done.stdout, done.stderr)
    return done.stdout


class CommandFailed(Exception):
    """What a command said before it failed, on standard output and standard error."""


def tool(name: str) -> Path:
    """The programs of a virtual environment of its own, made from `locks/NAME.txt` when missing."""
    programs = TOOLS / name / "bin"
    if not (programs.parent / "ready").exists():
        shutil.rmtree(programs.parent, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", programs.parent], check=True)
        subprocess.run(
            [programs / "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", ROOT / "locks" / f"{name}.txt"],
            check=True,
        )
        (programs.parent / "ready").touch()
    return programs


def _wait_for(url: str, patience: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{url} does not answer")
