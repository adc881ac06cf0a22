"""The deployed stack, once for all tests that are marked `aws`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from mien.backends.aws import clients
from mien.backends.aws.secret_keys import edit_keys
from mien.security.api_keys import Scope
from tests.aws import emulator, local, world
from tests.aws.rekognition import COLLECTION, Rekognition
from tests.support.fake_engine import FakeFaceEngine


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A deployment takes minutes and tools from the registries: only when it is asked for."""
    if "aws" not in config.option.markexpr:
        skip = pytest.mark.skip(reason="deploys to an emulator; make test-aws runs it")
        for item in items:
            if item.get_closest_marker("aws"):
                item.add_marker(skip)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[world.World]:
    with world.opened(tmp_path) as opened:
        yield opened


@dataclass(frozen=True)
class Deployment:
    stack: emulator.Stack
    rekognition: Rekognition
    rekognition_url: str
    key: str

    @property
    def bucket(self) -> str:
        return self.stack.outputs["BucketName"]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("stack")
    with (
        local.switchable(folder / "gallery", FakeFaceEngine()) as (rekognition, url),
        emulator.deployed(folder, url) as deployed,
    ):
        client = boto3.client("rekognition", endpoint_url=url, **local.CREDENTIALS)
        client.create_collection(CollectionId=COLLECTION)
        yield Deployment(deployed, rekognition, url, _key(deployed))


def _key(deployed: emulator.Stack) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "secrets", lambda: deployed.client("secretsmanager"))
        with edit_keys("mien-dev-keys") as file:
            return file.create("tests", Scope)
