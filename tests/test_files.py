"""A file is written whole or not at all, and what is shipped is found where it lies."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minimagen import files


@pytest.fixture
def small_disk():
    """No file may grow beyond 4 KiB: what a full disk does, through the system's own limit."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fails_with(error):
    def save(path):
        path.write_text("half of it")
        raise error

    return save


def test_write_makes_the_folders_and_leaves_nothing_but_the_file(tmp_path):
    path = files.write(
        tmp_path / "a" / "b" / "x.txt", lambda temporary: temporary.write_text("whole")
    )
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path, seen = tmp_path / "x.txt", []
    path.write_text("old")

    def save(temporary):
        temporary.write_text("new, half")
        seen.append(path.read_text())
        temporary.write_text("new, whole")
        seen.append(path.read_text())

    files.write(path, save)
    assert seen == ["old", "old"]
    assert path.read_text() == "new, whole"


def test_a_failed_write_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(
        OSError, match=r"could not write .*x\.txt: No space left on device"
    ) as caught:
        files.write(path, fails_with(OSError(errno.ENOSPC, "No space left on device")))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_failed_rename_keeps_the_old_file_too(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def replace(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match=r"could not write .*x\.txt"):
        files.write(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_full_disk_is_the_same_error_for_text_and_for_weights(tmp_path, small_disk):
    path = tmp_path / "x"
    path.write_text("old")
    saves = (
        lambda temporary: temporary.write_text("." * 100_000),
        lambda temporary: save_file({"a": torch.zeros(100_000)}, temporary),
    )
    for save in saves:
        with pytest.raises(OSError, match=r"could not write .*x: .*[Ff]ile too large"):
            files.write(path, save)
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["x"]


def test_an_error_without_a_number_prints_none(tmp_path):
    with pytest.raises(OSError, match="could not write") as caught:
        files.write(tmp_path / "x.png", fails_with(OSError("encoder error -2")))
    assert "None" not in str(caught.value)
    assert "encoder error -2" in str(caught.value)


def test_any_other_error_passes_through_and_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        files.write(tmp_path / "x.txt", fails_with(ZeroDivisionError()))
    assert os.listdir(tmp_path) == []


def test_make_folder_names_the_file_in_its_way(tmp_path):
    assert files.make_folder(tmp_path / "a" / "b").is_dir()
    assert files.make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="out must be a folder, but .*file.* is a file"):
            files.make_folder(path)


def test_a_checkout_finds_its_data_beside_the_package():
    assert files.shipped("weights") == Path(files.__file__).parents[1] / "data" / "weights"


def test_the_cache_is_where_the_environment_says_else_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIMAGEN_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.setenv("MINIMAGEN_CACHE", "")
    assert files.cache_folder() == Path.home() / ".cache" / "minimagen"


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path):
    left = [".123.x.txt", ".4.x.txt"]
    others = ["x.txt", ".123.y.txt", ".hidden.x.txt", "123.x.txt", ".x.txt", ".12a.x.txt"]
    for name in (*left, *others):
        (tmp_path / name).write_text("")
    files.remove_temporaries(tmp_path / "x.txt")
    assert {path.name for path in tmp_path.iterdir()} == set(others)
    (tmp_path / ".9.0001.png").write_text("")
    files.remove_temporaries(tmp_path / "*.png")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_a_folder_is_held_by_one_and_free_again_afterwards(tmp_path):
    lock = files.FolderLock(tmp_path / "a" / "run")
    held = rf"run is held by process {os.getpid()} on .* since \d{{4}}-\d\d-\d\d \d\d:"
    for _ in range(2):  # to be refused takes nothing away
        with pytest.raises(ValueError, match=held):
            files.FolderLock(tmp_path / "a" / "run")
    lock.release()
    assert os.listdir(tmp_path / "a" / "run") == [".lock"]
    files.FolderLock(tmp_path / "a" / "run").release()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out must be a folder, but .*file is a file"):
        files.FolderLock(tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_a_folder_whose_holder_was_killed_is_free(tmp_path):
    child = os.fork()
    if child == 0:
        files.FolderLock(tmp_path)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert str(child) in (tmp_path / ".holder").read_text()
    lock = files.FolderLock(tmp_path)
    assert str(os.getpid()) in (tmp_path / ".holder").read_text()
    lock.release()


def test_a_folder_that_cannot_say_who_holds_it_is_not_held(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="could not write .*holder"):
            files.FolderLock(tmp_path)
    files.FolderLock(tmp_path).release()
