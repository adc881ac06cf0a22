"""What the entry points load, which routes they serve, and that the Postman collection knows the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mien
from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.lambdas import api_gateway
from mien.lambdas.api_gateway import PARTS, ROUTES
from mien.settings import Settings
from tests.aws import stack

HEAVY = ["numpy", "cv2", "llvmlite", "onnx", "scipy", "PIL", "jwt", "cryptography"]
SOURCES = Path(mien.__file__).parent


def _loaded(module: str) -> set[str]:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("name", ["upload", "recognize", "people", "reconcile", "authorizer", "failed"])
def test_importing_an_entry_point_loads_no_engine(name: str) -> None:
    assert not _loaded(stack.handler(name).rpartition(".")[0]) & set(HEAVY)


def test_the_package_for_lambda_has_all_that_the_functions_import(tmp_path: Path) -> None:
    shutil.copytree(SOURCES, tmp_path / "mien", ignore=shutil.ignore_patterns("__pycache__"))
    program = "import package, pathlib, sys; package.remove_unused(pathlib.Path(sys.argv[1]) / 'mien')"
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, cwd=stack.INFRA)
    assert not (tmp_path / "mien" / "engine").exists()
    program = """
from mien.app import reconciliation
from mien.backends.aws import image_limits
from mien.config import open_app
from mien.settings import Settings
from mien.lambdas import api_gateway, authorizer, reconcile, upload_queue
open_app(Settings.from_environment({"MIEN_BACKEND": "aws"}))
"""
    environment = {"PYTHONPATH": str(tmp_path), "AWS_DEFAULT_REGION": stack.REGION}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


PACKAGE = "import package, pathlib, sys; package.compile_modules(pathlib.Path(sys.argv[1]), sys.argv[2])"


def _compile(folder: Path, python: str) -> str:
    command = [sys.executable, "-c", PACKAGE, folder, python]
    return subprocess.run(command, check=True, cwd=stack.INFRA, capture_output=True, encoding="utf-8").stderr


def test_modules_are_compiled_once_for_all_starts_of_a_function(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text("answer = 1")
    assert _compile(tmp_path, f"{sys.version_info.major}.{sys.version_info.minor}") == ""
    (tmp_path / "asked.py").write_text("answer = 2")  # which ends later than the compiled one
    command = [sys.executable, "-c", "import asked; print(asked.answer)"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout == b"1\n"


def test_a_machine_without_the_runtimes_python_says_what_it_costs(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text("answer = 1")
    assert "python9.9 is not here" in _compile(tmp_path, "9.9")
    assert [path.name for path in tmp_path.iterdir()] == ["asked.py"]


def test_a_python_that_is_only_a_name_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyenv leaves it of a version that is installed and not chosen."""
    shim = tmp_path / "python9.9"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "python9.9 is not here" in _compile(tmp_path, "9.9")


def _prints(program: str, **environment: str) -> str:
    command = [sys.executable, "-c", f"import gc; {program}"]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["upload", "recognize", "people", "reconcile", "authorizer", "failed"])
def test_no_garbage_is_looked_for_until_a_function_has_started(name: str) -> None:
    handler = stack.handler(name)
    module = handler.rpartition(".")[0]
    assert _prints("import mien.lambdas; print(gc.isenabled())", _HANDLER=handler) == "False\n"
    assert _prints("import mien.lambdas; print(gc.isenabled())") == "True\n"
    started = _prints(f"import {module}; print(gc.isenabled(), gc.get_freeze_count() > 1000)", _HANDLER=handler)
    assert started == "True True\n"


def test_an_event_loads_no_web_framework() -> None:
    for name in ("upload", "failed", "authorizer"):
        assert not _loaded(stack.handler(name).rpartition(".")[0]) & {"fastapi", "starlette", "pydantic"}


@pytest.mark.parametrize("name", ROUTES)
def test_each_function_loads_the_routes_that_it_serves(name: str) -> None:
    recognizer: Any = None
    api = create_api(FaceApp(MemoryBucket(), recognizer, MemoryCatalog()), Settings(), parts=PARTS[name])
    paths = api.openapi()["paths"].items()
    described = {(method.upper(), _resource(path)) for path, methods in paths for method in methods}
    routes = {(method, resource.replace("+}", "}")) for method, resource in ROUTES[name] if method != "HEAD"}
    assert {route for route in routes if route[1] not in UNDESCRIBED} <= described


UNDESCRIBED = {"/", "/static/{file}", "/openapi.json", "/{path}"}


def _resource(path: str) -> str:
    """What OpenAPI says as the template does: merging is said to the person's own path."""
    return path.removesuffix("/merge").removesuffix("/unmerge")


@pytest.mark.parametrize("name", ROUTES)
def test_the_template_leads_each_route_to_the_function_that_serves_it(name: str) -> None:
    (api,) = stack.resources("AWS::ApiGateway::RestApi").values()
    routes = {
        (method.upper(), path)
        for path, methods in api["Body"]["paths"].items()
        for method, operation in methods.items()
        if f"${{{name.capitalize()}Function.Arn}}" in str(operation["x-amazon-apigateway-integration"]["uri"])
    }
    assert routes == ROUTES[name]


def test_the_postman_collection_is_up_to_date() -> None:
    program = "import postman; assert postman.COLLECTION.read_text() == postman.text()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=stack.INFRA)


BASE_PATHS = [
    ("/users", "/users", ""),
    ("/users", "/mien/users", "/mien"),
    ("/", "/", ""),
    ("/", "/mien/", "/mien"),
    ("/users/{user_id+}", "/users/a/b", ""),
    ("/users/{user_id+}", "/v1/mien/users/a", "/v1/mien"),
    ("/images/{image_path+}", "/images/uploaded/images/1.jpg", ""),
]


@pytest.mark.parametrize(("resource", "path", "base_path"), BASE_PATHS)
def test_the_base_path_of_a_custom_domain_is_told_from_the_route(resource: str, path: str, base_path: str) -> None:
    assert api_gateway._base_path(resource, path) == base_path


REFUSED_ON_AWS = """
import asyncio, json
from mien.api.telemetry import Metrics, TelemetryMiddleware
from mien.lambdas import telemetry
from mien.lambdas.api_gateway import StageMiddleware
from mien.api.security import Guard
from mien.security.api_keys import KeyFile
from pathlib import Path
from typing import Any

telemetry.logger.setLevel("INFO")
stage = StageMiddleware(None, Guard(KeyFile(Path("none.json")), lambda _: True))
event = {"resource": "/health", "path": "/health", "requestContext": {"path": "/dev/health"}}
scope = {"type": "http", "method": "GET", "path": "/health", "query_string": b"", "headers": [], "aws.event": event}

async def send(message):
    pass

asyncio.run(TelemetryMiddleware(stage, Metrics({}))(scope, None, send))
"""


def test_a_request_that_is_refused_on_aws_has_the_usual_line() -> None:
    environment = os.environ | {"POWERTOOLS_SERVICE_NAME": "mien-test"}
    command = [sys.executable, "-c", REFUSED_ON_AWS]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (line,) = [json.loads(line) for line in ended.stdout.splitlines() if '"request"' in line]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/health", 401)
    assert {"ms", "bytes_in", "bytes_out", "request_id"} <= line.keys()
