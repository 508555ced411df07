"""Parts on disk: what is written is read again, and nothing that is damaged is taken for whole."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from oneshot.clutter.scenes import Scenes
from oneshot.clutter.store import read_part, write_part
from oneshot.errors import PartError
from tests.archives import cut_off, flip_bit
from tests.fake_scenes import fake_scenes

ATTRIBUTES = {"seed": 7, "recipe": {"clutter_level": 5, "drawers": [0, 10]}}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return fake_scenes(12, 5, seed=1)


@pytest.fixture
def part(scenes: Scenes, tmp_path: Path) -> Path:
    path = tmp_path / "4" / "part-0.zarr.zip"
    write_part(path, scenes, ATTRIBUTES)
    return path


def assert_same(scenes: Scenes, other: Scenes) -> None:
    for field in fields(Scenes):
        found, expected = getattr(scenes, field.name), getattr(other, field.name)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("n", "level"), [(12, 5), (1, 1), (3, 300)])
def test_what_is_written_is_read_again(tmp_path: Path, n: int, level: int) -> None:
    scenes = fake_scenes(n, level, seed=2)
    write_part(tmp_path / "part-0.zarr.zip", scenes, ATTRIBUTES)
    found, attributes = read_part(tmp_path / "part-0.zarr.zip")
    assert_same(found, scenes)
    assert attributes == ATTRIBUTES


def test_blank_masks_are_stored_like_any_others(scenes: Scenes, tmp_path: Path) -> None:
    blank = replace(scenes, masks=np.zeros_like(scenes.masks))
    write_part(tmp_path / "part-0.zarr.zip", blank, ATTRIBUTES)
    assert_same(read_part(tmp_path / "part-0.zarr.zip")[0], blank)


@pytest.mark.parametrize("n_scenes", [1, 5, 12, 100])
def test_the_first_scenes_can_be_read_alone(part: Path, scenes: Scenes, n_scenes: int) -> None:
    assert_same(read_part(part, n_scenes)[0], scenes[:n_scenes])


def test_a_part_is_the_same_bytes_at_every_writing(part: Path, scenes: Scenes, tmp_path: Path) -> None:
    write_part(tmp_path / "again.zip", scenes, ATTRIBUTES)
    assert (tmp_path / "again.zip").read_bytes() == part.read_bytes()
    write_part(tmp_path / "other.zip", scenes, {**ATTRIBUTES, "seed": 8})
    assert (tmp_path / "other.zip").read_bytes() != part.read_bytes()


def test_a_part_carries_no_time_of_writing_and_its_members_are_sorted(part: Path) -> None:
    with zipfile.ZipFile(part) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())


def test_plain_zarr_opens_a_part(part: Path, scenes: Scenes) -> None:
    with zarr.storage.ZipStore(part, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert dict(group.attrs) == ATTRIBUTES
        for field in fields(Scenes):
            assert np.array_equal(group[field.name][:], getattr(scenes, field.name))


def test_writing_leaves_nothing_but_the_part(part: Path) -> None:
    assert list(part.parent.iterdir()) == [part]


def replace_member(path: Path, name: str, content: bytes | None) -> None:
    """Write the archive anew with one member's content replaced, or the member left out."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    assert name in members
    members[name] = content or b""
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in members.items():
            if each != name or content is not None:
                archive.writestr(each, data)


def find_chunk(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return next(member for member in archive.namelist() if member.startswith(f"{name}/c"))


def replace_with_foreign_group(path: Path) -> None:
    path.unlink()
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_group(store).create_array("pictures", data=np.zeros(3))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut off": cut_off,
    "cut off by one byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>Not found</html>"),
    "an empty archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "another archive": replace_with_foreign_group,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "without metadata": lambda path: replace_member(path, "zarr.json", None),
    "metadata no JSON": lambda path: replace_member(path, "zarr.json", b"{"),
    "metadata of a list": lambda path: replace_member(path, "zarr.json", b"[]"),
    "metadata not text": lambda path: replace_member(path, "zarr.json", b"\xff\xfe\xfd"),
    "an array missing": lambda path: replace_member(path, "palette/zarr.json", None),
    "an array's metadata emptied": lambda path: replace_member(path, "palette/zarr.json", b"{}"),
    "a chunk missing": lambda path: replace_member(path, find_chunk(path, "masks"), None),
    "a chunk emptied": lambda path: replace_member(path, find_chunk(path, "labels"), b""),
    "a chunk of noise": lambda path: replace_member(path, find_chunk(path, "labels"), bytes(range(200))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_refused_in_one_sentence(part: Path, damage: str) -> None:
    DAMAGE[damage](part)
    assert_refused(part)


def assert_refused(path: Path) -> None:
    with pytest.raises(
        PartError, match=r"part-0\.zarr\.zip is damaged .*run the stage render again"
    ) as caught:
        read_part(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(
    part: Path, scenes: Scenes, tmp_path: Path
) -> None:
    """Every 37th byte of data, headers and directory, and the end; some bits, as of a date, mean nothing."""
    size, refusals = part.stat().st_size, []
    places = [*range(0, size, 37), *range(size - 22, size)]
    copy = tmp_path / "part-0.zarr.zip"
    for place in places:
        shutil.copyfile(part, copy)
        flip_bit(copy, place)
        try:
            found, attributes = read_part(copy)
        except PartError as error:
            refusals.append(str(error))
        else:
            assert_same(found, scenes)
            assert attributes == ATTRIBUTES
    assert len(refusals) > 0.8 * len(places)
    assert not any("\n" in refusal for refusal in refusals)


def test_a_missing_part_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"part-0\.zarr\.zip is missing: run the stage render"):
        read_part(tmp_path / "part-0.zarr.zip")
