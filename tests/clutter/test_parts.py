"""Parts of the published sets on disk: kept if right, else rendered again; nothing damaged counts as good."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from oneshot.clutter import parts as parts_module
from oneshot.clutter.parts import (
    Part,
    PartRecord,
    check_set,
    complete_part,
    complete_parts,
    list_parts,
    read_part,
    read_set,
    summarise_set,
    write_part,
)
from oneshot.clutter.scenes import Pens, Scenes, concatenate, job_seeds, lay_out, render_job
from oneshot.errors import ChecksumError, ParameterError, PartError
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import COVERED_SPLITS, RENDERED_SPLITS, find_set, find_split, read_facts
from tests.archives import cut_off, flip_bit
from tests.conftest import ROOT, refusing
from tests.fake_scenes import fake_scenes
from tests.scene_cases import assert_same

REAL = read_facts("omniglot")["drawings"]["sha256"]


@pytest.fixture(scope="module")
def parts(synthetic_drawings: Drawings) -> list[Part]:
    return list_parts(4, "test-one-shot", synthetic_drawings.sha256(), 3, 10)


def render(part: Part, pens: dict[str, Pens]) -> Scenes:
    return render_job(pens[part.split.characters], part.recipe, part.seed, part.n_scenes)


# ----------------------------------------------------------------------------------------------- which parts


def test_the_parts_of_a_split_follow_its_published_definition(synthetic_drawings):
    parts = list_parts(32, "val-train", synthetic_drawings.sha256())
    assert [part.seed for part in parts] == job_seeds(4020197800, 5)
    assert [part.job for part in parts] == [0, 1, 2, 3, 4]
    assert {(part.recipe.characters, part.recipe.drawers, part.n_scenes) for part in parts} == {
        ("train", (10, 20), 2000)
    }
    assert parts[3].name == "32/val-train/part-3.zarr.zip"
    assert parts[0].recipe.clutter_level == 32


@pytest.mark.parametrize("split", RENDERED_SPLITS)
def test_known_sums_apply_to_whole_jobs_of_the_real_drawings_alone(split):
    facts = find_set(8, split)
    assert facts is not None
    parts = list_parts(8, split, REAL)
    assert [part.known for part in parts] == [job["sha256"] for job in facts["jobs"]]
    whose = "checksums of this project" if split in COVERED_SPLITS else "published checksums"
    assert {part.checked_against for part in parts} == {whose}
    without = [list_parts(8, split, REAL, job_scenes=100), list_parts(8, split, "0" * 64)]
    parts = [part for parts in (*without, list_parts(4, "train", REAL)) for part in parts]
    assert {(part.known, part.checked_against) for part in parts} == {(None, "own checksums")}


def test_an_unknown_split_is_named_beside_the_known_ones():
    with pytest.raises(ParameterError, match=r"no split 'test'; there are train, val-train"):
        list_parts(4, "test", "")


# ------------------------------------------------------------------------------------------- kept or rendered


def test_a_part_is_rendered_and_described(parts, pens, tmp_path):
    record = complete_part(tmp_path, parts[1], pens)
    scenes = render(parts[1], pens)
    found, attributes = read_part(tmp_path / parts[1].name)
    assert_same(found, scenes)
    assert not record.kept
    assert record.sha256 == scenes.sha256() == attributes["sha256"]
    assert record.md5_of_last_image == hashlib.md5(scenes.images()[-1].tobytes()).hexdigest()
    assert attributes["seed"] == parts[1].seed
    assert attributes["recipe"]["drawers"] == [10, 20]
    assert attributes["drawings_sha256"] == parts[1].drawings_sha256


def test_a_part_that_is_right_is_kept_untouched(parts, pens, tmp_path, monkeypatch):
    first = complete_part(tmp_path, parts[0], pens)
    path = tmp_path / parts[0].name
    os.utime(path, ns=(10**18, 10**18))
    monkeypatch.setattr(parts_module, "render_job", None)
    again = complete_part(tmp_path, parts[0], pens)
    assert again == replace(first, kept=True)
    assert path.stat().st_mtime_ns == 10**18


def write_other_scenes(path: Path, part: Part, pens: dict[str, Pens]) -> None:
    """Scenes of another seed in a whole container that claims to be the part, its checksum included."""
    _, attributes = read_part(path)
    write_part(path, render_job(pens["test"], part.recipe, 1, part.n_scenes), attributes)


def write_part_of(**changes: Any) -> Callable[[Path, Part, dict[str, Pens]], None]:
    """A whole part, with right sums of its own, that is another than asked for."""

    def write(path: Path, part: Part, pens: dict[str, Pens]) -> None:
        other = replace(part, **changes)
        scenes = render(other, pens)
        write_part(path, scenes, {**other.identity(), "sha256": scenes.sha256()})

    return write


WRONG: dict[str, Callable[[Path, Part, dict[str, Pens]], Any]] = {
    "cut off": lambda path, part, pens: cut_off(path),
    "a bit of data flipped": lambda path, part, pens: flip_bit(path, path.stat().st_size // 2),
    "other scenes under its name": write_other_scenes,
    "another seed": write_part_of(seed=3),
    "another clutter level": write_part_of(clutter_level=5),
    "another number of scenes": write_part_of(n_scenes=9),
    "other drawings": write_part_of(drawings_sha256="0" * 64),
    "another split": write_part_of(split=find_split("val-train")),
    "no attributes": lambda path, part, pens: write_part(path, render(part, pens), {}),
}


def test_a_part_that_the_system_does_not_open_is_kept(parts, pens, tmp_path, monkeypatch):
    path = tmp_path / parts[0].name
    complete_part(tmp_path, parts[0], pens)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError):
        complete_part(tmp_path, parts[0], pens)
    assert path.exists()


@pytest.mark.parametrize("wrong", WRONG)
def test_a_part_that_is_wrong_is_rendered_again_and_a_link_to_it_is_left_alone(parts, pens, tmp_path, wrong):
    path, cached = tmp_path / parts[0].name, tmp_path / "cached"
    complete_part(tmp_path, parts[0], pens)
    right = path.read_bytes()
    WRONG[wrong](path, parts[0], pens)
    content = path.read_bytes()
    assert content != right
    cached.hardlink_to(path)
    cached.chmod(0o444)
    assert not complete_part(tmp_path, parts[0], pens).kept
    assert path.read_bytes() == right
    assert cached.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_part_whose_bits_are_not_the_published_ones_is_an_error_and_not_written(parts, pens, tmp_path):
    sums = render(parts[0], pens).sha256()
    right = replace(parts[0], known=sums)
    assert complete_part(tmp_path / "right", right, pens).sha256 == sums
    wrong = replace(parts[0], known={**sums, "targets": "0" * 64})
    with refusing(
        ChecksumError, "job 0 of test-one-shot at clutter level 4 does not have its published checksum"
    ):
        complete_part(tmp_path / "wrong", wrong, pens)
    assert not (tmp_path / "wrong" / wrong.name).exists()


def test_parts_do_not_depend_on_workers(parts, pens, tmp_path):
    for n_workers in (1, 3):
        records = list(complete_parts(tmp_path / str(n_workers), parts, pens, n_workers))
        assert sorted(record.part.job for record in records) == [0, 1, 2]
    for part in parts:
        assert (tmp_path / "1" / part.name).read_bytes() == (tmp_path / "3" / part.name).read_bytes()


WORKER = """
import sys
from pathlib import Path
from oneshot.omniglot.drawings import load_drawings
from oneshot.clutter.scenes import lay_out
from oneshot.clutter.parts import complete_parts, list_parts

drawings = load_drawings(Path(sys.argv[1]))
pens = {"test": lay_out(drawings, "test")}
for record in complete_parts(Path(sys.argv[2]), list_parts(128, "test-one-shot", "sum", 5, 400), pens, 2):
    print(record.part.job, record.kept, flush=True)
"""


def test_a_killed_process_leaves_only_whole_parts_and_the_next_one_finishes_the_rest(
    synthetic_drawings, pens, tmp_path
):
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    folder = tmp_path / "scenes"
    command = [sys.executable, "-c", WORKER, str(tmp_path / "drawings.npz"), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # the first part is there
        while not list(folder.rglob("*.partial")) and len(list(folder.rglob("*.zip"))) < 3:
            time.sleep(0.001)  # until another one is being written, or two are about to be
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    whole = sorted(folder.rglob("*.zarr.zip"))
    assert 1 <= len(whole) < 5
    for path in whole:
        assert len(read_part(path)[0]) == 400

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = dict(line.split() for line in done.stdout.splitlines())
    assert sorted(kept) == ["0", "1", "2", "3", "4"]
    assert list(kept.values()).count("True") == len(whole)
    assert len(sorted(folder.rglob("*.zarr.zip"))) == 5


# ---------------------------------------------------------------------------------- manifests and reading


def test_a_manifest_lists_parts_in_order(parts, pens, tmp_path):
    records = [complete_part(tmp_path, part, pens) for part in (parts[2], parts[0], parts[1])]
    entry = summarise_set(records)
    assert entry["n_scenes"] == 30
    assert entry["checked_against"] == "own checksums"
    assert entry["md5_of_last_image"] == records[0].md5_of_last_image
    assert [part["seed"] for part in entry["parts"]] == [part.seed for part in parts]
    assert entry["parts"][0] == {
        "seed": parts[0].seed,
        "n_scenes": 10,
        "sha256": records[1].sha256,
        "file_sha256": records[1].file_sha256,
    }


def test_a_whole_set_whose_last_image_is_not_the_published_one_is_an_error():
    facts = find_set(4, "val-train")
    assert facts is not None
    records = [
        PartRecord(part, part.known or {}, "", facts["md5_of_last_image"], kept=False)
        for part in list_parts(4, "val-train", REAL)
    ]
    assert summarise_set(records)["checked_against"] == "published checksums"
    records[4] = replace(records[4], md5_of_last_image="0" * 32)
    with pytest.raises(
        ChecksumError, match="val-train at clutter level 4 does not have the MD5 of the published"
    ):
        summarise_set(records)
    assert summarise_set(records[:4])["n_scenes"] == 8000  # which is no whole set


@pytest.mark.parametrize("n_scenes", [1, 10, 11, 25, None])
def test_the_first_scenes_of_a_set_are_read_over_the_borders_of_its_parts(parts, pens, tmp_path, n_scenes):
    list(complete_parts(tmp_path, parts, pens, 1))
    scenes = concatenate([render(part, pens) for part in parts])
    assert_same(read_set(tmp_path, 4, "test-one-shot", n_scenes), scenes[: n_scenes or 30])


def test_eleven_parts_are_read_in_order(parts, pens, tmp_path):
    numbered = [replace(parts[0], job=job, seed=job, n_scenes=1) for job in range(11)]
    list(complete_parts(tmp_path, numbered, pens, 1))
    scenes = concatenate([render(part, pens) for part in numbered])
    assert_same(read_set(tmp_path, 4, "test-one-shot"), scenes)


def test_too_many_scenes_are_refused(parts, pens, tmp_path):
    complete_part(tmp_path, parts[0], pens)
    with pytest.raises(
        PartError, match=r"holds 10 scenes of test-one-shot at clutter level 4: .*ask for fewer"
    ):
        read_set(tmp_path, 4, "test-one-shot", 11)
    with pytest.raises(PartError, match="holds 0 scenes of val-train"):
        read_set(tmp_path, 4, "val-train")


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "no checksums of train at clutter level 4 are known"),
     ("val-train", r"part-0\.zarr\.zip is missing")],
)  # fmt: skip
def test_a_set_that_cannot_be_checked_says_why(tmp_path, split, message):
    with pytest.raises(PartError, match=message):
        check_set(tmp_path, 4, split)


@pytest.mark.omniglot
def test_a_set_is_the_published_one_and_exchanged_parts_are_noticed(drawings, tmp_path):
    pens = {"test": lay_out(drawings, "test")}
    parts = list_parts(4, "test-one-shot", drawings.sha256())
    records = list(complete_parts(tmp_path, parts, pens, 2))
    assert summarise_set(records)["checked_against"] == "published checksums"
    check_set(tmp_path, 4, "test-one-shot")
    shutil.copyfile(tmp_path / parts[1].name, tmp_path / parts[3].name)
    with pytest.raises(ChecksumError, match=r"test-one-shot at clutter level 4 .* is not the published set"):
        check_set(tmp_path, 4, "test-one-shot")
    assert not complete_part(tmp_path, parts[3], pens).kept
    check_set(tmp_path, 4, "test-one-shot")


@pytest.mark.omniglot
def test_a_set_of_covered_targets_is_written_checked_against_our_sums_and_read(drawings, tmp_path):
    pens = {"test": lay_out(drawings, "test")}
    (part,) = list_parts(8, "covered-one-shot", drawings.sha256())
    assert part.recipe.n_occluders == 4
    entry = summarise_set([complete_part(tmp_path, part, pens)])
    assert (entry["n_scenes"], entry["checked_against"]) == (2000, "checksums of this project")
    check_set(tmp_path, 8, "covered-one-shot")
    assert_same(read_set(tmp_path, 8, "covered-one-shot", 20), render(replace(part, n_scenes=20), pens))
    scenes, attributes = read_part(tmp_path / part.name)
    write_part(tmp_path / part.name, scenes[::-1], attributes)
    with pytest.raises(ChecksumError, match=r"covered-one-shot at .* is not the set of this project"):
        check_set(tmp_path, 8, "covered-one-shot")


# ----------------------------------------------------------------------------------------- a part's own file

ATTRIBUTES = {"seed": 7, "recipe": {"clutter_level": 5, "drawers": [0, 10]}}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return fake_scenes(12, 5, seed=1)


@pytest.fixture
def part(scenes: Scenes, tmp_path: Path) -> Path:
    path = tmp_path / "4" / "part-0.zarr.zip"
    write_part(path, scenes, ATTRIBUTES)
    return path


@pytest.mark.parametrize(("n", "level"), [(12, 5), (1, 1), (3, 300)])
def test_what_is_written_is_read_again(tmp_path, n, level):
    scenes = fake_scenes(n, level, seed=2)
    write_part(tmp_path / "part-0.zarr.zip", scenes, ATTRIBUTES)
    found, attributes = read_part(tmp_path / "part-0.zarr.zip")
    assert_same(found, scenes)
    assert attributes == ATTRIBUTES


def test_blank_masks_are_stored_like_any_others(scenes, tmp_path):
    blank = replace(scenes, masks=np.zeros_like(scenes.masks))
    write_part(tmp_path / "part-0.zarr.zip", blank, ATTRIBUTES)
    assert_same(read_part(tmp_path / "part-0.zarr.zip")[0], blank)


def test_a_part_is_the_same_bytes_at_every_writing(part, scenes, tmp_path):
    write_part(tmp_path / "again.zip", scenes, ATTRIBUTES)
    assert (tmp_path / "again.zip").read_bytes() == part.read_bytes()
    with zipfile.ZipFile(part) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())
    assert list(part.parent.iterdir()) == [part]


def test_plain_zarr_opens_a_part(part, scenes):
    with zarr.storage.ZipStore(part, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert dict(group.attrs) == ATTRIBUTES
        for field in fields(Scenes):
            assert np.array_equal(group[field.name][:], getattr(scenes, field.name))


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
    "empty": lambda path: path.write_bytes(b""),
    "an empty archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "another archive": replace_with_foreign_group,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "without metadata": lambda path: replace_member(path, "zarr.json", None),
    "metadata no JSON": lambda path: replace_member(path, "zarr.json", b"{"),
    "metadata not text": lambda path: replace_member(path, "zarr.json", b"\xff\xfe\xfd"),
    "an array's metadata emptied": lambda path: replace_member(path, "palette/zarr.json", b"{}"),
    "an array missing": lambda path: replace_member(path, "palette/zarr.json", None),
    "a chunk missing": lambda path: replace_member(path, find_chunk(path, "masks"), None),
    "a chunk emptied": lambda path: replace_member(path, find_chunk(path, "labels"), b""),
    "a chunk of noise": lambda path: replace_member(path, find_chunk(path, "labels"), bytes(range(200))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_refused_in_one_sentence(part, damage):
    DAMAGE[damage](part)
    with refusing(PartError, r"part-0\.zarr\.zip is damaged .*run the stage render again"):
        read_part(part)


def test_a_flipped_bit_is_refused_or_changes_nothing(part, scenes, tmp_path):
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


def test_a_missing_part_says_what_to_run(tmp_path):
    with pytest.raises(PartError, match=r"part-0\.zarr\.zip is missing: run the stage render"):
        read_part(tmp_path / "part-0.zarr.zip")
