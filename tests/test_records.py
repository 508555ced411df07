"""Records come back as they were written, or with one sentence about what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from oneshot.records import (
    Record,
    RecordError,
    SceneScores,
    check_revision,
    check_scores,
    flat_files,
    load_record,
    load_scores,
    read_records,
    released_files,
    run_name,
    save_record,
    save_scores,
)

SCORES = {
    "test-train": SceneScores(np.array([0.5, 1.0, 0.25], np.float32), np.array([True, True, False])),
    "test-one-shot": SceneScores(np.array([0.5, 0.0, 0.25], np.float32), np.array([True, False, False])),
}


def score(iou: float, localisation: float, n: int = 3) -> dict[str, Any]:
    return {
        "iou": iou, "iou_interval": [iou - 0.1, iou + 0.1],
        "localisation": localisation, "localisation_interval": [0.1, 0.9], "n": n,
    }  # fmt: skip


def values(**changes: Any) -> dict[str, Any]:
    """The contents of a record's file; its means are those of SCORES."""
    return {
        "net": "siamese_unet", "recipe": "fast", "clutter_level": 32, "name": "32", "scale": "paper",
        "feature_maps": 2, "n_parameters": 22966, "seed": 1803, "batch_size": 8, "lr": 0.002,
        "matching_weight": 0.1, "lower_levels": 0.3, "n_epochs": None, "n_jobs": 1000,
        "phases": [{"clutter_levels": [4], "n_scenes": 8}, {"clutter_levels": [32], "n_scenes": 16}],
        "start_from": None, "n_scenes_seen": 24, "n_scenes_before": 0, "n_steps": 3, "n_steps_planned": 3,
        "complete": True, "budget_minutes": 9.0,
        "seconds": {"training": 1.0, "waiting": 0.5, "evaluation": 1.0, "total": 3.0},
        "scenes_per_second": 24.0, "waiting_share": 0.5, "device": "one", "machine": "one, 2 cores",
        "n_processes": 1, "speed": ["fused"], "versions": {"python": "3.11.7", "cuda": None},
        "git_revision": "0123456789abcdef0123456789abcdef01234567", "date": "2026-11-22",
        "drawings_sha256": 64 * "0", "pixel_mean": 4.5, "pixel_std": 27.5,
        "test_sets_as_published": {"test-train": "yes", "test-one-shot": "yes"},
        "weights": {
            "file": "weights/siamese_unet/fast/32.safetensors", "sha256": 64 * "0", "dtype": "float16",
            "iou_lost_points": {"test-train": 0.001, "test-one-shot": -0.002},
        },
        "test-train": score(1.75 / 3, 2 / 3), "test-one-shot": score(0.25, 1 / 3),
    } | changes  # fmt: skip


def make_record(**changes: Any) -> Record:
    return Record.model_validate(values(**changes))


def test_a_record_comes_back_and_spells_the_test_sets_as_they_are_called(tmp_path: Path) -> None:
    record = make_record()
    save_record(tmp_path / "32.json", record)
    assert load_record(tmp_path / "32.json") == record
    assert json.loads((tmp_path / "32.json").read_text()) == values()
    assert list(record.scores) == ["test-train", "test-one-shot"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"surplus": 1}, "surplus is not a known parameter"),
        ({"clutter_level": 5}, "clutter_level is 5, but"),
        ({"test-train": {"iou": 0.5}}, "test-train.localisation is missing"),
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


def test_scores_come_back_and_take_five_bytes_a_scene(tmp_path: Path) -> None:
    n = 1000
    scores = {"test-train": SceneScores(np.linspace(0, 1, n), np.arange(n) % 3 == 0)}
    save_scores(tmp_path / "scores", scores)
    found = load_scores(tmp_path / "scores")
    assert list(found) == ["test-train"]
    np.testing.assert_array_equal(found["test-train"].iou, np.linspace(0, 1, n, dtype=np.float32))
    np.testing.assert_array_equal(found["test-train"].hits, scores["test-train"].hits)
    assert (tmp_path / "scores").stat().st_size < 5 * n + 300


@pytest.mark.parametrize("n_bytes", [0, 7, 60])
def test_cut_off_scores(n_bytes: int, tmp_path: Path) -> None:
    save_scores(tmp_path / "scores", SCORES)
    (tmp_path / "scores").write_bytes((tmp_path / "scores").read_bytes()[:n_bytes])
    with pytest.raises(RecordError, match="is damaged or holds no scores"):
        load_scores(tmp_path / "scores")


def test_other_arrays_than_scores_and_none_at_all(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"test-train/iou": np.zeros(3)}, tmp_path / "scores")
    with pytest.raises(RecordError, match="is damaged or holds no scores"):
        load_scores(tmp_path / "scores")
    with pytest.raises(RecordError, match="are missing"):
        load_scores(tmp_path / "absent")


def test_a_record_agrees_with_its_scores() -> None:
    check_scores(make_record(), SCORES, "32.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test-train": score(0.59, 2 / 3)}, "says IoU 0.590000 and .* the means 0.583333 and 0.666667"),
        ({"test-one-shot": score(0.25, 0.34)}, "localisation 0.340000 on test-one-shot, but"),
        ({"test-one-shot": score(0.25, 1 / 3, n=4)}, "speaks of 4 scenes of test-one-shot"),
        ({"test-train": None, "test-one-shot": None}, "interrupted before its evaluation"),
    ],
)
def test_a_record_that_contradicts_its_scores_is_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(RecordError, match=rf"32\.json .*{complaint}"):
        check_scores(make_record(**changes), SCORES, "32.json")


def test_scores_of_one_test_set_are_too_few() -> None:
    with pytest.raises(RecordError, match="3 scenes of test-one-shot, its file of scores does not"):
        check_scores(make_record(), {"test-train": SCORES["test-train"]}, "32.json")


def test_runs_of_further_seeds_have_names_of_their_own() -> None:
    assert run_name(32, 1803, 1803) == "32"
    assert run_name(32, 7, 1803) == "32-seed-7"


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
    for recipe in ("fast", "published"):
        save_record(tmp_path / f"results/siamese_unet/{recipe}/32.json", make_record(recipe=recipe))
    assert [record.recipe for record in read_records(tmp_path / "results")] == ["fast", "published"]
    save_record(tmp_path / "results/siamese_unet/fast/4.json", make_record())
    with pytest.raises(RecordError, match=r"fast/4\.json is the record of siamese_unet, recipe fast, 32"):
        read_records(tmp_path / "results")


@pytest.mark.parametrize("changes", [{"test-train": None, "test-one-shot": None}, {"test-one-shot": None}])
def test_a_record_without_all_its_scores_is_no_result(changes: dict, tmp_path: Path) -> None:
    save_record(tmp_path / "results/siamese_unet/fast/32.json", make_record(**changes))
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
