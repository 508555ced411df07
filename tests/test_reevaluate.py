"""The stage that evaluates released networks again, in a small checkout of fake scenes."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oneshot.clutter.scenes import Scenes
from oneshot.params import Evaluate
from oneshot.records.run import TEST_SPLITS, released_files
from oneshot.records.scene_scores import SceneScores
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import evaluate, segment
from oneshot.segment.weights import load_weights
from oneshot.training.tensors import WeightsError
from stages import reevaluate, test_sets
from tests.archives import flip_bit
from tests.fake_records import fake_scores, release_net, verdicts
from tests.fake_scenes import fake_scenes

LEVEL, N_RENDERED, N_EVALUATED = 4, 30, 12
SETS = {name: fake_scenes(N_RENDERED, LEVEL, seed) for seed, name in enumerate(TEST_SPLITS)}
FILES = released_files(Path("results"), Path("weights"), "siamese_unet", "fast", str(LEVEL))


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run the stage in, whose rendered sets count as the published ones."""
    monkeypatch.chdir(tmp_path)
    size = Evaluate(n_scenes=N_EVALUATED, batch_size=5, n_masknet_scenes=2)
    params = SimpleNamespace(scale_name="tiny", scale=SimpleNamespace(reevaluate=size), device="cpu")
    monkeypatch.setattr(reevaluate, "load_params", lambda: params)

    def read_set(folder: Path, clutter_level: int, split: str, n_scenes: int) -> Scenes:
        assert (folder, clutter_level) == (Path("data/scenes"), LEVEL)
        assert n_scenes <= N_RENDERED
        return SETS[split][:n_scenes]

    monkeypatch.setattr(test_sets, "read_set", read_set)
    write_manifest("published checksums")
    return tmp_path


def write_manifest(checked_against: str) -> None:
    path = Path(f"data/manifests/scenes-{LEVEL}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"n_scenes": N_RENDERED, "checked_against": checked_against}
    path.write_text(json.dumps({"sets": dict.fromkeys(TEST_SPLITS, entry)}))


def true_scores() -> dict[str, SceneScores]:
    """Of the released net, over all rendered scenes."""
    release_net(Path(), LEVEL, "fast", fake_scores(0.5))
    net, _ = load_weights(FILES.weights)
    statistics = pixel_statistics(SETS["test-train"])
    results = {split: evaluate(net, scenes, statistics) for split, scenes in SETS.items()}
    return {split: SceneScores(result.iou, result.hits) for split, result in results.items()}


def run_stage() -> dict[str, Any]:
    reevaluate.main(LEVEL)
    return json.loads(Path(f"metrics/reevaluated-{LEVEL}.json").read_text())


def test_without_a_released_net_the_files_are_there_and_empty() -> None:
    release_net(Path(), 8, "fast", fake_scores(0.5))
    assert run_stage() == {"scale": "tiny", "clutter_level": LEVEL}
    with np.load(f"predictions/reevaluated-{LEVEL}.npz") as arrays:
        assert arrays.files == []


def test_every_released_net_agrees_with_its_record_on_the_first_scenes() -> None:
    release_net(Path(), LEVEL, "published", true_scores(), name=f"{LEVEL}-seed-7")
    scores = true_scores()
    record = release_net(Path(), LEVEL, "fast", scores)
    metrics = run_stage()
    nets = metrics["nets"]["siamese_unet"]
    assert list(nets) == ["fast", "published"]
    assert list(nets["published"]) == [f"{LEVEL}-seed-7"]
    entry = nets["fast"][str(LEVEL)]
    assert (entry["feature_maps"], entry["seed"], entry["n_scenes_seen"]) == (2, record.seed, 4_000_000)
    answer = entry["answers"]["answer"]
    for split in TEST_SPLITS:
        first = scores[split].iou[:N_EVALUATED]
        assert 0 < first.min() < first.max()
        assert answer[split]["iou"]["value"] == pytest.approx(first.mean())
        assert answer[split]["iou"]["n"] == answer[split]["agreement"]["n"] == N_EVALUATED
        assert answer[split]["localisation"]["value"] == scores[split].hits[:N_EVALUATED].mean()
        assert answer[split]["agreement"]["agrees"]
        assert answer[split]["agreement"]["largest_difference_points"] < 1e-4
    assert nets["published"][f"{LEVEL}-seed-7"]["answers"] == entry["answers"]


def test_means_are_split_by_same_class_distractors_and_a_group_without_scenes_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = true_scores()
    release_net(Path(), LEVEL, "fast", scores)
    flags = np.arange(N_EVALUATED) % 3 == 0
    found = {"test-train": flags, "test-one-shot": np.zeros(N_EVALUATED, bool)}
    monkeypatch.setattr(
        test_sets,
        "has_same_class_distractor",
        lambda scenes: found["test-train" if same_scenes(scenes, "test-train") else "test-one-shot"],
    )
    answer = run_stage()["nets"]["siamese_unet"]["fast"][str(LEVEL)]["answers"]["answer"]
    known, one_shot = (answer[split] for split in TEST_SPLITS)
    first = scores["test-train"].iou[:N_EVALUATED]
    assert known["with_same_class"]["iou"]["value"] == pytest.approx(first[flags].mean())
    assert known["without_same_class"]["iou"]["value"] == pytest.approx(first[~flags].mean())
    assert known["with_same_class"]["localisation"]["n"] == flags.sum()
    assert "with_same_class" not in one_shot
    assert one_shot["without_same_class"] == {key: one_shot[key] for key in ("iou", "localisation")}


def same_scenes(scenes: Scenes, split: str) -> bool:
    return np.array_equal(scenes.labels, SETS[split].labels[: len(scenes)])


def test_every_answer_of_a_network_is_scored_and_compared_but_masks_are_of_its_own_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = true_scores()
    release_net(Path(), LEVEL, "fast", scores)
    evaluate_answers = test_scenes.evaluate_answers

    def answer_twice(*words: Any, **options: Any) -> dict[str, Any]:
        own = evaluate_answers(*words, **options)["answer"]
        return {"answer": own, "top_4": own}

    monkeypatch.setattr(test_sets, "evaluate_answers", answer_twice)
    answers = run_stage()["nets"]["siamese_unet"]["fast"][str(LEVEL)]["answers"]
    assert list(answers) == ["answer", "top_4"]
    for split in TEST_SPLITS:
        assert "agreement" in answers["answer"][split]
        assert "agreement" not in answers["top_4"][split]  # of which the record has no scores
    key = f"siamese_unet/fast/{LEVEL}"
    with np.load(f"predictions/reevaluated-{LEVEL}.npz") as arrays:
        kept = {name for name in arrays.files if name.startswith(f"{key}/") and "test-train" in name}
    assert kept == {
        *(f"{key}/{answer}/test-train/{name}" for answer in answers for name in ("iou", "hits")),
        f"{key}/answer/test-train/masks",
    }


def test_a_joint_network_is_re_evaluated_at_this_level_too() -> None:
    scores = true_scores()
    shutil.rmtree("results")
    release_net(Path(), "joint", "fast", scores)
    release_net(Path(), 8, "fast", scores)
    nets = run_stage()["nets"]["siamese_unet"]
    assert list(nets["fast"]) == ["joint"]
    assert nets["fast"]["joint"]["answers"]["answer"]["test-one-shot"]["agreement"]["agrees"]


def test_masks_and_scores_of_the_first_scenes_are_kept_for_the_pictures() -> None:
    scores = true_scores()
    release_net(Path(), LEVEL, "fast", scores)
    run_stage()
    net, _ = load_weights(FILES.weights)
    shown = SETS["test-one-shot"][: test_sets.SHOWN_SCENES]
    with np.load(f"predictions/reevaluated-{LEVEL}.npz") as arrays:
        masks = arrays[f"siamese_unet/fast/{LEVEL}/answer/test-one-shot/masks"]
        assert np.array_equal(masks, segment(net, shown, pixel_statistics(SETS["test-train"])))
        ious = arrays[f"siamese_unet/fast/{LEVEL}/answer/test-one-shot/iou"]
    np.testing.assert_allclose(ious, scores["test-one-shot"].iou[:N_EVALUATED], atol=1e-6)


def test_other_scores_than_the_recorded_ones_show_in_the_metrics_and_stop_nothing() -> None:
    others = {split: SceneScores(s.iou[::-1].copy(), s.hits) for split, s in true_scores().items()}
    release_net(Path(), LEVEL, "fast", others)
    for split in TEST_SPLITS:
        entry = run_stage()["nets"]["siamese_unet"]["fast"][str(LEVEL)]
        agreement = entry["answers"]["answer"][split]["agreement"]
        assert not agreement["agrees"]
        assert agreement["mean_absolute_difference_points"] > 1


@pytest.mark.parametrize("where", ["here", "when recorded"])
def test_scenes_other_than_the_published_ones_are_not_compared(where: str) -> None:
    if where == "here":
        write_manifest("own checksums")
    verdict = "synthetic" if where == "when recorded" else "yes"
    as_published = verdicts(LEVEL, verdict)
    release_net(Path(), LEVEL, "fast", true_scores(), test_sets_as_published=as_published)
    entry = run_stage()["nets"]["siamese_unet"]["fast"][str(LEVEL)]["answers"]["answer"]
    assert "iou" in entry["test-train"]
    assert "agreement" not in entry["test-train"] | entry["test-one-shot"]


def test_weights_that_are_not_the_recorded_ones_end_the_stage() -> None:
    release_net(Path(), LEVEL, "fast", true_scores())
    flip_bit(FILES.weights, FILES.weights.stat().st_size - 1)
    with pytest.raises(WeightsError, match=rf"{FILES.weights} does not have the SHA-256 in {FILES.record}"):
        run_stage()
    FILES.weights.unlink()
    with pytest.raises(WeightsError, match=f"the weights of {FILES.record} are missing: fetch them by git"):
        run_stage()


def test_a_second_run_writes_the_same_bytes() -> None:
    release_net(Path(), LEVEL, "fast", true_scores())
    written = [Path(f"metrics/reevaluated-{LEVEL}.json"), Path(f"predictions/reevaluated-{LEVEL}.npz")]
    run_stage()
    first = [path.read_bytes() for path in written]
    run_stage()
    assert [path.read_bytes() for path in written] == first


@pytest.mark.parametrize("n_scenes", [3, N_RENDERED])
def test_few_scenes_are_normalised_like_many(n_scenes: int) -> None:
    sets, statistics = test_scenes.read_test_sets(
        LEVEL, Evaluate(n_scenes=n_scenes, batch_size=5, n_masknet_scenes=2)
    )
    assert statistics == pixel_statistics(SETS["test-train"])
    assert {len(scenes) for scenes in sets.values()} == {n_scenes}
