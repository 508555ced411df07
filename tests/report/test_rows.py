"""Rows: every figure one row, whatever its task and however it was obtained."""

import pytest

from oneshot.records.run import Run
from oneshot.report.rows import choose, collect_rows, name_group, sort_runs, split_key, starts_elsewhere
from tests.fake_runs import fake_training
from tests.report.fakes import (
    KOCH,
    PUBLISHED,
    class_run,
    classification,
    classification_rows,
    scene_run,
    segmentation,
    segmentation_rows,
    small_runs,
)


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("4/answer/test-train/iou", {"clutter_level": 4, "answer": "answer", "subset": "all"}),
        ("256/test-one-shot/iou", {"clutter_level": 256, "answer": None, "split": "test-one-shot"}),
        ("8/top_4/test-train/localisation/with_same_class",
         {"answer": "top_4", "metric": "localisation", "subset": "with_same_class"}),
        ("4/snapped/covered-one-shot/iou", {"answer": "snapped", "split": "covered-one-shot"}),
        ("all_runs", {"benchmark": "all_runs", "metric": "accuracy"}),
        ("rising-ways-training/20", {"benchmark": "rising-ways-training", "n_way": 20}),
        ("background-verification/test", {"benchmark": "background-verification/test"}),
    ],
)  # fmt: skip
def test_a_key_says_what_a_figure_is_of(key: str, parts: dict[str, object]) -> None:
    assert parts.items() <= split_key(key).items()


def test_every_figure_has_one_row_published_ones_first() -> None:
    metrics = segmentation()
    rows = segmentation_rows()
    assert [*dict.fromkeys(rows["kind"])] == ["published", "recorded", "rechecked", "here"]
    assert len(choose(rows, kind="published")) == 3
    assert len(choose(rows, kind="recorded")) == sum(len(run.figures) for run in small_runs())
    n_here = sum(len(one["figures"]) for one in [*metrics["networks"].values(), metrics["all_ink"]])
    assert len(choose(rows, kind="here")) == n_here
    (row,) = choose(rows, kind="published", net="siamese_unet", clutter_level=256).to_dict("records")
    assert (row["value"], row["split"], row["answer"]) == (0.384, "test-one-shot", "answer")


def test_agreement_stands_beside_the_figure_that_was_compared() -> None:
    found = choose(segmentation_rows(), kind="rechecked")
    compared = found[found["agreement_agrees"].notna()]
    assert [*compared["run"]] == ["siamese_unet-4-published", "siamese_unet-4-fast"]
    assert [*compared["agreement_agrees"]] == [False, True]
    assert set(compared["metric"] + compared["subset"]) == {"iouall"}


def test_published_errors_are_accuracies_and_known_methods_stand_in_our_rows() -> None:
    rows = choose(classification_rows(), kind="published")
    lake = choose(rows, benchmark="all_runs").set_index("title")["value"]
    assert lake["people"] == pytest.approx(0.955)
    assert choose(rows, benchmark="all_runs", network="hausdorff")["value"].tolist() == [pytest.approx(0.612)]
    assert set(choose(rows, published_only=True)["title"]) >= {"humans", "MAML"}
    assert not choose(rows, title="convolutional siamese net")["published_only"].any()
    assert choose(rows, benchmark="verification/best-threshold")["network"].str.startswith("pairs_").all()


def test_other_images_compare_with_nothing_published_or_recorded() -> None:
    runs = [class_run("own", 0.9)]
    metrics = classification(source="synthetic", not_computed={"mnist": "no network"})
    rows = collect_rows("classification", KOCH, metrics, {"networks": {}}, runs)
    assert set(rows["kind"]) == {"here"}
    assert choose(rows, benchmark="mnist")["not_computed"].dropna().tolist() == ["no network"]


def test_runs_are_in_order_and_say_what_sets_them_apart() -> None:
    assert [run.name for run in sort_runs(small_runs())] == [
        "siamese_unet-4-published", "siamese_unet-4-fast", "siamese_unet-4-fast-seed-7",
        "siamese_unet-32-fast",
    ]  # fmt: skip
    rows = choose(segmentation_rows(), kind="recorded").drop_duplicates("run").set_index("run")
    assert (
        rows.loc["siamese_unet-32-fast", "title"] == "`siamese_unet-N-fast`, 24 feature maps, stopped early"
    )
    assert rows.loc["siamese_unet-4-fast", "title"] == "`siamese_unet-N-fast`, 24 feature maps"
    assert [*rows.index[rows["further"]]] == ["siamese_unet-4-fast-seed-7"]
    dirty = scene_run("siamese_unet-joint-fast", (4, 8), 0.5, git_revision="0123456-dirty")
    (title,) = set(choose(segmentation_rows(dirty), kind="recorded")["title"])
    assert title == "`siamese_unet-joint-fast`, 24 feature maps, changed code"
    assert name_group("masknet-32", (32,)) == "masknet-N"


def test_a_masknet_starts_from_the_released_network_of_its_recipe_and_level() -> None:
    def start(sha256: str) -> Run:
        from_file = {"file": "weights", "sha256": sha256 * 64, "n_seen": 1000}
        return scene_run("masknet-4-fast", (4,), 0.5, start_from=from_file)

    assert not starts_elsewhere(start("0"), small_runs())
    assert starts_elsewhere(start("1"), small_runs())
    assert not starts_elsewhere(small_runs()[0], small_runs())


def test_a_classifier_says_what_it_is_built_on() -> None:
    small = class_run("own-koch_small", 0.5, "koch_small", trainings=[fake_training("episodes", n_steps=5)])
    rows = choose(classification_rows(class_run("own", 0.9), small), kind="recorded").drop_duplicates("run")
    assert [*rows["variant"]] == ["base koch", "base koch_small, stopped early"]
    assert set(rows["title"]) == {"siamese net, own recipe"}
    named = choose(classification_rows(class_run("own-longer", 0.9)), kind="recorded")
    assert set(named["variant"]) == {"base koch, `own-longer`"}


def test_without_anything_computed_the_published_rows_are_there() -> None:
    assert set(collect_rows("segmentation", PUBLISHED, {})["kind"]) == {"published"}
