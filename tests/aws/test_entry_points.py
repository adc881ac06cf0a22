"""What the entry points load, which routes they serve, and that the Postman collection knows the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mien.lambdas.api_gateway import ROUTES
from tests.aws import stack

HEAVY = ["numpy", "cv2", "openvino", "llvmlite", "onnx", "scipy", "PIL"]


def _loaded(module: str) -> set[str]:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("name", ["upload", "recognize", "people", "reconcile"])
def test_importing_an_entry_point_loads_no_engine(name: str) -> None:
    assert not _loaded(stack.handler(name).rpartition(".")[0]) & set(HEAVY)


def test_an_event_loads_no_web_framework() -> None:
    assert not _loaded("mien.lambdas.upload_queue") & {"fastapi", "starlette", "pydantic"}


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
    subprocess.run([sys.executable, "-c", program], check=True, cwd=stack.TEMPLATE.parent)
