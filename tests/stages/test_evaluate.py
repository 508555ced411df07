"""The stage that evaluates networks trained here and baselines, in a small checkout."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from torch import nn

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.manifests import write_sealed
from oneshot.params import Evaluate
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.metrics import has_same_class_distractor, iou_of_all_ink
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.training.tensors import NetworkInfo, file_sha256, save_network
from stages import evaluate as stage
from tests.stages.conftest import N_COVERED, N_RENDERED, SETS, covered_scenes, unet
from tests.tiny_masknet import make_masknet

N_EVALUATED = 12


def keep_network(task: str, name: str, info: NetworkInfo, net: nn.Module | None, **about: Any) -> None:
    """Leave a network behind as the stage train does; None: not trained at this scale."""
    folder = Path("models") / task / name
    folder.mkdir(parents=True)
    scale = "smoke" if task == "classification" else "tiny"
    known: dict[str, Any] = {"task": task, "name": name, "scale": scale, "trained": net is not None}
    if net is not None:
        save_network(folder / "weights.safetensors", net, info)
        known["weights_sha256"] = file_sha256(folder / "weights.safetensors")
        known |= {"net": info.net, "recipe": "fast", "n_parameters": 9, "seed": 5, "n_seen": 800}
        known |= {"n_seen_before": 0} | about
    write_sealed(folder / "about.json", known)


def keep_scene_network(name: str, net: nn.Module | None) -> None:
    settings = {"feature_maps": 2}
    phases = [{"clutter_levels": [4], "n_scenes": 80}, {"clutter_levels": [8, 4], "n_scenes": 80}]
    info = NetworkInfo("segmentation", name.partition("-")[0], settings)
    trainings = [{"settings": {"phases": phases}}]
    keep_network("segmentation", name, info, net, settings=settings, trainings=trainings)


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
            result = evaluate_answers(unet(), whole[:N_EVALUATED], statistics)["answer"]
            figure = joint[f"32/answer/{split}/iou"]
            assert figure["value"] == pytest.approx(float(result.iou.mean(dtype=np.float64)), abs=1e-7)
            assert figure["low"] < figure["value"] < figure["high"]
            assert figure["n"] == N_EVALUATED
            assert joint[f"32/answer/{split}/localisation"]["value"] == result.hits.mean()
            place = f"siamese_unet-joint/32/answer/{split}"
            np.testing.assert_allclose(arrays[f"{place}/iou"], result.iou, atol=1e-6)
            masks = segment(unet(), whole[: stage.SHOWN_SCENES], statistics)
            assert np.array_equal(arrays[f"{place}/masks"], masks)


@pytest.mark.parametrize("n_scenes", [2, N_EVALUATED])
def test_a_colour_matcher_leaves_the_groups_of_a_scene_for_the_pictures(scenes: Path, n_scenes: int) -> None:
    net = ColourMatcher(2).initialise(np.random.default_rng(0))
    keep_scene_network("colour_matcher-4", net)
    metrics = evaluate_scenes("colour_matcher-4", n_scenes=n_scenes)
    found = metrics["networks"]["colour_matcher-4"]["figures"]
    assert {"4/answer/test-train/iou", "4/largest_colour/test-train/iou"} <= found.keys()
    of_covered = {key.split("/")[1] for key in found if "/covered-" in key}
    assert of_covered == {"answer"}
    with np.load("predictions/segmentation.npz") as arrays:
        place = "colour_matcher-4/4/groups/test-one-shot"
        crops, scores, is_target = (arrays[f"{place}/{name}"] for name in ("crops", "scores", "is_target"))
        np.testing.assert_array_equal(arrays[f"{place}/scene"], SETS["test-one-shot"].images()[1])
        np.testing.assert_array_equal(arrays[f"{place}/target"], SETS["test-one-shot"].targets()[1])
    assert 2 <= len(crops) == len(scores) == len(is_target) <= stage.SHOWN_GROUPS
    assert is_target.sum() == 1
    assert crops.shape[1:] == (2, 28, 28)


def test_marking_every_character_needs_no_network_and_is_split_by_same_class(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = np.arange(N_EVALUATED) % 3 == 0
    monkeypatch.setattr(
        "oneshot.segment.metrics.has_same_class_distractor", lambda scenes: flags[: len(scenes)]
    )
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
        "answer", "snapped", "top_1", "top_4", "top_16", "location_given", "candidates_given", "choice_given",
    }  # fmt: skip
    assert {figures[f"4/{answer}/test-train/iou"]["n"] for answer in answers} == {2}


@pytest.mark.parametrize("n_scenes", [3, N_RENDERED])
def test_few_scenes_are_normalised_like_many(scenes: Path, n_scenes: int) -> None:
    size = Evaluate(n_scenes=n_scenes, batch_size=5, n_masknet_scenes=2)
    sets, statistics = stage.read_test_sets(4, size, "tiny")
    assert statistics == pixel_statistics(SETS["test-train"])
    assert {len(sets[split]) for split in SETS} == {n_scenes}


@pytest.mark.parametrize("n_scenes", [2, 27, N_RENDERED])
def test_targets_that_are_covered_are_judged_by_their_visible_pixels(scenes: Path, n_scenes: int) -> None:
    size = Evaluate(n_scenes=n_scenes, batch_size=5, n_masknet_scenes=2)
    sets, _ = stage.read_test_sets(64, size, "tiny")
    n_covered = max(n_scenes * N_COVERED // N_RENDERED, stage.SHOWN_SCENES)
    for split in COVERED_SPLITS:
        whole = covered_scenes(64, split)[:n_covered]
        visible = whole.masks & (whole.labels == 32)
        shown = visible.any((1, 2))
        assert 0 < shown.sum() <= n_covered
        assert visible.sum() < whole.masks.sum()
        assert np.array_equal(sets[split].masks, visible[shown])
        same = whole.characters == whole.target_characters[:, None]
        same[:, 31] = False  # the target itself
        assert np.array_equal(has_same_class_distractor(sets[split]), same.any(1)[shown])


def test_a_network_has_figures_of_covered_targets_of_the_scenes_that_show_theirs(scenes: Path) -> None:
    keep_scene_network("siamese_unet-32", unet())
    found = evaluate_scenes("siamese_unet-32")
    for split in COVERED_SPLITS:
        whole = covered_scenes(32, split)[: stage.SHOWN_SCENES]
        n_shown = int((whole.masks & (whole.labels == 16)).any((1, 2)).sum())
        assert found["networks"]["siamese_unet-32"]["figures"][f"32/answer/{split}/iou"]["n"] == n_shown
        assert found["all_ink"]["figures"][f"32/{split}/iou"]["n"] == n_shown


def keep_classifiers(names: Callable[[str], str | None]) -> None:
    """Leave all networks of params.yaml behind; names: of the network in the registry, or not trained."""
    for name in yaml.safe_load(Path("params.yaml").read_text())["classification"]["networks"]:
        registered = names(name)
        net = None if registered is None else CLASSIFIERS[registered]()
        if net is not None:
            net.initialise(np.random.default_rng(0))
        info = NetworkInfo("classification", registered or "")
        keep_network("classification", name, info, net, recipe=name, settings={"base": registered})


def test_classifiers_and_baselines_have_figures_on_every_benchmark(classes: Path) -> None:
    keep_classifiers(
        {"own": "tiny", "background": "tiny", "contrastive_40": "cosine_net", "protonet": "protonet"}.get
    )
    stage.main("classification")
    found = json.loads(Path("metrics/classification.json").read_text())
    manifest = json.loads(Path("data/manifests/classes.json").read_text())
    assert (found["scale"], found["source"], found["not_computed"]) == ("smoke", "synthetic", {})
    assert found["protocols"] == manifest["protocols"]
    assert list(found["networks"]) == ["background", "contrastive_40", "own", "protonet"]
    rising = {"rising-ways/2", "rising-ways-training/18"}
    benchmarks = {"within-alphabet", "mixed-3-way-1-shot"}
    for name, about in found["networks"].items():
        figures = about["figures"]
        assert benchmarks | rising <= set(figures)
        assert ("verification" in figures) == (name in ("own", "background"))
        assert ("background-verification/test" in figures) == (name == "background")
        assert ("validation" in figures) == (name != "contrastive_40")
    assert found["networks"]["own"]["figures"]["validation"]["n"] == 24
    baselines = {name: set(one["figures"]) for name, one in found["baselines"].items()}
    assert set(baselines) == {
        "cosine", "cosine_centred", "euclidean", "euclidean_centred", "hausdorff", "guess",
    }  # fmt: skip
    assert baselines["hausdorff"] == {"within-alphabet"}
    assert baselines["cosine"] == benchmarks
    assert baselines["euclidean"] > benchmarks | rising
    written = [Path("metrics/classification.json"), Path("predictions/classification.npz")]
    first = [path.read_bytes() for path in written]
    stage.main("classification")
    assert [path.read_bytes() for path in written] == first
    with np.load(written[1]) as mistakes:
        assert set(mistakes) == {f"{name}/mistakes" for name in found["networks"]}
        for images in mistakes.values():
            assert 0 < len(images) <= stage.SHOWN_MISTAKES
            assert images.shape[1:] == (3, 105, 105)
            assert images.max() == 1
