"""A whole evaluation on a stand-in engine, from photo files to JSON and report."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.domain.errors import DamagedImage, ImageError
from mien.domain.faces import Box
from mien.evaluation.dataset import draw_pairs, read_pairs
from mien.evaluation.embeddings import EmbeddingCache
from mien.evaluation.evaluate import evaluate, gather
from mien.evaluation.report import as_json, as_lines, html
from mien.evaluation.verification import rate_name


@dataclass(frozen=True)
class StandInFace:
    box: Box
    embedding: np.ndarray


MIDDLE, CORNER = Box(0.3, 0.3, 0.4, 0.4), Box(0.0, 0.0, 0.5, 0.5)


@dataclass
class ColourEngine:
    """Sees a person by the photo's red value; a black photo has no face; every other has a passer-by, too."""

    model_version: str = "colour-1"
    seen: int = 0
    stop_after: int | None = None
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[StandInFace] | ImageError]:
        for image in images:
            if self.seen == self.stop_after:
                raise KeyboardInterrupt
            self.seen += 1
            try:
                red = Image.open(io.BytesIO(image)).getpixel((0, 0))[0]
            except OSError:
                yield DamagedImage("The photo is damaged.")
                continue
            yield [] if red == 0 else [self._face(CORNER, 127), self._face(MIDDLE, red % 128)]

    def _face(self, box: Box, place: int) -> StandInFace:
        vector = self.noise.normal(0, 0.02, 128)
        vector[place] += 1
        return StandInFace(box, (vector / np.linalg.norm(vector)).astype(np.float32))


def photo(path: Path, red: int, shade: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), (red, shade, 0)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    folder.mkdir()
    for person in range(40):
        for number in range(1, 4):
            photo(folder / f"p{person:02d}" / f"p{person:02d}_{number:04d}.png", person + 1, number)
    return folder


def test_separable_people_are_told_apart(root: Path) -> None:
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = as_json(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    assert result["accuracy"] == 1.0
    assert result["accuracy_std"] == 0.0
    assert result["eer"] == 0.0
    assert result["tmr"]["1e-2"] == 1.0
    assert result["rank"]["1"] == 1.0
    assert result["failures_to_acquire"] == 0
    assert {(r["gallery"], r["photos"], r["fnir"]) for r in result["open_set"]} == {
        (10, 1, 0.0),
        (20, 1, 0.0),
        (10, 2, 0.0),
        (20, 2, 0.0),
    }
    assert json.loads(json.dumps(result)) == result


def test_rates_without_support_are_null_and_the_result_partial(root: Path) -> None:
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = as_json(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    # 120 photos of 40 people: 7,020 impostor pairs, ten of which are a rate of 1.4e-3.
    assert [rate for rate, value in result["tmr"].items() if value is None] == ["1e-3", "1e-4", "1e-5", "1e-6"]
    assert result["partial"]
    assert "7,020 impostor comparisons are too few for FMR 1e-3, 1e-4, 1e-5, 1e-6" in result["notes"][0]
    assert "1.4e-03" in result["notes"][0]


def test_photos_without_a_face_are_counted_as_misses(root: Path) -> None:
    photo(root / "p00" / "p00_0001.png", 0, 0)
    (root / "p01" / "p01_0001.png").write_bytes(b"not an image")
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = as_json(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    assert result["failures_to_acquire"] == 2
    # Each failed photo spoils two of the 120 genuine pairs.
    assert result["tmr"]["1e-2"] == pytest.approx(1 - 4 / 120)
    assert any("p00/p00_0001.png, p01/p01_0001.png" in note for note in result["notes"])


def test_one_photo_under_two_names_is_reported(root: Path) -> None:
    (root / "p01" / "copy.png").write_bytes((root / "p00" / "p00_0001.png").read_bytes())
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    notes = evaluate(data, draw_pairs(data.folder), mean_vector).notes
    assert "The same photo is filed under p00 and p01." in notes


def test_missing_photos_and_large_galleries_make_it_partial(root: Path) -> None:
    file = root / "pairs.txt"
    file.write_text("p00 1 2\np00 1 p01 1\np01 1 2\np02 1 p01 1\np00 1 99\n")
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = evaluate(data, read_pairs(file, data.folder), mean_vector, galleries=(10, 800))
    assert result.pairs == 4
    assert result.partial
    assert result.notes[0].startswith("1 photo of the pairs file not found in the folder, such as p00/p00_0099")
    assert sum("gallery of 800" in note for note in result.notes) == 2
    assert {found.gallery for found in result.open_set} == {10}


def test_an_interrupted_run_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache.db", "colour-1")
    with pytest.raises(KeyboardInterrupt):
        gather(root, ColourEngine(stop_after=110), cache)
    cache.close()
    second = ColourEngine()
    told: list[tuple[int, int]] = []
    again = EmbeddingCache(tmp_path / "cache.db", "colour-1")
    gather(root, second, again, lambda *step: told.append(step))
    assert second.seen == 20
    assert told == [(100, 120), (120, 120)]


def test_another_model_reads_everything_anew(root: Path, tmp_path: Path) -> None:
    gather(root, ColourEngine(), EmbeddingCache(tmp_path / "cache.db", "colour-1"))
    other = ColourEngine(model_version="colour-2")
    gather(root, other, EmbeddingCache(tmp_path / "cache.db", "colour-2"))
    assert other.seen == 120


def test_report_shows_curves_and_the_worst_pairs_escaped(root: Path) -> None:
    pytest.importorskip("matplotlib")
    (root / "p00").rename(root / "p00 <b>")
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    page = html(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg;base64,") == 48
    assert "<b>" not in page


def test_lines_say_partial_in_words(root: Path) -> None:
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    lines = list(as_lines(data, evaluate(data, draw_pairs(data.folder), mean_vector)))
    assert lines[0] == "120 photos of 40 people, colour-1"
    assert "Partial result:" in lines


@pytest.mark.parametrize(("rate", "name"), [(1e-2, "1e-2"), (1e-4, "1e-4"), (5e-6, "5e-6")])
def test_rates_are_written_in_one_way(rate: float, name: str) -> None:
    assert rate_name(rate) == name


def mean_vector(vectors: np.ndarray) -> np.ndarray:
    centre = vectors.mean(axis=0)
    return centre / max(np.linalg.norm(centre), 1e-9)


@pytest.mark.parametrize(("counts", "pairs"), [((3, 2), 8), ((2, 2, 2), 6), ((4, 1), 8)])
def test_a_few_people_are_measured_in_folds_that_share_them(
    tmp_path: Path, counts: tuple[int, ...], pairs: int
) -> None:
    data = gather(few(tmp_path, counts), ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = evaluate(data, draw_pairs(data.folder), mean_vector)
    assert (result.accuracy, result.pairs, result.partial) == (1.0, pairs, True)
    assert any("share people" in note for note in result.notes)


def test_one_pair_of_either_kind_is_no_accuracy_but_an_answer(tmp_path: Path) -> None:
    data = gather(few(tmp_path, (2, 1)), ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = evaluate(data, draw_pairs(data.folder), mean_vector)
    assert as_json(data, result)["accuracy"] is None
    assert result.partial
    lines = "\n".join(as_lines(data, result))
    assert "two pairs of the same person" in lines
    assert "they support no rate at all" in lines


def test_a_rate_of_searches_that_cannot_be_shown_is_named(root: Path) -> None:
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    result = evaluate(data, draw_pairs(data.folder), mean_vector)
    assert any(note.startswith("FPIR 0.1% needs 1,000 searches of strangers") for note in result.notes)


def test_the_report_shows_what_it_can_of_a_damaged_photo(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    root = few(tmp_path, (2, 2))
    (root / "p0" / "p0_0003.jpg").write_bytes(b"no photo")
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    page = html(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    assert "p0_0003.jpg" in page


def few(root: Path, counts: tuple[int, ...]) -> Path:
    for person, count in enumerate(counts):
        for number in range(1, count + 1):
            photo(root / f"p{person}" / f"p{person}_{number:04d}.png", person + 1, number)
    return root


def test_the_main_results_are_said_in_plain_words_first(root: Path) -> None:
    data = gather(root, ColourEngine(), EmbeddingCache(":memory:", "colour-1"))
    _, first, second, empty, *_ = as_lines(data, evaluate(data, draw_pairs(data.folder), mean_vector))
    assert first == "Whether two photos show one person: right in 100.0% of the cases."
    assert second.endswith("of their other photos are recognised, if 1 in 10 strangers may get a name.")
    assert empty == ""
