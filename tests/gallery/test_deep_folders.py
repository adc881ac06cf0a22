"""Folders of any depth are listed and removed, and nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.gallery.store import deep_folders, private_files
from tests.support.nesting import LEVELS, nested


def test_what_is_nested_too_deep_to_be_reached_is_removed(tmp_path: Path) -> None:
    with nested(tmp_path / "top", b"photo") as top:
        assert 1000 < len(list(deep_folders.below(top))) < LEVELS
        gone: list[str] = []
        deep_folders.remove(top, lambda path: (gone.append(path.name), os.unlink(path)))
        assert gone == ["x.jpg"]
        assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (top / "loop").symlink_to(".")
    assert sorted(path.relative_to(top).as_posix() for path in deep_folders.below(top)) == ["a", "a/link", "loop"]
    deep_folders.remove(top)
    assert not top.exists()
    assert (tmp_path / "elsewhere" / "kept").read_text() == "kept"


def test_a_folder_that_a_link_replaces_meanwhile_is_not_emptied(tmp_path: Path) -> None:
    elsewhere, top = tmp_path / "elsewhere", tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "file").write_text("")
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")

    def replace_folder(path: Path) -> None:
        path.unlink()
        (top / "a").rename(top / "moved")
        (top / "a").symlink_to(elsewhere)

    with pytest.raises(OSError, match="not empty"):
        deep_folders.remove(top, replace_folder)
    assert (elsewhere / "kept").read_text() == "kept"


def test_what_is_open_to_others_is_closed_at_any_depth(tmp_path: Path) -> None:
    with nested(tmp_path / "top", levels=1200) as top:
        deepest = max(deep_folders.below(top), key=lambda path: len(path.parts))
        deepest.chmod(0o644)
        assert deepest in private_files.find_open(tmp_path)
        private_files.restrict_tree(tmp_path)
        assert private_files.find_open(tmp_path) == []
