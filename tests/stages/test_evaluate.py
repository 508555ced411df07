"""The stage that evaluates networks trained here and baselines, in a small checkout."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.classify.nets.koch import Koch
from oneshot.clutter.scenes import Scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import Evaluate
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.run import TEST_SPLITS
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import evaluate, segment
from oneshot.segment.metrics import iou_of_all_ink
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import NetworkInfo, save_network
from stages import evaluate as stage
from stages import prepare_classes
from tests.conftest import ROOT
from tests.fake_scenes import fake_scenes
from tests.tiny_masknet import make_masknet

N_RENDERED, N_EVALUATED = 30, 12
SETS = {name: fake_scenes(N_RENDERED, 4, seed) for seed, name in enumerate(TEST_SPLITS)}


class Tiny(Koch):
    """Koch's network with next to no channels."""

    def __init__(self, channels: tuple[int, ...] = (2, 2, 2, 4), n_code: int = 8) -> None:
        super().__init__(channels, n_code)


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder whose rendered sets are the same at every level."""
    monkeypatch.chdir(tmp_path)
    for level in CLUTTER_LEVELS:
        path = Path(f"data/manifests/scenes-{level}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"n_scenes": N_RENDERED, "checked_against": "published checksums"}
        path.write_text(json.dumps({"sets": dict.fromkeys(TEST_SPLITS, entry)}))

    def read_set(folder: Path, clutter_level: int, split: str, n_scenes: int) -> Scenes:
        assert folder == Path("data/scenes")
        assert n_scenes <= N_RENDERED
        return SETS[split][:n_scenes]

    monkeypatch.setattr("oneshot.clutter.parts.read_set", read_set)
    return tmp_path


def keep_network(
    task: str, name: str, net: nn.Module | None, settings: Mapping[str, Any], **about: Any
) -> None:
    """Leave a network behind as the stage train does; None: not trained at this scale."""
    folder = Path("models") / task / name
    folder.mkdir(parents=True)
    info: dict[str, Any] = {"trained": net is not None}
    if net is not None:
        save_network(
            folder / "weights.safetensors", net, NetworkInfo(task, about["net"], about.pop("arguments"))
        )
        info |= {"recipe": "fast", "n_parameters": 9, "seed": 5, "n_seen": 800, "n_seen_before": 0}
        info |= {"settings": settings} | about
    (folder / "about.json").write_text(json.dumps(info))


def keep_scene_network(name: str, net: nn.Module | None) -> None:
    phases = [{"clutter_levels": [4], "n_scenes": 80}, {"clutter_levels": [8, 4], "n_scenes": 80}]
    keep_network("segmentation", name, net, {"feature_maps": 2}, net=name.partition("-")[0],
                 arguments={"feature_maps": 2}, trainings=[{"settings": {"phases": phases}}])  # fmt: skip


def unet() -> SiameseUNet:
    return SiameseUNet(2).initialise(torch.Generator().manual_seed(0))


def evaluate_scenes(*names: str, **sizes: int) -> dict[str, Any]:
    size = {"n_scenes": N_EVALUATED, "batch_size": 5, "n_masknet_scenes": 2} | sizes
    params = SimpleNamespace(
        scale_name="tiny", scale=SimpleNamespace(evaluate=Evaluate(**size)), device="cpu",
        networks_of=lambda task: dict.fromkeys(names),
    )  # fmt: skip
    stage.evaluate_segmentation(params)  # type: ignore[arg-type]
    found: dict[str, Any] = json.loads(Path("metrics/segmentation.json").read_text())
    return found


def test_a_network_is_evaluated_at_the_levels_in_its_name_with_masks_for_the_pictures(scenes: Path) -> None:
    keep_scene_network("siamese_unet-8", unet())
    keep_scene_network("siamese_unet-joint", unet())
    keep_scene_network("masknet-joint", None)
    found = evaluate_scenes("siamese_unet-8", "siamese_unet-joint", "masknet-joint")
    assert found["scale"] == "tiny"
    assert list(found["networks"]) == ["siamese_unet-8", "siamese_unet-joint"]
    about = found["networks"]["siamese_unet-8"]
    assert (about["net"], about["feature_maps"], about["trained_on"]) == ("siamese_unet", 2, "4, 8")
    assert {key.partition("/")[0] for key in about["figures"]} == {"8"}
    joint = found["networks"]["siamese_unet-joint"]["figures"]
    assert {int(key.partition("/")[0]) for key in joint} == set(CLUTTER_LEVELS)
    statistics = pixel_statistics(SETS["test-train"])
    with np.load("predictions/segmentation.npz") as arrays:
        for split, whole in SETS.items():
            result = evaluate(unet(), whole[:N_EVALUATED], statistics)
            figure = joint[f"32/answer/{split}/iou"]
            assert figure["value"] == pytest.approx(float(result.iou.mean(dtype=np.float64)), abs=1e-7)
            assert figure["low"] < figure["value"] < figure["high"]
            assert figure["n"] == N_EVALUATED
            assert joint[f"32/answer/{split}/localisation"]["value"] == result.hits.mean()
            place = f"siamese_unet-joint/32/answer/{split}"
            np.testing.assert_allclose(arrays[f"{place}/iou"], result.iou, atol=1e-6)
            masks = segment(unet(), whole[: stage.SHOWN_SCENES], statistics)
            assert np.array_equal(arrays[f"{place}/masks"], masks)


def test_marking_every_character_needs_no_network_and_is_split_by_same_class(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = np.arange(N_EVALUATED) % 3 == 0
    monkeypatch.setattr("oneshot.segment.metrics.has_same_class_distractor", lambda scenes: flags)
    found = evaluate_scenes()
    assert found["networks"] == {}
    figures = found["all_ink"]["figures"]
    iou = iou_of_all_ink(SETS["test-one-shot"][:N_EVALUATED])
    assert figures["256/test-one-shot/iou"]["value"] == iou.mean()
    assert figures["256/test-one-shot/iou/with_same_class"]["value"] == pytest.approx(iou[flags].mean())
    assert figures["256/test-one-shot/iou/without_same_class"]["n"] == 8
    assert not any("localisation" in key for key in figures)


def test_a_masknet_has_its_answers_on_fewer_scenes(scenes: Path) -> None:
    keep_scene_network("masknet-4", make_masknet())
    figures = evaluate_scenes("masknet-4")["networks"]["masknet-4"]["figures"]
    answers = {key.split("/")[1] for key in figures}
    assert answers == {
        "answer", "top_1", "top_4", "top_16", "location_given", "candidates_given", "choice_given",
    }  # fmt: skip
    assert {figures[f"4/{answer}/test-train/iou"]["n"] for answer in answers} == {2}


@pytest.mark.parametrize("n_scenes", [3, N_RENDERED])
def test_few_scenes_are_normalised_like_many(scenes: Path, n_scenes: int) -> None:
    size = Evaluate(n_scenes=n_scenes, batch_size=5, n_masknet_scenes=2)
    sets, statistics = stage.read_test_sets(4, size)
    assert statistics == pixel_statistics(SETS["test-train"])
    assert {len(found) for found in sets.values()} == {n_scenes}


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> Path:
    """Drawings of synthetic alphabets as the stage prepare leaves them, and a few small trials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"scale": "smoke"}
    values["other_images"] |= {"n_way": 3, "n_episodes": 8, "n_verification_pairs": 30}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    save_drawings(tmp_path / "data/drawings/drawings.npz", synthetic_drawings)
    prepare_classes.main()
    return tmp_path


def keep_classifiers(names: Callable[[str], str | None]) -> None:
    """Leave all networks of params.yaml behind; names: of the network in the registry, or not trained."""
    for name in yaml.safe_load(Path("params.yaml").read_text())["classification"]["networks"]:
        registered = names(name)
        net = None if registered is None else CLASSIFIERS[registered]()
        if net is not None:
            net.initialise(torch.Generator().manual_seed(0))
        keep_network("classification", name, net, {"base": registered}, net=registered, arguments={},
                     recipe=name)  # fmt: skip


def test_classifiers_and_baselines_have_figures_on_every_benchmark(classes: Path) -> None:
    keep_classifiers({"own": "tiny", "background": "tiny", "protonet": "protonet"}.get)
    stage.main("classification")
    found = json.loads(Path("metrics/classification.json").read_text())
    manifest = json.loads(Path("data/manifests/classes.json").read_text())
    assert (found["scale"], found["source"], found["not_computed"]) == ("smoke", "synthetic", {})
    assert found["protocols"] == manifest["protocols"]
    assert list(found["networks"]) == ["background", "own", "protonet"]
    rising = {"rising-ways/2", "rising-ways-training/18"}
    benchmarks = {"within-alphabet", "mixed-3-way-1-shot"}
    for name, about in found["networks"].items():
        figures = about["figures"]
        assert benchmarks | rising | {"validation"} <= set(figures)
        assert ("verification" in figures) == (name != "protonet")
        assert ("background-verification/test" in figures) == (name == "background")
        assert figures["validation"]["n"] == 24
        assert about["base"] == (None if name == "protonet" else "tiny") or name == "protonet"
    baselines = {name: set(one["figures"]) for name, one in found["baselines"].items()}
    assert set(baselines) == {
        "cosine", "cosine_centred", "euclidean", "euclidean_centred", "hausdorff", "guess",
    }  # fmt: skip
    assert baselines["hausdorff"] == {"within-alphabet"}
    assert baselines["cosine"] == benchmarks
    assert baselines["euclidean"] > benchmarks | rising
    first = Path("metrics/classification.json").read_bytes()
    stage.main("classification")
    assert Path("metrics/classification.json").read_bytes() == first
