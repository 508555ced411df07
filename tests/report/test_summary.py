"""The summary that DVC shows: one value a network and level or benchmark."""

from oneshot.report.summary import summarise_networks
from tests.report.fakes import classification_rows, segmentation_rows


def test_a_segmentation_network_has_both_test_sets_of_every_level() -> None:
    summary = summarise_networks(segmentation_rows())
    assert [*summary] == [
        "siamese_unet-4/004", "siamese_unet-joint/004", "siamese_unet-joint/032", "masknet-joint/004",
        "masknet-joint/032",
    ]  # fmt: skip
    assert summary["siamese_unet-4/004"] == {"iou_known": 0.75, "iou_one_shot": 0.75}


def test_a_classifier_has_every_benchmark_but_rising_ways_and_baselines_have_none() -> None:
    summary = summarise_networks(classification_rows())
    assert summary["own/mixed-20-way-1-shot"] == {"accuracy": 0.75}
    assert not any("rising" in place or "cosine" in place for place in summary)
    assert "protonet/verification" not in summary
