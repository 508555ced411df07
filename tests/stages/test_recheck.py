"""The stage that evaluates recorded networks again, in a small checkout."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scoring import NetworkScorer, describe_everything, find_pairs, score_everything
from oneshot.clutter.scenes import keep_visible, split_recipe
from oneshot.errors import ParameterError
from oneshot.manifests import seal
from oneshot.omniglot.drawings import Drawings
from oneshot.params import Recheck, load_params
from oneshot.published import COVERED_SPLITS, find_split
from oneshot.records.results import summarise_segmentation
from oneshot.records.run import WEIGHTS, RecordError, Run, save_index, save_run
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import evaluate_answers
from stages import images, recheck
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_runs import Tiny, fake_classification_run, fake_run, put_run
from tests.stages.conftest import N_RENDERED, SETS, covered_scenes, unet, write_manifests

N_EVALUATED = 12
PROTOCOLS = ("within-alphabet", "verification")

Scores = Mapping[str, np.ndarray]


def scene_scores(*levels: int, turned: bool = False) -> dict[str, np.ndarray]:
    """Score the network over all rendered scenes; turned: in another order, as of another network."""
    statistics = pixel_statistics(SETS["test-train"])
    scores: dict[str, np.ndarray] = {}
    for split, scenes in SETS.items():
        result = evaluate_answers(unet(), scenes, statistics)["answer"]
        for level in levels:
            place = f"{level}/answer/{split}"
            scores[f"{place}/iou"] = result.iou[::-1].copy() if turned else result.iou
            scores[f"{place}/hits"] = result.hits
            scores[f"{level}/{split}/same_class"] = np.arange(N_RENDERED) % 4 == 0
    return scores


def record_scenes(name: str, *levels: int, turned: bool = False, verdict: str = "yes") -> Run:
    scores = scene_scores(*levels, turned=turned)
    run = fake_run(name.removesuffix("-fast"), scores=scores)
    published = {f"{level}/{split}": verdict for level in levels for split in SETS}
    body = run.segmentation.model_dump() | {"levels": levels, "test_sets_as_published": published}
    run = Run.model_validate(run.model_dump() | {"body": body})
    return put_run(Path("recorded"), run, scores, unet(), {"feature_maps": 2})


def set_params(monkeypatch: pytest.MonkeyPatch, left_out: tuple[str, ...] = (), **changes: Any) -> None:
    size = Recheck(
        n_scenes=N_EVALUATED, batch_size=5, n_masknet_scenes=2, protocols=PROTOCOLS, left_out=left_out
    )
    scale = {"source": "omniglot", "recheck": size} | changes
    params = SimpleNamespace(scale_name="tiny", scale=SimpleNamespace(**scale), device="cpu",
                             omniglot=SimpleNamespace(source="data/drawings"))  # fmt: skip
    monkeypatch.setattr(recheck, "load_params", lambda: params)


def run_stage(task: str) -> dict[str, Any]:
    recheck.main(task)
    found: dict[str, Any] = json.loads(Path(f"metrics/rechecked-{task}.json").read_text())
    assert found["scale"] == "tiny"
    return dict(found["networks"])


def test_recorded_networks_agree_on_the_first_scenes(scenes, monkeypatch):
    set_params(monkeypatch)
    record_scenes("siamese_unet-4-fast", 4)
    record_scenes("siamese_unet-joint-fast", 8, 16)
    networks = run_stage("segmentation")
    assert list(networks) == ["siamese_unet-4-fast", "siamese_unet-joint-fast"]
    found = networks["siamese_unet-4-fast"]
    whole = scene_scores(4)
    for split in SETS:
        key = f"4/answer/{split}/iou"
        assert found["figures"][key]["value"] == pytest.approx(whole[key][:N_EVALUATED].mean())
        assert found["figures"][key]["n"] == found["agreement"][key]["n"] == N_EVALUATED
        assert found["agreement"][key]["agrees"]
        assert found["agreement"][key]["recorded"] == pytest.approx(whole[key][:N_EVALUATED].mean())
    assert set(found["agreement"]) == {f"4/answer/{split}/iou" for split in SETS}
    joint = networks["siamese_unet-joint-fast"]
    assert {key.partition("/")[0] for key in joint["figures"]} == {"8", "16"}
    with np.load("predictions/rechecked.npz") as arrays:
        assert arrays["siamese_unet-joint-fast/16/answer/test-train/masks"].shape == (8, 32, 32)
    written = [Path("metrics/rechecked-segmentation.json"), Path("predictions/rechecked.npz")]
    first = [path.read_bytes() for path in written]
    run_stage("segmentation")
    assert [path.read_bytes() for path in written] == first


def test_networks_that_are_left_out_are_not_loaded(scenes, monkeypatch, capsys):
    set_params(monkeypatch, left_out=("siamese_unet-4-fast",))
    record_scenes("siamese_unet-4-fast", 4)
    (weights,) = Path("recorded").glob("**/weights.safetensors")
    flip_bit(weights, weights.stat().st_size // 2)
    record_scenes("siamese_unet-8-fast", 8)
    assert list(run_stage("segmentation")) == ["siamese_unet-8-fast"]
    set_params(monkeypatch, left_out=("siamese_unet-4-fast", "siamese_unet-8-fast"))
    assert run_stage("segmentation") == {}
    assert "no run" not in capsys.readouterr().out


def test_a_network_that_is_left_out_must_be_recorded(scenes, monkeypatch):
    record_scenes("siamese_unet-4-fast", 4)
    set_params(monkeypatch, left_out=("siamese_unet-4-fast", "siamese_unet-8"))
    with pytest.raises(ParameterError, match="left_out names 'siamese_unet-8', of which there is no record"):
        run_stage("segmentation")
    left_out = load_params(ROOT / "params.yaml", ["scale=laptop"]).scale.recheck.left_out
    assert set(left_out) <= {path.name for path in (ROOT / "recorded").glob("*/*")}


def test_scores_on_covered_targets_are_compared_where_a_record_has_them(scenes, monkeypatch):
    set_params(monkeypatch)
    run = record_scenes("siamese_unet-4-fast", 4)
    found = run_stage("segmentation")["siamese_unet-4-fast"]
    keys = {f"4/answer/{split}/iou" for split in COVERED_SPLITS}
    assert keys <= found["figures"].keys()
    assert not keys & found["agreement"].keys()  # an older record
    scores, published = scene_scores(4), dict(run.segmentation.test_sets_as_published)
    for split in COVERED_SPLITS:
        seen = keep_visible(covered_scenes(4, split), split_recipe(find_split(split), 4))
        result = evaluate_answers(unet(), seen, pixel_statistics(SETS["test-train"]))["answer"]
        scores |= {f"4/answer/{split}/iou": result.iou, f"4/answer/{split}/hits": result.hits}
        published[f"4/{split}"] = "yes"
    body = run.segmentation.model_dump() | {"test_sets_as_published": published}
    changed = Run.model_validate(run.model_dump() | {"body": body, "figures": summarise_segmentation(scores)})
    put_run(Path("recorded"), changed, scores, unet(), {"feature_maps": 2})
    again = run_stage("segmentation")["siamese_unet-4-fast"]
    assert keys <= again["agreement"].keys()
    assert all(agreement["agrees"] for agreement in again["agreement"].values())


def test_other_scores_than_the_recorded_ones_show_and_stop_nothing(scenes, monkeypatch):
    set_params(monkeypatch)
    record_scenes("siamese_unet-4-fast", 4, turned=True)
    agreement = run_stage("segmentation")["siamese_unet-4-fast"]["agreement"]
    assert not any(found["agrees"] for found in agreement.values())
    assert len(agreement) == 2


@pytest.mark.parametrize("where", ["here", "when recorded"])
def test_scenes_other_than_the_published_ones_are_not_compared(where, scenes, monkeypatch):
    set_params(monkeypatch)
    if where == "here":
        write_manifests("own checksums")
    record_scenes("siamese_unet-4-fast", 4, verdict="yes" if where == "here" else "synthetic")
    found = run_stage("segmentation")["siamese_unet-4-fast"]
    assert "4/answer/test-train/iou" in found["figures"]
    assert found["agreement"] == {}


def test_weights_and_records_that_do_not_belong_together_end_the_stage(scenes, monkeypatch):
    set_params(monkeypatch)
    run = record_scenes("siamese_unet-4-fast", 4)
    folder = Path("recorded/segmentation/siamese_unet-4-fast")
    figures = dict(run.figures)
    key = "4/answer/test-train/iou"
    save_run(folder, run.model_copy(update={"figures": figures | {key: replace(figures[key], value=0.5)}}))
    save_index(Path("recorded"))
    with pytest.raises(RecordError, match=key):
        run_stage("segmentation")
    save_run(folder, run)
    save_index(Path("recorded"))
    flip_bit(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 1)
    with pytest.raises(RecordError, match="SHA-256"):
        run_stage("segmentation")


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_without_runs_the_files_are_there_and_pytorch_is_not_loaded(task, tmp_path):
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from stages.recheck import main
main({task!r})
assert not {{'torch', 'numba'}} & set(sys.modules)"""
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f"no run of {task} is recorded yet" in done.stdout
    metrics = json.loads((tmp_path / f"metrics/rechecked-{task}.json").read_text())
    assert metrics == seal({"scale": "laptop", "networks": {}})
    assert (tmp_path / "predictions/rechecked.npz").exists() == (task == "segmentation")


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    sizes = load_params(ROOT / "params.yaml").other_images
    few = sizes.model_copy(update={"n_episodes": 40, "n_verification_pairs": 60})
    return replace(find_protocols(synthetic_drawings, few), source="omniglot")


@pytest.fixture
def classes(tmp_path: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose synthetic alphabets count as Omniglot's, with a recorded classifier."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    monkeypatch.setattr(images, "read_protocols", lambda params: protocols)
    monkeypatch.setattr(images, "read_outside", lambda protocols: ({}, {}))
    set_params(monkeypatch)
    return tmp_path


def record_classifier(
    protocols: Protocols, *, turned: bool = False, without: str = "", recipe: str = "own"
) -> Scores:
    net = Tiny().initialise(np.random.default_rng(0)).half().float()
    scorer = NetworkScorer(net)
    pairs = find_pairs(scorer, protocols)
    scores = score_everything(scorer, protocols, {}, pairs)
    scores = {name: 1 - found if turned else found for name, found in scores.items() if name != without}
    described = describe_everything(protocols, {}, pairs)
    body = {"protocols": {name: described[name] for name in scores}, "not_computed": {}}
    record = fake_classification_run(net="tiny", scores=scores, body=body, recipe=recipe)
    put_run(Path("recorded"), record, scores, net, {})
    return scores


def test_a_recorded_classifier_agrees_on_the_protocols_of_this_scale(classes, protocols):
    scores = record_classifier(protocols)
    found = run_stage("classification")["own"]
    assert set(found["figures"]) == set(found["agreement"]) == set(PROTOCOLS)
    for name in PROTOCOLS:
        mean, n = scores[name].mean(), scores[name].size
        assert found["figures"][name]["value"] == pytest.approx(mean)
        agreement = found["agreement"][name]
        assert (agreement["agrees"], agreement["recorded"], agreement["n"]) == (True, pytest.approx(mean), n)
    with np.load("predictions/rechecked-classification.npz") as mistakes:
        (shown,) = mistakes.values()
        assert shown.shape[1:] == (3, 105, 105)
        assert 0 < len(shown) <= (scores[next(iter(protocols.lists))] == 0).sum()


def test_other_answers_show_and_what_was_not_recorded_is_not_compared(classes, protocols):
    record_classifier(protocols, turned=True, without="verification")
    found = run_stage("classification")["own"]
    assert set(found["figures"]) == set(PROTOCOLS)
    assert set(found["agreement"]) == {"within-alphabet"}
    assert not found["agreement"]["within-alphabet"]["agrees"]


def test_what_a_network_was_trained_on_is_not_scored_again(classes, protocols, monkeypatch):
    names = (*PROTOCOLS, "verification/best-threshold", "validation")
    size = Recheck(n_scenes=N_EVALUATED, batch_size=5, n_masknet_scenes=2, protocols=names, left_out=())
    set_params(monkeypatch, recheck=size)
    record_classifier(protocols, recipe="contrastive_40")
    assert set(run_stage("classification")["own"]["figures"]) == set(PROTOCOLS)


def test_other_images_say_nothing_of_a_record(classes, protocols, monkeypatch):
    set_params(monkeypatch, source="synthetic")
    record_classifier(protocols)
    assert run_stage("classification") == {}
    with np.load("predictions/rechecked-classification.npz") as mistakes:
        assert len(mistakes.files) == 0
