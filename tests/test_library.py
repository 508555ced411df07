"""Published scenes and released networks in one call each."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot import library
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.weights import save_scorer
from oneshot.library import list_classifiers, load_classifier, load_network, load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.weights import WeightsInfo, save_weights
from oneshot.training.tensors import WeightsError


def test_scenes_do_not_depend_on_how_many_threads_draw_them(synthetic_drawings: Drawings) -> None:
    alone = load_scenes("test-one-shot", 3, 4100, synthetic_drawings)
    together = load_scenes("test-one-shot", 3, 4100, synthetic_drawings, n_threads=3)
    for field in fields(alone):
        assert np.array_equal(getattr(alone, field.name), getattr(together, field.name))


@pytest.mark.parametrize("n_scenes", [7, 2003])
def test_the_first_scenes_are_those_of_the_whole_set(synthetic_drawings: Drawings, n_scenes: int) -> None:
    some, more = (load_scenes("test-train", 4, n, synthetic_drawings) for n in (n_scenes, 4000))
    for field in fields(some):
        assert np.array_equal(getattr(some, field.name), getattr(more, field.name)[:n_scenes])


def test_a_released_network_is_loaded_by_recipe_and_clutter_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "RELEASED_WEIGHTS", tmp_path)
    net = SiameseUNet(2).initialise(torch.Generator().manual_seed(0))
    info = WeightsInfo("siamese_unet", 2, "fast", PixelStatistics(4.5, 27.5), 9600)
    save_weights(tmp_path / "siamese_unet/fast/32.safetensors", net, info)
    loaded, about = load_network("fast", 32)
    assert about == info
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)


def test_the_joint_network_is_loaded_by_its_name_and_another_net_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "RELEASED_WEIGHTS", tmp_path)
    net = SiameseUNet(2).initialise(torch.Generator().manual_seed(0))
    for n_scenes, place in enumerate(("siamese_unet/fast/joint", "masknet/published/joint")):
        info = WeightsInfo("siamese_unet", 2, "fast", PixelStatistics(4.5, 27.5), n_scenes)
        save_weights(tmp_path / f"{place}.safetensors", net, info)
    assert load_network("fast", "joint")[1].n_scenes_seen == 0
    assert load_network("published", "joint", "masknet")[1].n_scenes_seen == 1


def test_a_network_that_is_not_released_is_refused_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "RELEASED_WEIGHTS", tmp_path)
    refusal = (
        r"no network siamese_unet/fast/32 \(net, recipe, clutter level or joint\) is released: weights/ has"
    )
    with pytest.raises(WeightsError, match=f"^{refusal} none yet.$"):
        load_network()
    for name in (
        "siamese_unet/fast/joint", "siamese_unet/fast/16", "siamese_unet/fast/4",
        "siamese_unet/fast/32-seed-7", "siamese_unet/published/32", "masknet/fast/joint-seed-7",
        "masknet/fast/32",
    ):  # fmt: skip
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    there = (
        "masknet/fast/32", "siamese_unet/fast/4", "siamese_unet/fast/16", "siamese_unet/fast/joint",
        "siamese_unet/published/32",
    )  # fmt: skip
    with pytest.raises(WeightsError, match=f"^{refusal} {', '.join(there)}.$"):
        load_network()
    with pytest.raises(WeightsError, match="no network masknet/fast/joint "):
        load_network("fast", "joint", net="masknet")


def test_a_released_classifier_is_loaded_by_its_name_ready_to_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings
) -> None:
    monkeypatch.setattr(library, "RELEASED_WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match="no network own is released for classification"):
        load_classifier()
    net = ProtoNet(4).initialise(torch.Generator().manual_seed(0)).eval()
    save_scorer(tmp_path / "classification/protonet.safetensors", net, {"n_seen": 7})
    assert list_classifiers() == ["protonet"]
    scorer, info = load_classifier("protonet")
    assert info.training == {"n_seen": 7}
    images = synthetic_drawings.unpack()[0, :3]
    with torch.no_grad():
        torch.testing.assert_close(scorer.encode(images), net(torch.from_numpy(images).float()))
