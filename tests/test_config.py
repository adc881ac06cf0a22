"""The settings whose text means more than one kind of value."""

from pathlib import Path
from typing import NoReturn

import pytest

from mien.config import open_engine
from mien.domain.errors import ImageTooLarge, SetupError
from mien.engine.decode import open_photo
from mien.settings import Backend, Settings
from tests.support.fake_engine import use_fake_engine
from tests.support.painter import photo_of


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("90", 90.0), ("fmr=1e-4", "fmr=1e-4"), ("1e-4", "1e-4"), ("fpir=0.01", "fpir=0.01"), ("auto", "auto")],
)
def test_the_threshold_is_a_similarity_or_an_error_rate(text: str, threshold: str | float) -> None:
    assert Settings.from_environment({"MIEN_THRESHOLD": text}).policy.threshold == threshold


@pytest.mark.parametrize("text", ["500", "-1", "nan", "0.42", "fmr=2", "high"])
def test_a_threshold_that_cannot_be_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SetupError, match=r"MIEN_THRESHOLD.*fmr=1e-4"):
        Settings.from_environment({"MIEN_THRESHOLD": text})


def test_rekognitions_error_rates_are_not_known() -> None:
    with pytest.raises(SetupError, match="not published"):
        Settings.from_environment({"MIEN_BACKEND": "aws", "MIEN_THRESHOLD": "fmr=1e-4"})


def test_mirrored_is_yes_or_no() -> None:
    assert not Settings.from_environment({}).mirrored
    assert Settings.from_environment({"MIEN_MIRRORED": "yes"}).mirrored
    assert not Settings.from_environment({"MIEN_MIRRORED": "0"}).mirrored
    with pytest.raises(SetupError, match="MIEN_MIRRORED cannot be 'perhaps'"):
        Settings.from_environment({"MIEN_MIRRORED": "perhaps"})


def test_arguments_take_the_place_of_variables(tmp_path):
    environment = {"MIEN_DATA_DIR": "/elsewhere", "MIEN_BACKEND": "aws"}
    settings = Settings.from_environment(environment, data_dir=tmp_path, backend="embedded")
    assert (settings.data_dir, settings.backend) == (tmp_path, Backend.EMBEDDED)


@pytest.mark.parametrize("name", ["DATA_DIR", "MODELS_DIR", "API_KEYS_FILE", "ACCESS_KEYS_FILE"])
def test_a_tilde_means_the_home_folder(monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    for text, path in (("~/x", tmp_path / "x"), ("~", tmp_path), ("/a/~/b", Path("/a/~/b"))):
        assert getattr(Settings.from_environment({f"MIEN_{name}": text}), name.lower()) == path


def test_a_tilde_of_nobody_is_refused():
    with pytest.raises(SetupError, match=r"MIEN_DATA_DIR: There is no home folder for ~nobody-of-that-name\."):
        Settings.from_environment({"MIEN_DATA_DIR": "~nobody-of-that-name/x"})


def test_a_user_without_a_home_folder_is_told_which_setting_helps(monkeypatch, tmp_path):
    def nobody(_: int) -> NoReturn:
        raise KeyError

    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(SetupError, match="set MIEN_DATA_DIR"):
        Settings.from_environment({})
    assert Settings.from_environment({"MIEN_DATA_DIR": str(tmp_path)}).data_dir == tmp_path


def test_a_tilde_in_an_argument_means_the_home_folder_too(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_environment({}, data_dir=Path("~/x")).data_dir == tmp_path / "x"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("THREADS", "-3"),
        ("THREADS", "0"),
        ("THREADS", "99999"),
        ("THREADS", "two"),
        ("THREADS", "1.5"),
        ("MAX_PIXELS", "0"),
        ("MAX_PIXELS", "999999999"),
        ("RESULT_DAYS", "0"),
        ("RESULT_DAYS", "36501"),
        ("VISITOR_DAYS", "-1"),
        ("VISITOR_DAYS", "1e9"),
        ("MAX_WAITING", "-1"),
        ("RATE_PER_MINUTE", "0"),
        ("MAX_IMAGE_BYTES", "-5"),
        ("CANDIDATES", "-1"),
        ("MARGIN", "0.5"),
        ("MARGIN", "nan"),
        ("MARGIN", "inf"),
    ],
)
def test_a_number_out_of_range_is_refused_in_one_sentence(name, text):
    with pytest.raises(SetupError, match=rf"^MIEN_{name}.*\.$"):
        Settings.from_environment({f"MIEN_{name}": text})


@pytest.mark.parametrize(
    ("backend", "name", "text"),
    [
        ("embedded", "FACES_TABLE", "Faces"),
        ("embedded", "KEYS_SECRET", "secret"),
        ("embedded", "UPLOAD_QUEUE_URL", "https://queue"),
        ("aws", "MODELS_DIR", "/models"),
        ("aws", "MAX_PIXELS", "1000000"),
        ("aws", "MIRRORED", "yes"),
    ],
)
def test_a_setting_that_the_backend_does_not_have_is_refused(backend, name, text):
    other = {"embedded": "aws", "aws": "embedded"}[backend]
    environment = {f"MIEN_{name}": text}
    with pytest.raises(SetupError, match=f"MIEN_{name} has no effect with the backend {backend}"):
        Settings.from_environment(environment, backend=backend)
    Settings.from_environment(environment, backend=other)
    Settings.from_environment({f"MIEN_{name}": ""}, backend=backend)


@pytest.mark.parametrize("backend", ["embedded", "aws"])
def test_every_backend_takes_the_days_of_retention(backend):
    settings = Settings.from_environment({"MIEN_RESULT_DAYS": "36500", "MIEN_VISITOR_DAYS": "1"}, backend=backend)
    assert (settings.policy.result_days, settings.policy.visitor_days) == (36500, 1)


def test_the_engine_takes_the_limit_of_pixels(monkeypatch):
    use_fake_engine(monkeypatch)
    photo = photo_of("Ada")
    pixels = open_photo(photo).width * open_photo(photo).height
    taken = open_engine(Settings.from_environment({"MIEN_MAX_PIXELS": str(pixels // 4)}))
    assert len(taken.read(photo)) == 1
    refused = open_engine(Settings.from_environment({"MIEN_MAX_PIXELS": str(pixels // 4 - 1)}))
    with pytest.raises(ImageTooLarge, match=f"{pixels // 4 - 1:,}"):
        refused.read(photo)


def test_a_larger_limit_of_bytes_reaches_the_engine(monkeypatch):
    use_fake_engine(monkeypatch)
    photo = photo_of("Ada") + bytes(33 * 1024 * 1024)
    with pytest.raises(ImageTooLarge, match="bytes"):
        open_engine(Settings.from_environment({})).read(photo)
    larger = open_engine(Settings.from_environment({"MIEN_MAX_IMAGE_BYTES": str(len(photo))}))
    assert len(larger.read(photo)) == 1
