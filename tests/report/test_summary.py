"""The summary that DVC shows: one value a network and level or benchmark."""

import json

from oneshot.published import read_facts
from oneshot.report.headlines import BENCHMARKS
from oneshot.report.rows import collect_rows
from oneshot.report.summary import summarise_networks
from tests.conftest import ROOT
from tests.report.fakes import classification_rows, segmentation_rows


def test_a_segmentation_network_has_both_test_sets_of_every_level() -> None:
    summary = summarise_networks(segmentation_rows())
    assert [*summary] == [
        "siamese_unet-4/004", "siamese_unet-joint/004", "siamese_unet-joint/032", "masknet-joint/004",
        "masknet-joint/032",
    ]  # fmt: skip
    assert summary["siamese_unet-4/004"] == {"iou_known": 0.75, "iou_one_shot": 0.75}


def test_a_classifier_has_the_benchmarks_of_the_readme_and_baselines_have_none() -> None:
    summary = summarise_networks(classification_rows())
    assert summary["own/mixed-20-way-1-shot"] == {"accuracy": 0.75}
    assert {place.partition("/")[2] for place in summary} <= {name.replace("/", "-") for name in BENCHMARKS}
    assert not any("cosine" in place for place in summary)
    assert "protonet/verification" not in summary


def test_the_summary_of_the_committed_metrics_fits_a_terminal() -> None:
    places: list[str] = []
    for task, facts in (("segmentation", "segmentation"), ("classification", "koch")):
        metrics = json.loads((ROOT / f"metrics/{task}.json").read_text())
        places += summarise_networks(collect_rows(task, read_facts(facts), metrics))
    assert len(places) <= 60
    assert sum(place.startswith("colour_matcher/") for place in places) == 7
