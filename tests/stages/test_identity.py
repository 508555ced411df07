"""Whole files that are not the right ones: stages compare what they read with its manifest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oneshot.clutter.parts import read_part, write_part
from oneshot.errors import OneshotError
from oneshot.manifests import seal, write_sealed
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import load_params
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import NetworkInfo, save_network
from stages import render, train
from stages.evaluate import read_trained
from stages.images import read_protocols
from stages.places import about_of, weights_of
from stages.rendered import read_rendered, read_sets_manifest
from tests.conftest import ROOT, refusing
from tests.stages.conftest import prepare_drawings, unet
from tests.stages.test_evaluate import keep_scene_network

TINY = SimpleNamespace(scale_name="tiny", networks_of=lambda task: {"siamese_unet-4": None})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_drawings: Drawings) -> Path:
    """A folder with two parts of three scenes of every set, as the stage render leaves them."""
    monkeypatch.chdir(tmp_path)
    prepare_drawings(tmp_path, few_drawings)
    scale = SimpleNamespace(render=SimpleNamespace(n_jobs=2, job_scenes=3))
    params = SimpleNamespace(
        scale=scale, scale_name="tiny", render=SimpleNamespace(n_workers=1, backend="threads", address=None)
    )
    monkeypatch.setattr(render, "load_params", lambda: params)
    monkeypatch.setattr(render, "CLUTTER_LEVELS", (4, 8))
    render.main()
    return tmp_path


def part(split: str, job: int, level: int = 4) -> Path:
    return Path(f"data/scenes/{level}/{split}/part-{job}.zarr.zip")


def copy_over(source: Path) -> None:
    shutil.copyfile(source, part("test-train", 0))


def change_scenes() -> None:
    """Put the scenes of a part in another order, under the same description."""
    scenes, attributes = read_part(part("test-train", 0))
    write_part(part("test-train", 0), scenes[::-1], attributes)


def change_by_hand(name: str, word: str) -> None:
    """Put other words into a manifest, as an editor would."""
    path = Path(f"data/manifests/{name}.json")
    path.write_text(path.read_text().replace("own checksums", word))


def change_manifest(edit: Callable[[Any], Any]) -> None:
    path = Path("data/manifests/scenes-4.json")
    values = json.loads(path.read_text())
    edit(values)
    write_sealed(path, values)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda: copy_over(part("test-train", 1)), "another seed"),
        (lambda: copy_over(part("val-train", 0)), "another seed"),
        (lambda: copy_over(part("test-one-shot", 0)), "another recipe"),
        (lambda: copy_over(part("test-train", 0, level=8)), "another recipe"),
        (change_scenes, "is not the file whose SHA-256"),
        (lambda: part("test-train", 1).unlink(), "is missing"),
        (
            lambda: change_manifest(lambda values: values["sets"]["test-train"]["parts"][0].update(seed=1)),
            "seed",
        ),
        (
            lambda: change_manifest(lambda values: values["sets"]["test-train"]["parts"].pop()),
            "holds 3 scenes",
        ),
        (lambda: change_manifest(lambda values: values.update(clutter_level=8)), "of other sets"),
        (lambda: change_manifest(lambda values: values["sets"].pop("val-train")), "of other sets"),
        (
            lambda: change_manifest(lambda values: values.update(scale="paper")),
            "scale paper, not of tiny",
        ),
        (lambda: change_manifest(lambda values: values.update(drawings_sha256="0")), "is of other drawings"),
        (lambda: change_by_hand("scenes-4", "published checksums"), "was changed after it was written"),
    ],
)
def test_a_part_is_the_one_that_its_manifest_lists(
    tamper: Callable[[], Any], message: str, project: Path
) -> None:
    assert len(read_rendered(read_sets_manifest(4, "tiny"), 4, "test-train", 6)) == 6
    tamper()
    with refusing(OneshotError, message):
        read_rendered(read_sets_manifest(4, "tiny"), 4, "test-train", 6)


def change_about(**changes: Any) -> None:
    path = about_of("segmentation", "siamese_unet-4")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def keep_another_networks() -> None:
    """Put the weights of another network under the right name."""
    net = SiameseUNet(2).initialise(np.random.default_rng(1))
    info = NetworkInfo("segmentation", "siamese_unet", {"feature_maps": 2})
    save_network(weights_of("segmentation", "siamese_unet-4"), net, info)


def keep_another_folder(name: str) -> None:
    keep_scene_network(name, unet())
    shutil.copytree(f"models/segmentation/{name}", "models/segmentation/siamese_unet-4", dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (keep_another_networks, r"weights\.safetensors is not the file whose SHA-256 .*about\.json names"),
        (lambda: weights_of("segmentation", "siamese_unet-4").unlink(), r"weights\.safetensors is missing"),
        (lambda: change_about(settings={"feature_maps": 24}), "was changed after it was written"),
        (lambda: change_about(n_seen=5), "was changed after it was written"),
        (lambda: change_about(trained=False), "was changed after it was written"),
        (lambda: change_about(trainings=[]), "was changed after it was written"),
        (lambda: change_about(**seal(change_of("scale", "paper"))), "at scale paper, not of"),
        (lambda: keep_another_folder("siamese_unet-8"), "is of segmentation/siamese_unet-8"),
    ],
)
def test_a_network_is_the_one_that_was_trained(
    tamper: Callable[[], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep_scene_network("siamese_unet-4", unet())
    assert read_trained(TINY, "segmentation")  # type: ignore[arg-type]
    tamper()
    with refusing(OneshotError, message):
        read_trained(TINY, "segmentation")  # type: ignore[arg-type]


def change_of(key: str, value: Any) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(about_of("segmentation", "siamese_unet-4").read_text())
    return about | {key: value}


def test_a_training_starts_from_the_right_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_drawings: Drawings
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    params = load_params(overrides=["scale=smoke"])
    weights = weights_of("segmentation", "siamese_unet-joint")
    save_network(weights, unet(), NetworkInfo("segmentation", "siamese_unet", {"feature_maps": 2}))
    about = {"task": "segmentation", "name": "siamese_unet-joint", "scale": "smoke", "trained": True}
    write_sealed(weights.with_name("about.json"), about | {"weights_sha256": "0"})
    with refusing(OneshotError, r"weights\.safetensors is not the file whose SHA-256"):
        train.prepare(params, "segmentation", "masknet-joint")


def test_other_drawings_than_the_manifests_are_refused(classes: Path, few_drawings: Drawings) -> None:
    params = load_params()
    read_protocols(params)
    save_drawings(Path("data/drawings/drawings.npz"), few_drawings)
    for read in (lambda: read_protocols(params), render.check_drawings):
        with refusing(OneshotError, r"drawings\.npz is not the file whose SHA-256"):
            read()
