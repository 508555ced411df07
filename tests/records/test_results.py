"""Single scores in one file, and the figures that they make."""

import numpy as np
import pytest

from oneshot.intervals import Figure, mean_of_hits, mean_of_values
from oneshot.records.results import (
    load_scores,
    save_scores,
    summarise_classification,
    summarise_segmentation,
)
from oneshot.records.run import RecordError

IOU = np.array([0.5, 1.0, 0.0, 0.25], np.float32)
HITS = np.array([True, True, False, False])
SAME = np.array([False, True, True, False])
PLACE = "4/answer/test-one-shot"


def test_scores_come_back_as_they_were(tmp_path):
    scores = {f"{PLACE}/iou": IOU, f"{PLACE}/hits": HITS, "within-alphabet": np.ones((2, 3), np.uint8)}
    save_scores(tmp_path / "scores.safetensors", scores)
    loaded = load_scores(tmp_path / "scores.safetensors")
    assert loaded.keys() == scores.keys()
    for key, array in loaded.items():
        np.testing.assert_array_equal(array, scores[key])
        assert array.dtype == scores[key].dtype


def test_missing_and_damaged_scores_are_named(tmp_path):
    with pytest.raises(RecordError, match="is missing"):
        load_scores(tmp_path / "scores.safetensors")
    (tmp_path / "scores.safetensors").write_bytes(b"something else")
    with pytest.raises(RecordError, match="damaged"):
        load_scores(tmp_path / "scores.safetensors")


def test_segmentation_is_summarised_as_a_whole_and_by_same_class_distractors():
    scores = {f"{PLACE}/iou": IOU, f"{PLACE}/hits": HITS, "4/test-one-shot/same_class": SAME}
    figures = summarise_segmentation(scores)
    assert figures == {
        f"{PLACE}/iou": mean_of_values(IOU),
        f"{PLACE}/iou/with_same_class": mean_of_values(IOU[SAME]),
        f"{PLACE}/iou/without_same_class": mean_of_values(IOU[~SAME]),
        f"{PLACE}/localisation": mean_of_hits(HITS),
        f"{PLACE}/localisation/with_same_class": mean_of_hits(HITS[SAME]),
        f"{PLACE}/localisation/without_same_class": mean_of_hits(HITS[~SAME]),
    }


def test_groups_without_scenes_and_scores_without_hits_have_no_figure():
    scores = {"4/test-train/iou": IOU, "4/test-train/same_class": np.zeros(4, bool)}
    assert summarise_segmentation(scores).keys() == {
        "4/test-train/iou",
        "4/test-train/iou/without_same_class",
    }


def test_classification_is_summarised_by_protocol_and_of_rising_n_way_by_n():
    rising = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], np.uint8)
    figures = summarise_classification({"rising-ways": rising, "verification": np.array([1, 0], np.uint8)})
    assert figures.keys() == {"rising-ways/2", "rising-ways/3", "verification"}
    assert figures["rising-ways/3"] == mean_of_hits(rising[1].astype(bool))
    assert (figures["verification"].value, figures["verification"].n) == (0.5, 2)


def test_one_value_leaves_its_interval_open():
    assert mean_of_values(np.array([0.25], np.float32)) == Figure(0.25, 0.0, 1.0, 1)
