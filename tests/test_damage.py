"""Every kind of file that is read, damaged in every way: one sentence names it, and there is no traceback."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oneshot import published
from oneshot.clutter.parts import read_part, write_part
from oneshot.errors import OneshotError
from oneshot.files import read_json, save_arrays, write_json
from oneshot.manifests import read_about, seal
from oneshot.omniglot.drawings import Drawings, load_drawings
from oneshot.omniglot.own_images import OwnImages, load_own_images, save_own_images
from oneshot.records.results import load_scores, save_scores
from oneshot.records.run import RUN, SCORES, load_run, save_run
from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.progress import Progress, read_progress, save_checkpoint
from oneshot.training.tensors import NetworkInfo, load_network, save_network
from stages import rendered, source, tables
from stages.record.run import Conditions
from tests.archives import cut_off
from tests.conftest import refusing
from tests.fake_runs import fake_run, fake_scores
from tests.fake_scenes import fake_scenes
from tests.report.fakes import classification, rechecked_scenes, segmentation
from tests.stages.conftest import prepare_drawings, write_manifests

Made = tuple[Path, Callable[[], Any]]  # a file, and what reads it
CLASSES = {"source": "omniglot", "sha256": "0", "file_sha256": "0", "protocols": {}}
CONDITIONS = {"code": "0", "torch": "2", "device": "a GPU", "processes": 1, "speed": "plain"}


def make_net() -> SiameseUNet:
    return SiameseUNet(2).initialise(np.random.default_rng(0))


def make_facts(monkeypatch: pytest.MonkeyPatch) -> Made:
    shutil.copytree(published.FOLDER, "facts")
    monkeypatch.setattr(published, "FOLDER", Path("facts"))
    return Path("facts/koch.json"), partial(published.read_facts.__wrapped__, "koch")


def make_json(place: str, value: Any, read: Callable[[], Any]) -> Made:
    write_json(Path(place), value)
    return Path(place), read


def make_sealed(place: str, value: Any, read: Callable[[], Any]) -> Made:
    return make_json(place, seal(value), read)


def make_scenes_manifest() -> Made:
    write_manifests("own checksums")
    return Path("data/manifests/scenes-4.json"), partial(rendered.read_sets_manifest, 4, "tiny")


def make_about() -> Made:
    path = Path("models/segmentation/a/about.json")
    about = {"task": "segmentation", "name": "a", "scale": "smoke", "trained": False}
    return make_sealed(str(path), about, partial(read_about, path, "segmentation", "a", "smoke"))


def make_run() -> Made:
    save_run(Path("record"), fake_run())
    return Path("record") / RUN, partial(load_run, Path("record"))


def make_drawings(drawings: Drawings) -> Made:
    prepare_drawings(Path(), drawings)
    return Path("data/drawings/drawings.npz"), lambda: load_drawings(source.check_drawings())


def make_own_images() -> Made:
    path = Path("images.npz")
    words = np.array(["a"])
    bits, classes, copies = np.zeros((9, 105, 14), np.uint8), np.zeros(9, np.int32), np.zeros(9, bool)
    save_own_images(path, OwnImages(bits, classes, copies, words, words, words))
    return path, partial(load_own_images, path)


def make_predictions() -> Made:
    save_arrays(Path("predictions/segmentation.npz"), a=np.zeros(300))
    return Path("predictions/segmentation.npz"), partial(tables.read_predictions, "segmentation", ["a"])


def make_part() -> Made:
    write_part(Path("part-0.zarr.zip"), fake_scenes(3, 4, seed=1), {"seed": 1})
    return Path("part-0.zarr.zip"), partial(read_part, Path("part-0.zarr.zip"))


def make_scores() -> Made:
    save_scores(Path(SCORES), fake_scores((4,), 0.5))
    return Path(SCORES), partial(load_scores, Path(SCORES))


def make_weights() -> Made:
    path = Path("weights.safetensors")
    save_network(path, make_net(), NetworkInfo("segmentation", "siamese_unet", {"feature_maps": 2}))
    return path, partial(load_network, path, NETS)


def make_checkpoint() -> Made:
    net, path = make_net(), Path("checkpoint.safetensors")
    save_checkpoint(path, net, [torch.optim.Adam(net.parameters())], Progress({"seed": 1}, 5), [], {})
    return path, partial(read_progress, path)


def make_metrics(name: str, value: Any, form: Any) -> Made:
    return make_sealed(
        f"metrics/{name}.json", value, partial(tables.read_metrics, name, form, value["scale"])
    )


JSON_FILES: dict[str, Callable[[], Made]] = {
    "a manifest of classes": lambda: make_sealed(
        "data/manifests/classes.json", CLASSES, source.read_classes_manifest
    ),
    "a manifest of drawings": lambda: make_sealed(
        "data/manifests/drawings.json", CLASSES, source.read_drawings_manifest
    ),
    "a manifest of scenes": make_scenes_manifest,
    "about.json": make_about,
    "metrics of segmentation": lambda: make_metrics(
        "segmentation", segmentation(), tables.SegmentationMetrics
    ),
    "metrics of classification": lambda: make_metrics(
        "classification", classification(), tables.ClassificationMetrics
    ),
    "metrics of a recheck": lambda: make_metrics(
        "rechecked-segmentation", rechecked_scenes(), tables.RecheckedMetrics
    ),
    "a record": make_run,
    "conditions": lambda: make_json(
        "conditions.json", CONDITIONS, lambda: read_json(Path("conditions.json"), Conditions, "delete it")
    ),
}
BINARY_FILES: dict[str, Callable[[], Made]] = {
    "own images": make_own_images,
    "predictions": make_predictions,
    "a part": make_part,
    "scores": make_scores,
    "weights": make_weights,
    "a checkpoint": make_checkpoint,
}


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": cut_off,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\xfd"),
    "a byte appended": append,
    **{value: lambda path, value=value: path.write_text(value) for value in ("{}", "[]", "null", "1", '"a"')},
    "nested without end": lambda path: path.write_text("[" * 100_000),
    "another object": lambda path: path.write_text(json.dumps({"a": [1, {"sha256": None}]})),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", [*JSON_FILES, *BINARY_FILES, "facts", "drawings"])
def test_a_damaged_file_is_named_in_one_sentence(
    kind: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_drawings: Drawings
) -> None:
    monkeypatch.chdir(tmp_path)
    makers = JSON_FILES | BINARY_FILES
    makers |= {"facts": partial(make_facts, monkeypatch), "drawings": partial(make_drawings, few_drawings)}
    path, read = makers[kind]()
    read()
    DAMAGE[damage](path)
    with refusing(OneshotError) as caught:
        read()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_figure_that_was_changed_by_hand_is_no_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, read = make_facts(monkeypatch)
    text = path.read_text()
    assert "92.0" in text
    path.write_text(text.replace("92.0", "93.0"))
    with refusing(OneshotError, r"koch\.json is damaged, or a published fact was changed"):
        read()


def test_every_file_of_facts_has_its_sum() -> None:
    assert {path.stem for path in published.FOLDER.glob("*.json")} == published.FACTS_SHA256.keys()
    for name in published.FACTS_SHA256:
        assert published.read_facts(name)
