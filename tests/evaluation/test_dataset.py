"""Pairs files as people write them, right and wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.domain.errors import InvalidInput
from mien.evaluation.dataset import Folder, draw_pairs, read_folder, read_pairs


@pytest.fixture
def people(tmp_path: Path) -> Folder:
    for name, count in (("Ann", 3), ("Bob", 2), ("Cy", 1)):
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            (tmp_path / name / f"{name}_{number:04d}.jpg").write_bytes(b"")
    return read_folder(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return file


def test_lfw_pairs_in_folds(people: Folder, write: Callable[[str, str], Path]) -> None:
    text = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nBob\t1\tCy\t1\n"
    found = read_pairs(write("pairs.txt", text), people)
    assert [(p.left, p.right, p.same, p.fold) for p in found.pairs] == [
        (0, 1, True, 0),
        (0, 3, False, 0),
        (3, 4, True, 1),
        (3, 5, False, 1),
    ]
    assert found.missing == ()


@pytest.mark.parametrize("header", ["", "2\n"])
def test_lfw_pairs_without_folds(people: Folder, write: Callable[[str, str], Path], header: str) -> None:
    found = read_pairs(write("pairs.txt", header + "Ann 1 2\nAnn 1 Bob 1\n"), people)
    assert [p.fold for p in found.pairs] == [0, 1]


def test_csv_deals_either_kind_out_to_ten_folds(people: Folder, write: Callable[[str, str], Path]) -> None:
    rows = "Ann/Ann_0001.jpg,Ann/Ann_0002.jpg,1\nAnn/Ann_0001.jpg,Bob/Bob_0001.jpg,0\n" * 11
    found = read_pairs(write("pairs.csv", "left,right,same\n" + rows), people)
    assert [p.fold for p in found.pairs if p.same] == [*range(10), 0]
    assert [p.fold for p in found.pairs if not p.same] == [*range(10), 0]


def test_missing_photos_are_named_and_the_rest_is_kept(people: Folder, write: Callable[[str, str], Path]) -> None:
    found = read_pairs(write("pairs.txt", "Ann 1 2\nAnn 1 Bob 1\nAnn 1 9\nAnn 1 Zoe 1\n"), people)
    assert len(found.pairs) == 2
    assert found.missing == ("Ann/Ann_0009", "Zoe/Zoe_0001")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pairs.txt", "Ann one two\n", "Line 1"),
        ("pairs.txt", "ten many\n", "Line 1"),
        ("pairs.txt", "Ann 1 2\n", "same and of different"),
        ("pairs.txt", "", "same and of different"),
        ("pairs.csv", "a,b\n", "left,right,same"),
        ("pairs.csv", "left,right,same\nAnn/Ann_0001.jpg,Ann/Ann_0002.jpg,maybe\n", "Line 2"),
        ("pairs.csv", "left,right,same\nAnn/Ann_0001.jpg\n", "Line 2"),
    ],
)
def test_unusable_files_are_refused_in_words(
    people: Folder, write: Callable[[str, str], Path], name: str, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_pairs(write(name, text), people)


def test_a_file_that_is_not_there(people: Folder) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_pairs(people.root / "none.txt", people)


def test_drawn_folds_share_no_people(tmp_path: Path) -> None:
    for person in range(40):
        (tmp_path / f"p{person}").mkdir()
        for number in range(3):
            (tmp_path / f"p{person}" / f"{number}.jpg").write_bytes(b"")
    folder = read_folder(tmp_path)
    pairs = draw_pairs(folder).pairs
    seen: dict[int, set[int]] = {}
    for pair in pairs:
        seen.setdefault(pair.fold, set()).update((folder.labels[pair.left], folder.labels[pair.right]))
        assert pair.same == (folder.labels[pair.left] == folder.labels[pair.right])
    assert len(seen) == 10
    assert sum(map(len, seen.values())) == len(set().union(*seen.values())) == 40
    assert sum(pair.same for pair in pairs) * 2 == len(pairs)
    assert draw_pairs(folder).pairs == pairs


def test_folder_notes_single_photos_and_two_spellings(tmp_path: Path) -> None:
    for name, count in (("Ann_Lee", 2), ("ann lee", 1), ("Bob", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.png").write_bytes(b"")
    notes = read_folder(tmp_path).notes
    assert notes[0].startswith("2 of 3 people have one photo")
    assert "Ann_Lee and ann lee" in notes[1]


@pytest.mark.parametrize(
    ("counts", "message"),
    [({}, "no people"), ({"Ann": 3}, "one person only"), ({"Ann": 1, "Bob": 1}, "Nobody")],
)
def test_folders_that_cannot_be_measured(tmp_path: Path, counts: dict[str, int], message: str) -> None:
    for name, count in counts.items():
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(InvalidInput, match=message):
        read_folder(tmp_path)
