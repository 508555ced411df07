"""Records come back as they were written, or with one sentence about what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from oneshot.records.scene_scores import SceneScores, check_scores, load_scores, save_scores

from oneshot.records.run import (
    Record,
    RecordError,
    Training,
    check_revision,
    flat_files,
    load_record,
    read_records,
    released_files,
    run_name,
    save_record,
)
from tests.fake_records import fake_record, fake_scores

SCORES = {
    "32": {
        "answer": {
            "test-train": SceneScores(np.array([0.5, 1.0, 0.25], np.float32), np.array([True, True, False])),
            "test-one-shot": SceneScores(
                np.array([0.5, 0.0, 0.25], np.float32), np.array([True, False, False])
            ),
        }
    }
}


def score(iou: float, localisation: float, n: int = 3) -> dict[str, Any]:
    return {
        "iou": iou, "iou_interval": [iou - 0.1, iou + 0.1],
        "localisation": localisation, "localisation_interval": [0.1, 0.9], "n": n,
    }  # fmt: skip


def split_score(
    whole: dict[str, Any], with_one: dict[str, Any] | None = None, without: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Without groups: no scene has a same-class distractor."""
    without = whole if with_one is None and without is None else without
    return whole | {"with_same_class": with_one, "without_same_class": without}


# The means of SCORES; the second scene of test-train has a same-class distractor.
KNOWN = split_score(score(1.75 / 3, 2 / 3), score(1.0, 1.0, 1), score(0.375, 0.5, 2))
ONE_SHOT = split_score(score(0.25, 1 / 3))


def scores_of(known: Any = KNOWN, one_shot: Any = ONE_SHOT) -> dict[str, Any]:
    return {"32": {"answer": {"test-train": known, "test-one-shot": one_shot}}}


def training(**changes: Any) -> dict[str, Any]:
    return {
        "name": "segmentation", "batch_size": 8, "lr": 0.002, "matching_weight": 0.1, "n_epochs": None,
        "phases": [{"clutter_levels": [4], "n_scenes": 8}, {"clutter_levels": [32], "n_scenes": 16}],
        "n_scenes_seen": 24, "n_steps": 3, "n_steps_planned": 3, "seconds": 1.0, "seconds_waiting": 0.5,
    } | changes  # fmt: skip


def values(**changes: Any) -> dict[str, Any]:
    """The contents of a record's file; its means are those of SCORES."""
    return {
        "net": "siamese_unet", "recipe": "fast", "clutter_level": 32, "name": "32", "scale": "paper",
        "feature_maps": 2, "n_parameters": 22966, "seed": 1803, "n_jobs": 1000, "lower_levels": 0.3,
        "proposals_share": None,
        "training": [training()], "start_from": None, "n_scenes_before": 0, "budget_minutes": 9.0,
        "seconds": {"training": 1.0, "waiting": 0.5, "evaluation": 1.0, "total": 3.0},
        "device": "one", "machine": "one, 2 cores",
        "n_processes": 1, "speed": ["fused"], "versions": {"python": "3.11.7", "cuda": None},
        "git_revision": "0123456789abcdef0123456789abcdef01234567", "date": "2026-11-22",
        "drawings_sha256": 64 * "0", "pixel_mean": 4.5, "pixel_std": 27.5,
        "test_sets_as_published": {"32": {"test-train": "yes", "test-one-shot": "yes"}},
        "weights": {
            "file": "weights/siamese_unet/fast/32.safetensors", "sha256": 64 * "0", "dtype": "float16",
            "iou_lost_points": {"32": {"test-train": 0.001, "test-one-shot": -0.002}},
        },
        "scores": scores_of(),
    } | changes  # fmt: skip


def make_record(**changes: Any) -> Record:
    return Record.model_validate(values(**changes))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = make_record()
    save_record(tmp_path / "32.json", record)
    assert load_record(tmp_path / "32.json") == record
    assert json.loads((tmp_path / "32.json").read_text()) == values()
    assert list(record.scores["32"]["answer"]) == ["test-train", "test-one-shot"]


def test_a_run_of_two_trainings_has_seen_the_scenes_of_both_and_is_complete_when_both_are() -> None:
    steps = [training(name="proposals"), training(name="discriminator", n_scenes_seen=40, n_steps=2)]
    record = make_record(net="masknet", training=steps)
    assert (record.n_scenes_seen, record.complete) == (64, False)
    assert [step.complete for step in record.training] == [True, False]
    assert make_record(net="masknet", training=[training(), training()]).complete


def test_a_training_tells_its_speed_and_how_much_of_it_was_waiting() -> None:
    step = Training.model_validate(training(seconds=4.0, seconds_waiting=1.0))
    assert (step.scenes_per_second, step.waiting_share) == (6.0, 0.25)
    none = Training.model_validate(training(seconds=0.0, seconds_waiting=0.0, n_steps=0))
    assert (none.scenes_per_second, none.waiting_share) == (0.0, 0.0)


def test_a_joint_network_is_evaluated_only_with_all_seven_levels() -> None:
    record = fake_record("joint", "fast", fake_scores(0.5))
    assert (record.joint, record.levels) == (True, (4, 8, 16, 32, 64, 128, 256))
    assert record.evaluated
    six = {level: found for level, found in record.scores.items() if level != "64"}
    assert not record.model_copy(update={"scores": six}).evaluated
    assert not make_record().model_copy(update={"clutter_level": "joint"}).evaluated


def test_test_sets_other_than_the_published_ones_are_named_with_their_level() -> None:
    strange = {"32": {"test-train": "yes", "test-one-shot": "synthetic"}}
    assert make_record().strange_sets == []
    assert make_record(test_sets_as_published=strange).strange_sets == ["test-one-shot at 32"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"surplus": 1}, "surplus is not a known parameter"),
        ({"clutter_level": 5}, "clutter_level is 5, but"),
        ({"scores": scores_of({"iou": 0.5})}, r"scores.32.answer.test-train.localisation is missing"),
        ({"scores": {"5": {}}}, r"scores.5.\[key\] is '5', but"),
        ({"scores": {"32": {"guess": {}}}}, r"scores.32.guess.\[key\] is 'guess', but"),
        ({"scores": {"32": {"answer": {"train": KNOWN}}}}, r"train.\[key\] is 'train', but"),
        ({"training": [training(name="warming up")]}, "training.0.name is 'warming up', but"),
        ({"training": []}, "training is "),
        ({"net": "alexnet"}, "net is 'alexnet', but"),
        ({"name": "../../32"}, "name is '../../32', but"),
    ],
)
def test_a_file_that_is_no_record_is_refused(changes: dict, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "32.json").write_text(json.dumps(values(**changes)))
    with pytest.raises(RecordError, match=rf"32\.json is not a whole record: .*{complaint}"):
        load_record(tmp_path / "32.json")


def test_half_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "32.json").write_text(json.dumps(values())[:200])
    with pytest.raises(RecordError, match="is not a whole record"):
        load_record(tmp_path / "32.json")


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"there is no record .*32\.json"):
        load_record(tmp_path / "32.json")


def test_scores_come_back_by_level_answer_and_test_set_and_take_five_bytes_a_scene(tmp_path: Path) -> None:
    n = 1000
    found = SceneScores(np.linspace(0, 1, n), np.arange(n) % 3 == 0)
    other = SceneScores(np.zeros(2, np.float32), np.ones(2, bool))
    save_scores(tmp_path / "scores", {"4": {"answer": {"test-train": found}, "top_4": {"test-train": other}},
                                      "256": {"answer": {"test-one-shot": other}}})  # fmt: skip
    scores = load_scores(tmp_path / "scores")
    places = {(level, answer, split) for level, answers in scores.items()
              for answer, by_split in answers.items() for split in by_split}  # fmt: skip
    assert places == {
        ("4", "answer", "test-train"), ("4", "top_4", "test-train"), ("256", "answer", "test-one-shot")
    }  # fmt: skip
    again = scores["4"]["answer"]["test-train"]
    np.testing.assert_array_equal(again.iou, np.linspace(0, 1, n, dtype=np.float32))
    np.testing.assert_array_equal(again.hits, found.hits)
    assert scores["256"]["answer"]["test-one-shot"].hits.all()
    assert (tmp_path / "scores").stat().st_size < 5 * n + 700


@pytest.mark.parametrize("n_bytes", [0, 7, 60])
def test_cut_off_scores(n_bytes: int, tmp_path: Path) -> None:
    save_scores(tmp_path / "scores", SCORES)
    (tmp_path / "scores").write_bytes((tmp_path / "scores").read_bytes()[:n_bytes])
    with pytest.raises(RecordError, match="is damaged or holds no scores"):
        load_scores(tmp_path / "scores")


@pytest.mark.parametrize("name", ["4/answer/test-train/iou", "test-train/iou", "iou"])
def test_other_arrays_than_scores(name: str, tmp_path: Path) -> None:
    safetensors.numpy.save_file({name: np.zeros(3)}, tmp_path / "scores")
    with pytest.raises(RecordError, match="is damaged or holds no scores"):
        load_scores(tmp_path / "scores")


def test_no_scores_at_all(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="are missing"):
        load_scores(tmp_path / "absent")


def test_a_record_agrees_with_its_scores() -> None:
    check_scores(make_record(), SCORES, "32.json")


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (
            scores_of(split_score(score(0.59, 2 / 3))),
            "says IoU 0.590000 and .* the means 0.583333 and 0.666667",
        ),
        (scores_of(one_shot=split_score(score(0.25, 0.34))), "localisation 0.340000 on test-one-shot at 32"),
        (scores_of(one_shot=split_score(score(0.25, 1 / 3, n=4))), "speaks of 4 scenes of test-one-shot"),
        (scores_of(KNOWN | {"with_same_class": score(0.9, 1.0, 1)}), "does not make up the whole"),
        (scores_of(KNOWN | {"with_same_class": score(1.0, 0.0, 1)}), "does not make up the whole"),
        (scores_of(KNOWN | {"with_same_class": None}), "test-train at 32 characters .* make up the whole"),
        ({}, "interrupted before its evaluation"),
    ],
)
def test_a_record_that_contradicts_its_scores_is_refused(scores: dict, complaint: str) -> None:
    with pytest.raises(RecordError, match=rf"32\.json.* .*{complaint}"):
        check_scores(make_record(scores=scores), SCORES, "32.json")


def test_the_scores_of_every_answer_and_level_are_compared() -> None:
    record = make_record(scores={"32": {"answer": scores_of()["32"]["answer"],
                                        "top_4": scores_of()["32"]["answer"]}})  # fmt: skip
    check_scores(record, {"32": {"answer": SCORES["32"]["answer"], "top_4": SCORES["32"]["answer"]}}, "")
    with pytest.raises(RecordError, match=r"3 scenes of test-train at 32 characters \(top_4\), its file"):
        check_scores(record, SCORES, "32.json")
    with pytest.raises(RecordError, match=r"3 scenes of test-train at 32 characters \(answer\), its file"):
        check_scores(record, {"64": SCORES["32"]}, "32.json")


def test_scores_of_one_test_set_are_too_few() -> None:
    known = {"32": {"answer": {"test-train": SCORES["32"]["answer"]["test-train"]}}}
    with pytest.raises(RecordError, match=r"3 scenes of test-one-shot at 32 .* its file of scores does not"):
        check_scores(make_record(), known, "32.json")


def test_runs_of_further_seeds_have_names_of_their_own() -> None:
    assert run_name(32, 1803, 1803) == "32"
    assert run_name(32, 7, 1803) == "32-seed-7"
    assert run_name("joint", 7, 1803) == "joint-seed-7"
    for name in ("joint", "joint-seed-7"):
        assert make_record(name=name).name == name


def test_the_files_of_a_run() -> None:
    flat = flat_files(Path("out"), "siamese_unet", "fast", "32")
    assert [str(path) for path in vars(flat).values()] == [
        "out/siamese_unet-fast-32.json",
        "out/siamese_unet-fast-32.curve.csv",
        "out/siamese_unet-fast-32.scores.safetensors",
        "out/siamese_unet-fast-32.weights.safetensors",
    ]
    released = released_files(Path("results"), Path("weights"), "siamese_unet", "fast", "32")
    assert [str(path) for path in vars(released).values()] == [
        "results/siamese_unet/fast/32.json",
        "results/siamese_unet/fast/32.curve.csv",
        "results/siamese_unet/fast/32.scores.safetensors",
        "weights/siamese_unet/fast/32.safetensors",
    ]


def test_all_records_of_a_folder_are_read_and_one_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    assert read_records(tmp_path / "results") == []
    save_record(tmp_path / "results/masknet/fast/32.json", make_record(net="masknet"))
    for recipe in ("fast", "published"):
        save_record(tmp_path / f"results/siamese_unet/{recipe}/32.json", make_record(recipe=recipe))
    found = [(record.net, record.recipe) for record in read_records(tmp_path / "results")]
    assert found == [("masknet", "fast"), ("siamese_unet", "fast"), ("siamese_unet", "published")]
    save_record(tmp_path / "results/siamese_unet/fast/4.json", make_record())
    with pytest.raises(RecordError, match=r"fast/4\.json is the record of siamese_unet, recipe fast, 32"):
        read_records(tmp_path / "results")


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"32": {"answer": {"test-train": KNOWN}}},
        {"32": {"top_4": scores_of()["32"]["answer"]}},
        {"32": {"answer": scores_of()["32"]["answer"], "top_4": {"test-train": KNOWN}}},
        {"4": scores_of()["32"]},
    ],
)
def test_a_record_without_all_its_scores_is_no_result(scores: dict, tmp_path: Path) -> None:
    save_record(tmp_path / "results/siamese_unet/fast/32.json", make_record(scores=scores))
    with pytest.raises(
        RecordError, match=r"fast/32\.json is of an unfinished run: .*python -m stages\.adopt"
    ):
        read_records(tmp_path / "results")


@pytest.mark.parametrize("revision", ["0123abc", 40 * "f", 12 * "a" + "-dirty"])
def test_git_revisions(revision: str) -> None:
    assert check_revision(revision) == revision


@pytest.mark.parametrize("revision", ["", "main", "0123ab", "0123ABC", "0123abc dirty"])
def test_other_words_than_git_revisions(revision: str) -> None:
    with pytest.raises(RecordError, match="is no Git revision"):
        check_revision(revision)
