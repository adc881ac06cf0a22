"""Stock clients other than boto3: the AWS CLI for every operation, the JavaScript SDK for index and search."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mien.rekognition.operations import OPERATIONS

CLI = Path(sys.executable).parent / "aws"
PAGE = Path(__file__).parents[2] / "docs" / "rekognition.md"
SCRIPT = Path(__file__).parent / "client.mjs"
SDK = "@aws-sdk/client-rekognition@3"


@pytest.fixture(scope="module")
def environment(server):
    return os.environ | {
        "AWS_ENDPOINT_URL_REKOGNITION": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "AWS_PAGER": "",
    }


@pytest.fixture(scope="module")
def files(album, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    for name, photo in (("one", album.same[0]), ("two", album.same[1])):
        (folder / f"{name}.jpg").write_bytes(photo)
    return folder


@pytest.mark.skipif(not CLI.exists(), reason="needs the AWS CLI: pip install awscli")
def test_the_aws_cli_runs_every_operation(environment, files):
    used = set()

    def aws(operation, *arguments):
        used.add(operation.replace("-", ""))
        done = subprocess.run(
            [CLI, "rekognition", operation, *arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    one, two = (f"fileb://{files / name}" for name in ("one.jpg", "two.jpg"))
    here, user = ("--collection-id", "cli"), ("--user-id", "bea")
    arn = aws("create-collection", *here)["CollectionArn"]
    aws("tag-resource", "--resource-arn", arn, "--tags", "a=b,c=d")
    aws("untag-resource", "--resource-arn", arn, "--tag-keys", "c")
    assert aws("list-tags-for-resource", "--resource-arn", arn)["Tags"] == {"a": "b"}
    assert "cli" in aws("list-collections")["CollectionIds"]
    first = aws("index-faces", *here, "--image-bytes", one, "--external-image-id", "bea")["FaceRecords"][0]["Face"]
    second = aws("index-faces", *here, "--image-bytes", two)["FaceRecords"][0]["Face"]
    assert aws("describe-collection", *here)["FaceCount"] == 2
    assert len(aws("list-faces", *here)["Faces"]) == 2
    assert len(aws("detect-faces", "--image-bytes", one)["FaceDetails"]) == 1
    assert aws("compare-faces", "--source-image-bytes", one, "--target-image-bytes", two)["FaceMatches"]
    found = aws("search-faces-by-image", *here, "--image-bytes", one)["FaceMatches"]
    assert found[0]["Face"]["ExternalImageId"] == "bea"
    assert len(aws("search-faces", *here, "--face-id", first["FaceId"])["FaceMatches"]) == 1
    aws("create-user", *here, *user)
    aws("associate-faces", *here, *user, "--face-ids", first["FaceId"])
    assert aws("list-users", *here)["Users"] == [{"UserId": "bea", "UserStatus": "ACTIVE"}]
    assert aws("search-users", *here, "--face-id", second["FaceId"])["UserMatches"]
    assert aws("search-users-by-image", *here, "--image-bytes", two)["UserMatches"]
    aws("disassociate-faces", *here, *user, "--face-ids", first["FaceId"])
    aws("delete-user", *here, *user)
    assert aws("delete-faces", *here, "--face-ids", first["FaceId"])["DeletedFaces"] == [first["FaceId"]]
    assert aws("delete-collection", *here)["StatusCode"] == 200
    assert used == {operation.lower() for operation in OPERATIONS}


@pytest.fixture(scope="module")
def javascript():
    """A folder with the SDK, kept between runs. Without node the test is skipped, but never where CI is set."""
    if not shutil.which("npm"):
        assert not os.environ.get("CI"), "CI needs node and npm"
        pytest.skip("needs Node and npm: apt-get install nodejs npm")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mien-tests" / "javascript"
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), SDK]
        done = subprocess.run(install, capture_output=True, encoding="utf-8", check=False)
        if done.returncode and not os.environ.get("CI"):
            pytest.skip(f"needs {SDK} from the npm registry")
        assert done.returncode == 0, done.stderr
    return folder


def test_the_javascript_sdk_indexes_and_searches(environment, files, javascript):
    script = shutil.copy(SCRIPT, javascript)
    done = subprocess.run(
        ["node", script, files / "one.jpg", files / "two.jpg"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["indexed"] == 1
    assert answer["found"] == "from-javascript"
    assert answer["similarity"] > 80
    assert answer["created"].endswith("Z")
    assert answer["missing"] == "ResourceNotFoundException"


def blocks(language):
    """The code blocks of the page that tells people how to point their clients here."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def run(command, server, environment, folder):
    """Run a page's code, with the test's server in the place of the page's, and two photos to work on."""
    command = [part.replace("http://127.0.0.1:8000", server.url) for part in command]
    path = {"PATH": f"{CLI.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, env=environment | path, cwd=folder, capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(album, tmp_path):
    (tmp_path / "ann.jpg").write_bytes(album.same[0])
    (tmp_path / "party.jpg").write_bytes(album.same[1])
    return tmp_path


def test_the_pages_python_runs(server, client, environment, folder):
    (code,) = blocks("python")
    assert "('ann', " in run([sys.executable, "-c", code], server, environment, folder)
    client.delete_collection(CollectionId="friends")


@pytest.mark.skipif(not CLI.exists(), reason="needs the AWS CLI: pip install awscli")
def test_the_pages_cli_commands_run(server, client, environment, folder):
    (code,) = (block for block in blocks("sh") if "aws rekognition" in block)
    assert '"ExternalImageId": "ann"' in run(["sh", "-ec", code], server, environment, folder)
    client.delete_collection(CollectionId="friends")
