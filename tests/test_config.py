"""The settings whose text means more than one kind of value."""

import pytest

from mien.config import Backend, Settings
from mien.domain.errors import SetupError


@pytest.mark.parametrize(
    ("text", "threshold"), [("90", 90.0), ("fmr=1e-4", "fmr=1e-4"), ("1e-4", "1e-4"), ("fpir=0.01", "fpir=0.01")]
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
