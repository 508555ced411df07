"""Exports of scenes: read back by what others read them with, whole or absent, never over other things."""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.__main__ import main
from oneshot.clutter.scenes import Scenes, render_job
from oneshot.errors import ChecksumError, MissingPackageError, ParameterError
from oneshot.exports import source as scene_source
from oneshot.exports.folder import FORMATS, export_scenes
from oneshot.exports.source import SceneSource
from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import find_set
from tests.conftest import ROOT, refusing

SPLIT, LEVEL = "covered-one-shot", 8  # half of whose characters lie over the target
N_SCENES = 40


@pytest.fixture(scope="module")
def scenes(synthetic_drawings: Drawings) -> Scenes:
    return load_scenes(SPLIT, LEVEL, N_SCENES, synthetic_drawings)


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def test_arrays_have_the_bytes_that_numpy_saves_across_jobs(synthetic_drawings, tmp_path):
    export_scenes(tmp_path / "x", "npy", "val-train", 3, 2003, synthetic_drawings)
    whole = load_scenes("val-train", 3, 2003, synthetic_drawings)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "export.json", "images.npy", "segmentation.npy", "targets.npy"
    ]  # fmt: skip
    for name in ("images", "segmentation", "targets"):
        saved = io.BytesIO()
        np.save(saved, getattr(whole, name)())
        assert (tmp_path / "x" / f"{name}.npy").read_bytes() == saved.getvalue()


@pytest.mark.parametrize("wrong", [None, "images", "segmentation", "targets", "last"])
def test_arrays_that_do_not_have_their_checksums_on_disk_are_refused(
    scenes, synthetic_drawings, tmp_path, monkeypatch, wrong
):
    arrays = {"images": scenes.images(), "segmentation": scenes.segmentation(), "targets": scenes.targets()}
    sums = {name: sha256(array) for name, array in arrays.items()}
    last = hashlib.md5(arrays["images"][-1].data).hexdigest()
    found = {"sha256": sums | ({wrong: "0"} if wrong in sums else {}), "md5_of_last_image": last}
    if wrong == "last":
        found["md5_of_last_image"] = "0"
    monkeypatch.setattr(SceneSource, "find_sums", lambda self: found)

    def export() -> None:
        export_scenes(tmp_path / "x", "npy", SPLIT, LEVEL, N_SCENES, synthetic_drawings)

    if wrong is None:
        export()
        return
    with refusing(ChecksumError, "read back, is not that of Scenes of synthetic alphabets"):
        export()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.omniglot
def test_a_whole_published_set_is_compared_with_its_sums(drawings, tmp_path, monkeypatch):
    export_scenes(tmp_path / "x", "npy", "test-one-shot", 4, drawings=drawings)
    images = np.load(tmp_path / "x" / "images.npy", mmap_mode="r")
    facts = find_set(4, "test-one-shot")
    assert images.shape == (10_000, 96, 96, 3)
    assert sha256(images) == facts["sha256"]["images"]
    assert hashlib.md5(images[-1].data).hexdigest() == facts["md5_of_last_image"]
    assert sha256(np.load(tmp_path / "x" / "targets.npy")) == facts["sha256"]["targets"]

    def render_otherwise(pens, recipe, seed, n_scenes):
        return render_job(pens, recipe, seed + 1, n_scenes)

    monkeypatch.setattr(scene_source, "render_job", render_otherwise)
    with refusing(ChecksumError, "job 0 of test-one-shot at clutter level 4 does not have the published"):
        export_scenes(tmp_path / "y", "png", "test-one-shot", 4, 2000, drawings)
    assert not (tmp_path / "y").exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools itself
def test_cocos_tools_read_the_visible_part_of_every_character(scenes, synthetic_drawings, tmp_path):
    from pycocotools.coco import COCO

    export_scenes(tmp_path / "x", "coco", SPLIT, LEVEL, N_SCENES, synthetic_drawings)
    found = COCO(tmp_path / "x" / "instances.json")
    assert found.getImgIds() == list(range(N_SCENES))
    assert sorted(found.anns) == list(range(1, len(found.anns) + 1))
    test = synthetic_drawings.of("test")
    n_covered_targets = 0
    for k in range(N_SCENES):
        (image,) = found.loadImgs([k])
        assert np.array_equal(Image.open(tmp_path / "x" / "images" / image["file_name"]), scenes.images()[k])
        target = Image.open(tmp_path / "x" / "targets" / image["target_file_name"])
        assert np.array_equal(target, scenes.targets()[k])
        annotations = found.loadAnns(found.getAnnIds([k]))
        visible = np.unique(scenes.labels[k])[1:]  # in the order of drawing
        assert len(annotations) == len(visible)
        label_map = np.zeros((96, 96), np.int64)
        for label, annotation in zip(visible.tolist(), annotations, strict=True):
            mask = found.annToMask(annotation).astype(bool)
            assert not label_map[mask].any()
            label_map[mask] = label
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
            assert annotation["area"] == mask.sum()
            assert annotation["is_target"] == (label == LEVEL // 2)
            (category,) = found.loadCats([annotation["category_id"]])
            character = scenes.characters[k, label - 1]
            assert category["name"] == f"{test.alphabets[character]}/{test.characters[character]}"
            assert category["supercategory"] == test.alphabets[character]
            if annotation["is_target"]:
                assert annotation["category_id"] == image["target_category_id"]
        assert np.array_equal(label_map, scenes.labels[k])
        n_covered_targets += LEVEL // 2 not in visible
    assert n_covered_targets < N_SCENES


def test_pngs_hold_images_masks_and_labels_of_any_number_of_characters(synthetic_drawings, tmp_path):
    for split, characters, level, dtype in (
        ("val-one-shot", "eval", 3, np.uint8),
        ("covered-one-shot", "test", 256, np.uint16),
    ):
        out = tmp_path / str(level)
        export_scenes(out, "png", split, level, 5, synthetic_drawings)
        scenes = load_scenes(split, level, 5, synthetic_drawings)
        kinds = {
            "image": scenes.images(),
            "target": scenes.targets(),
            "mask": scenes.masks,
            "labels": scenes.labels,
        }
        for kind, arrays in kinds.items():
            files = sorted((out / kind).iterdir())
            assert [path.name for path in files] == [f"{k:07d}.png" for k in range(5)]
            assert np.array_equal(np.stack([np.asarray(Image.open(path)) for path in files]), arrays)
        assert scenes.labels.dtype == dtype
        with (out / "targets.csv").open() as file:
            rows = list(csv.DictReader(file))
        own = synthetic_drawings.of(characters)
        assert [row["character"] for row in rows] == [
            f"{own.alphabets[k]}/{own.characters[k]}" for k in scenes.target_characters
        ]
        preview = np.asarray(Image.open(out / "preview.png"))
        assert np.array_equal(preview[8:104, 48:144], scenes.images()[0])  # beside its target
        assert np.array_equal(preview[8:40, 8:40], scenes.targets()[0])


READ_PARQUET = """
import sys, numpy as np
from datasets import load_dataset
found = load_dataset("parquet", data_files=sys.argv[1] + "/data/*.parquet", split="train")
card = load_dataset(sys.argv[1])
assert list(card) == ["covered_one_shot"], card
card = card["covered_one_shot"]
assert card.features == found.features, (card.features, found.features)
names = card.features["target_character"]
kinds = ("image", "target", "mask", "labels")
arrays = {name: np.stack([np.asarray(row[name]) for row in card]) for name in kinds}
characters = np.array([row["characters"] for row in found])
targets = np.array([names.int2str(row["target_character"]) for row in card])
np.savez(sys.argv[2], characters=characters, targets=targets, **arrays)
"""


@pytest.mark.slow
def test_hugging_faces_datasets_reads_the_parquet_files_and_the_card_offline(
    scenes, synthetic_drawings, tmp_path
):
    export_scenes(tmp_path / "x", "parquet", SPLIT, LEVEL, N_SCENES, synthetic_drawings)
    assert "license: mit\n" in (tmp_path / "x" / "README.md").read_text()
    away = {"HF_HOME": str(tmp_path / "home"), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", READ_PARQUET, str(tmp_path / "x"), str(tmp_path / "read.npz")],
        env={**os.environ, **away}, check=True, capture_output=True,
    )  # fmt: skip
    with np.load(tmp_path / "read.npz") as read:
        assert np.array_equal(read["image"], scenes.images())
        assert np.array_equal(read["target"], scenes.targets())
        assert np.array_equal(read["mask"], scenes.masks)
        assert np.array_equal(read["labels"], scenes.labels)
        assert np.array_equal(read["characters"], scenes.characters)
        test = synthetic_drawings.of("test")
        names = [f"{test.alphabets[k]}/{test.characters[k]}" for k in scenes.target_characters]
        assert read["targets"].tolist() == names


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_export_is_written_again_and_anything_else_is_left_alone(synthetic_drawings, tmp_path):
    out = tmp_path / "new" / "x"

    def export(level: int = 3, n_scenes: int = 2, format_name: str = "npy") -> None:
        export_scenes(out, format_name, "val-train", level, n_scenes, synthetic_drawings)

    out.mkdir(parents=True)  # an empty folder will do
    export()
    before = contents(out)
    (out / "images.npy").write_bytes(b"damaged")
    export()
    assert contents(out) == before
    for changes in ({"level": 4}, {"n_scenes": 3}, {"format_name": "png"}):
        with refusing(ParameterError, "is not empty and does not hold this export"):
            export(**changes)
    (out / "export.json").write_text("{")
    with refusing(ParameterError, "is not empty and does not hold this export"):
        export()
    assert contents(out) == before | {"export.json": b"{"}
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("name", ["my_predictions.csv", "image/0000002.png", "mine/notes.txt"])
def test_the_same_export_is_not_written_over_files_that_were_added(synthetic_drawings, tmp_path, name):
    out = tmp_path / "x"
    export_scenes(out, "png", "val-train", 3, 2, synthetic_drawings)
    added = out / name
    added.parent.mkdir(exist_ok=True)
    added.write_text("precious")
    before = contents(out)
    with refusing(ParameterError, f"{out}/{name.split('/notes')[0]} is not part of the export"):
        export_scenes(out, "png", "val-train", 3, 2, synthetic_drawings)
    assert contents(out) == before
    assert list(tmp_path.iterdir()) == [out]
    added.unlink()
    if not any(added.parent.iterdir()):
        added.parent.rmdir()
    export_scenes(out, "png", "val-train", 3, 2, synthetic_drawings)


def test_what_came_into_the_place_meanwhile_is_left_alone(synthetic_drawings, tmp_path, monkeypatch):
    def render_slowly(pens, recipe, seed, n_scenes):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "mine").write_text("precious")
        return render_job(pens, recipe, seed, n_scenes)

    monkeypatch.setattr(scene_source, "render_job", render_slowly)
    with refusing(ParameterError, "is not empty and does not hold this export"):
        export_scenes(tmp_path / "x", "npy", "val-train", 3, 2, synthetic_drawings)
    assert contents(tmp_path) == {"x/mine": b"precious"}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_a_link_or_the_present_folder_is_no_place_for_an_export(
    synthetic_drawings, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for place, words in (
        ("file", "is a file or a link"),
        ("link", "a link"),
        (".", "you are in"),
        ("/", "top"),
    ):
        with refusing(ParameterError, words):
            export_scenes(Path(place), "npy", "val-train", 3, 2, synthetic_drawings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_error_on_the_way_leaves_nothing_and_what_was_there_before(
    synthetic_drawings, tmp_path, monkeypatch, format_name
):
    (tmp_path / "x").mkdir()

    def fail_at_the_second(pens, recipe, seed, n_scenes):
        if n_scenes != 2000:
            raise ParameterError("no more.")
        return render_job(pens, recipe, seed, 2)

    monkeypatch.setattr(scene_source, "render_job", fail_at_the_second)
    with refusing(ParameterError, "no more"):
        export_scenes(tmp_path / "x", format_name, "val-train", 3, 2001, synthetic_drawings)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert list((tmp_path / "x").iterdir()) == []


def test_if_the_new_folder_cannot_take_its_place_the_earlier_one_is_put_back(
    synthetic_drawings, tmp_path, monkeypatch
):
    export_scenes(tmp_path / "x", "npy", "val-train", 3, 2, synthetic_drawings)
    before = (tmp_path / "x" / "images.npy").read_bytes()
    rename = Path.rename

    def refuse_the_new(path: Path, target: Path) -> Path:
        if path.name.startswith("x.") and "earlier" not in path.name:
            raise PermissionError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(PermissionError):
        export_scenes(tmp_path / "x", "npy", "val-train", 3, 2, synthetic_drawings)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x" / "images.npy").read_bytes() == before


def test_a_killed_export_leaves_no_folder_under_its_name(synthetic_drawings, tmp_path):
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    out = tmp_path / "out" / "x"
    words = ["export", "--format", "png", "--split", "train", "--clutter-level", "4"]
    words += ["--drawings", str(tmp_path / "drawings.npz"), "--out"]
    export = subprocess.Popen(
        [sys.executable, "-m", "oneshot", *words, str(out)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while not list(out.parent.glob("*.partial/image/*.png")):
        assert export.poll() is None
        time.sleep(0.05)
    export.send_signal(signal.SIGKILL)
    export.wait()
    assert not out.exists()
    assert len(list(out.parent.iterdir())) == 1
    main([*words, str(out.parent / "y"), "--scenes", "2"])
    assert [path.name for path in out.parent.iterdir()] == ["y"]


@pytest.mark.parametrize(
    ("format_name", "module", "package"),
    [("coco", "pycocotools.mask", "pycocotools"), ("parquet", "pyarrow.parquet", "pyarrow")],
)
def test_a_missing_package_is_named_with_its_extra(
    synthetic_drawings, tmp_path, monkeypatch, format_name, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    with refusing(MissingPackageError, rf"{package} is not installed: .* its extra export"):
        export_scenes(tmp_path / "x", format_name, "val-train", 3, 2, synthetic_drawings)
    assert list(tmp_path.iterdir()) == []


BAD = {
    "no split": ("--format coco --clutter-level 4", "--format coco needs --split"),
    "no level": ("--format npy --split train", "--format npy needs --clutter-level"),
    "a network": ("--format npy --split train --clutter-level 4 --network x", "does not take --network"),
    "no network": ("--format onnx", "--format onnx needs --network"),
    "scenes of a network": ("--format onnx --network x --scenes 3", "--format onnx does not take --scenes"),
    "an unknown network": ("--format onnx --network x", "no network x is released; there are: colour_"),
    "level 0": ("--format npy --split train --clutter-level 0", "clutter_level is 0"),
    "level 10**9": ("--format npy --split train --clutter-level 1000000000", "1000000000 characters is too"),
    "no scenes": ("--format npy --split train --clutter-level 4 --scenes 0", "train has 2,000,000 scenes"),
    "too many": ("--format npy --split val-train --clutter-level 4 --scenes 10001", "val-train has 10,000"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_words_end_in_one_sentence_and_write_nothing(synthetic_drawings, tmp_path, case):
    words, message = BAD[case]
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    out = ["--out", str(tmp_path / "x"), "--drawings", str(tmp_path / "drawings.npz")]
    with pytest.raises(SystemExit) as caught:
        main(["export", *words.split(), *out])
    sentence = str(caught.value.code)
    assert sentence.startswith("error: ")
    assert message in sentence
    assert "\n" not in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["drawings.npz"]


def test_an_unknown_format_or_split_is_named_in_one_sentence(synthetic_drawings, tmp_path):
    with refusing(ParameterError, "there is no format 'xml'; there are npy, coco, parquet, png"):
        export_scenes(tmp_path / "x", "xml", "train", 4, 2, synthetic_drawings)
    with refusing(ParameterError, "there is no split 'all'"):
        export_scenes(tmp_path / "x", "npy", "all", 4, 2, synthetic_drawings)


def test_an_export_says_what_it_holds(synthetic_drawings, tmp_path):
    export_scenes(tmp_path / "x", "png", "val-train", 3, 2, synthetic_drawings)
    assert json.loads((tmp_path / "x" / "export.json").read_text()) == {
        "format": "png",
        "split": "val-train",
        "clutter_level": 3,
        "n_scenes": 2,
        "drawings_sha256": synthetic_drawings.sha256(),
    }
