"""What all commands share: help, options, JSON, exit codes, photos in parallel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
import typer

from mien.cli import main
from mien.cli.exit_codes import EXIT_CODES, exit_code
from mien.cli.photos import map_photos
from mien.domain import errors
from mien.domain.errors import DamagedImage, StorageFull
from mien.settings import Settings
from tests.support.painter import photo_of
from tests.support.process import MIEN_ON_FAKE_ENGINE


def leaves(kind: type[errors.MienError]) -> list[type[errors.MienError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or [kind]


@pytest.mark.parametrize("kind", leaves(errors.MienError))
def test_every_error_has_an_exit_code_of_its_own_kind(kind):
    assert exit_code(kind("Something happened.")) in set(EXIT_CODES.values())


def test_errors_have_names_for_programs():
    assert StorageFull("The disk is full.").code == "storage_full"


def commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(group, "commands", None)
    if inner is None:
        return [path]
    return [found for name, command in inner.items() for found in commands(command, (*path, name))]


COMMANDS = commands(typer.main.get_command(main.app))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(mien, command):
    answer = mien(*command, "--help")
    assert answer.code == 0
    assert "--data-dir" in answer.out
    assert "--backend" in answer.out
    assert command == ("serve",) or "--json" in answer.out


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_help_names_values_in_words_and_flags_without_one(mien, command):
    out = mien(*command, "--help").out
    assert not re.search(r"<[a-z ]+|list\[", out)
    assert re.search(r"--help +Show", out)


@pytest.mark.parametrize("words", [["people"], ["enroll", "new"], ["doctor"], ["keys", "list"]], ids=" ".join)
def test_the_backend_for_aws_says_which_libraries_it_lacks(tmp_path, words):
    (tmp_path / "new" / "Ada").mkdir(parents=True)
    (tmp_path / "new" / "Ada" / "0.jpg").write_bytes(photo_of("Ada"))
    script = "import sys; sys.modules['boto3'] = None; from mien.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--backend", "aws"],
        cwd=tmp_path,
        env=os.environ | {"MIEN_BUCKET": "photos", "MIEN_KEYS_SECRET": "keys", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "pip install '.[aws]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("library", ["cv2", "PIL", "llvmlite"])
def test_a_library_that_is_not_installed_is_named(tmp_path, library):
    (tmp_path / "0.jpg").write_bytes(photo_of("Ada"))
    script = f"import sys; sys.modules[{library!r}] = None; from mien.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "detect", "0.jpg", "--json"],
        cwd=tmp_path,
        env=os.environ | {"MIEN_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["code"] == "setup_error"
    assert f"needs {library}, which is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_command(mien):
    out = mien("--help").out
    assert all(command[0] in out for command in COMMANDS)
    assert all(panel in out for panel in ("Recognise", "Manage", "Serve", "Measure"))


@pytest.mark.parametrize(
    "words",
    [
        ["recognise"],
        ["doctor", "--gallery"],
        ["doctor", "--reconcile"],
        ["doctor", "--verify-erased", "Ada"],
        ["verify-erased"],
        ["people", "--limit", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(mien, words):
    answer = mien(*words)
    assert answer.code == 2
    assert answer.err
    assert not answer.out


@pytest.mark.parametrize(
    "words",
    [
        ["people", "--limit", "0", "--json"],
        ["--backend", "foo", "people", "--json"],
        ["--unknown", "people", "--json"],
        ["groups", "--json"],
        ["recognise-all", "--json"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_json_for_programs(mien, words):
    answer = mien(*words)
    assert answer.code == 2
    assert answer.json["error"]["code"] == errors.InvalidInput.code
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["people", "--data-dir", "folder", "--json"],
        ["people", "--json", "--data-dir=folder", "--backend", "embedded"],
        ["--data-dir", "folder", "people", "--json"],
        ["--data-dir", "another", "--backend", "aws", "people", "--data-dir", "folder", "--backend=embedded", "--json"],
    ],
    ids=" ".join,
)
def test_shared_options_stand_before_or_after_the_command(mien, people, tmp_path, words):
    mien("enroll", people, "--data-dir", "folder")
    before = dict(os.environ)
    answer = mien(*words)
    assert answer.code == 0
    assert sorted(person["faces"] for person in answer.json["people"]) == [1, 2]
    assert os.environ == before
    assert not (tmp_path / "data").exists()


def test_options_of_one_run_do_not_reach_the_next(mien, people):
    mien("enroll", people, "--data-dir", "folder")
    assert mien("people", "--json").json == {"people": []}


def test_keys_are_kept_in_the_data_folder_that_is_named(mien, tmp_path):
    assert mien("keys", "create", "door", "--data-dir", tmp_path / "folder").code == 0
    assert [key["name"] for key in mien("--data-dir", "folder", "keys", "list", "--json").json["keys"]] == ["door"]
    assert mien("keys", "list", "--json").json == {"keys": []}


def test_photos_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(2, timeout=60)
    assert [outcome >= 0 for _, outcome in map_photos(Settings(), [1, 2], lambda _: meeting.wait(), "Meeting")] == [
        True,
        True,
    ]


def test_an_error_about_one_photo_is_its_outcome():
    def job(number: int) -> int:
        if number == 3:
            raise DamagedImage("The photo is damaged.")
        return number

    outcomes = dict(map_photos(Settings(), range(9), job, "Counting"))
    assert isinstance(outcomes.pop(3), DamagedImage)
    assert all(number == outcome for number, outcome in outcomes.items())


def test_an_error_about_the_storage_ends_the_work():
    begun: list[int] = []

    def job(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise StorageFull("The disk is full.")
        time.sleep(0.001)
        return number

    done: list[int] = []
    with pytest.raises(StorageFull):
        done.extend(number for number, _ in map_photos(Settings(), range(10_000), job, "Counting"))
    assert len(begun) < 10_000


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("AWS_EC2_METADATA_DISABLED", "true", "AWS needs a region"),
        ("AWS_PROFILE", "nobody", "AWS_PROFILE names does not exist"),
        ("AWS_ENDPOINT_URL", "not an address", "cannot be used"),
    ],
)
def test_without_usable_settings_of_aws_a_command_says_so(mien, monkeypatch, tmp_path, variable, value, sentence):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    if variable == "AWS_ENDPOINT_URL":
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv(variable, value)
    answer = mien("--backend", "aws", "people")
    assert answer.code == 4
    assert sentence in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("name", "value"), [("MIEN_THREADS", "-3"), ("MIEN_FACES_TABLE", "Faces")])
def test_an_impossible_setting_is_exit_code_4_and_a_sentence(mien, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    answer = mien("people")
    assert answer.code == 4
    assert answer.err.startswith(name)
    assert len(answer.err.splitlines()) == 1


def test_doctor_closes_the_data_folder_or_says_that_it_cannot(mien, people, tmp_path, monkeypatch):
    mien("enroll", people)
    photos = [path for path in (tmp_path / "data" / "bucket").rglob("*.*") if path.is_file()]
    for photo in photos:
        photo.chmod(0o644)
    checks = {check["check"]: check for check in mien("doctor", "--json").json["checks"]}
    assert checks["permissions"]["works"]
    assert {photo.stat().st_mode & 0o777 for photo in photos} == {0o600}

    photos[0].chmod(0o644)
    monkeypatch.setattr("pathlib.Path.chmod", lambda *_: None)
    answer = mien("doctor", "--json")
    checks = {check["check"]: check for check in answer.json["checks"]}
    assert not checks["permissions"]["works"]
    assert "cannot take them away" in checks["permissions"]["detail"]
    assert answer.code == 4


def test_doctor_tells_of_keys_that_everybody_may_change_and_leaves_them(mien, tmp_path, monkeypatch):
    mien("keys", "create", "door", "--scope", "upload")
    access_keys = tmp_path / "access-keys.json"
    access_keys.write_text('{"AKID": {"secret": "s", "identity": "door"}}')
    monkeypatch.setenv("MIEN_ACCESS_KEYS_FILE", str(access_keys))

    def keys() -> dict[str, object]:
        return next(check for check in mien("doctor", "--json").json["checks"] if check["check"] == "keys")

    assert keys() == {"check": "keys", "works": True, "detail": "1 API key, 1 access key"}
    for path in (access_keys, tmp_path / "data" / "api-keys.json"):
        path.chmod(0o666)
        found = keys()
        assert not found["works"]
        assert f"Everybody may change {path}" in found["detail"]
        path.chmod(0o600)


@pytest.mark.parametrize(
    "words",
    [["people", "--nonsense"], ["nonsense"], ["groups", "nonsense"], ["compare", "a.jpg"], ["people", "--limit", "x"]],
)
def test_wrong_arguments_are_json_too(mien, words):
    answer = mien(*words, "--json")
    assert answer.code == 2
    assert answer.json["error"]["code"] == "invalid_input"
    assert answer.json["error"]["message"]


@pytest.mark.parametrize("words", [["keys", "create", "phone", "--scope", "wrong"], ["audit", "--action", "wrong"]])
def test_a_value_that_is_no_choice_is_answered_by_the_choices_alone(mien, words):
    option = words[-2]
    message = mien(*words, "--json").json["error"]["message"]
    assert message.startswith(f"Invalid value for '{option}': 'wrong' is not one of 'upload', ")
    assert "Value error" not in mien(*words).err


def test_what_is_not_confirmed_is_json_too(mien, people):
    mien("enroll", people)
    answer = mien("forget", "Ada", "--json", answer="n\n")
    assert (answer.code, json.loads(answer.out.splitlines()[-1])["error"]["code"]) == (1, "aborted")  # after the echo


@pytest.mark.parametrize("words", [["people"], ["people", "--json"]])
def test_an_answer_that_cannot_be_written_is_no_traceback(tmp_path, words):
    environment = os.environ | {"MIEN_DATA_DIR": str(tmp_path / "data")}
    with open("/dev/full", "w") as full:
        done = subprocess.run([*MIEN_ON_FAKE_ENGINE, *words], stdout=full, stderr=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr.decode().splitlines()) == (
        4,
        ["The answer could not be written: No space left on device."],
    )


@pytest.mark.parametrize("words", [["people"], ["people", "--json"], ["--help"]])
def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path, words):
    environment = os.environ | {"MIEN_DATA_DIR": str(tmp_path / "data")}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*MIEN_ON_FAKE_ENGINE, *words], stdout=writing, stderr=subprocess.PIPE, env=environment)
    os.close(writing)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_groups_of_a_mistyped_folder_make_none(mien, tmp_path):
    assert mien("groups", "list", "--data-dir", tmp_path / "typo").code == 2
    assert not (tmp_path / "typo").exists()
