"""What is known of classification, row by row: from which source, as which metric, in whose row."""

from typing import Any

import pandas as pd
import pytest

from oneshot.published import read_facts
from oneshot.report.classification_rows import FIELDS, NET_TITLES, collect_classification
from tests.fake_classification import (
    MIXED,
    PROTOCOLS,
    REASON,
    TRIALS,
    agreement,
    fake_net,
    fake_run,
    mean,
    means,
    small_baselines,
    small_records,
    small_reevaluated,
    small_trained,
)

PUBLISHED = read_facts("koch")
# Table 1, table 2, Lake's runs, table 3, mixed characters, 12 / 4 / 4 drawers, the tutorial.
N_PUBLISHED = 6 + 9 + 6 + 2 + 5 + 1 + 1


@pytest.fixture
def results() -> pd.DataFrame:
    return collect_classification(
        PUBLISHED, small_baselines(), small_trained(), small_records(), small_reevaluated()
    )


def find(results: pd.DataFrame, **values: Any) -> pd.DataFrame:
    for field, value in values.items():
        results = results[results[field].eq(value)]
    return results


def find_one(results: pd.DataFrame, **values: Any) -> pd.Series:
    found = find(results, **values)
    assert len(found) == 1, found
    return found.iloc[0]


def test_there_is_a_row_for_every_value_and_every_published_cell(results: pd.DataFrame) -> None:
    n_protocols = len(TRIALS | MIXED)
    a_siamese, a_protonet = n_protocols + 2, n_protocols + 1  # verification, validation; validation alone
    assert results["kind"].value_counts().to_dict() == {
        "published": N_PUBLISHED,
        "recorded": 4 * a_siamese + a_protonet,
        "released": 3 + 2 + 1,
        "here": 3 * a_siamese + 2 + a_protonet + 2 * n_protocols + 1,
    }
    assert list(results.columns) == list(FIELDS)


def test_without_anything_of_ours_the_published_rows_are_there() -> None:
    results = collect_classification(PUBLISHED, {}, {})
    assert set(results["kind"]) == {"published"}
    assert len(results) == N_PUBLISHED
    assert results["percent"].notna().all()


@pytest.mark.parametrize(
    ("protocol", "metric", "title", "percent", "published_only"),
    [
        ("verification", "verification", f"{NET_TITLES['pairs_150000_affine']}, base koch", 93.42, None),
        ("within-alphabet", "accuracy", "humans", 95.5, True),
        ("within-alphabet", "accuracy", "1-nearest neighbour, cosine", 21.7, False),
        ("within-alphabet", "accuracy", "convolutional siamese net", 92.0, False),
        ("all_runs", "error", "people", 4.5, True),
        ("all_runs", "error", "Bayesian program learning", 3.3, True),
        ("all_runs", "error", "Koch's network", 8.0, False),
        ("all_runs", "error", "deep convnet", 13.5, True),
        ("all_runs", "error", "hierarchical deep", 34.8, True),
        ("all_runs", "error", "modified Hausdorff distance", 38.8, False),
        ("mnist", "accuracy", "1-nearest neighbour", 26.5, False),
        ("mixed-20-way-1-shot", "accuracy", "Koch re-implemented", 88.2, False),
        ("mixed-20-way-1-shot", "accuracy", "matching networks", 93.8, True),
        ("mixed-20-way-1-shot", "accuracy", "MAML", 95.8, True),
        ("mixed-20-way-1-shot", "accuracy", "prototypical networks", 96.0, False),
        ("mixed-20-way-1-shot", "accuracy", "SNAIL", 97.6, True),
        ("background-validation", "verification", "a PyTorch re-implementation", 91.2, False),
        ("rising-ways", "accuracy", "a tutorial's network", 83, False),
    ],
)
def test_published_figures_have_a_protocol_a_metric_a_source_and_say_whether_anybody_computes_them(
    protocol: str, metric: str, title: str, percent: float, published_only: bool | None
) -> None:
    results = collect_classification(PUBLISHED, {}, {})
    row = find_one(results, protocol=protocol, title=title)
    assert (row["metric"], row["percent"]) == (metric, percent)
    assert row["published_only"] == published_only or (
        published_only is None and pd.isna(row["published_only"])
    )
    assert row["source"]


def test_accuracies_become_percents_and_those_on_lakes_runs_errors(results: pd.DataFrame) -> None:
    row = find_one(results, kind="recorded", run="own", protocol="within-alphabet-10000")
    assert (row["metric"], row["n"]) == ("accuracy", 10_000)
    assert tuple(row[["percent", "low", "high"]]) == pytest.approx((91, 89, 92))
    row = find_one(results, kind="here", scorer="cosine", protocol="all_runs")
    assert row["metric"] == "error"
    assert tuple(row[["percent", "low", "high"]]) == pytest.approx((78.25, 77.25, 80.25))
    row = find_one(results, kind="released", run="own", protocol="all_runs")
    assert row["agreement_recorded_percent"] == pytest.approx(9)


def test_a_figure_that_lies_between_two_roundings_is_rounded_as_published(results: pd.DataFrame) -> None:
    row = find_one(results, kind="here", scorer="hausdorff", protocol="all_runs")
    assert f"{row['percent']:.1f}" == "38.8"


def test_networks_have_rows_by_base_and_say_what_they_learned_from(results: pd.DataFrame) -> None:
    own = find(results, scorer="own", protocol="within-alphabet")
    assert own[own["kind"].eq("recorded")]["title"].tolist() == [
        "siamese net, own recipe, base koch", "siamese net, own recipe, base koch",
        "siamese net, own recipe, base koch_small",
    ]  # fmt: skip
    row = find_one(results, kind="here", scorer="pairs_30000_affine", protocol="mnist")
    assert row["title"] == "siamese net, 30,000 pairs, affine x 8, base koch_small"
    assert row[["recipe", "n_pairs", "n_copies", "n_seen", "seed"]].tolist() == [
        "published", 30_000, 8, 40_000, 1803
    ]  # fmt: skip
    assert set(find(results, scorer="protonet")["title"]) == {"prototypical network"}


def test_pairs_are_verification_in_a_protocol_for_each_of_their_sets(results: pd.DataFrame) -> None:
    background = find(results, scorer="background", metric="verification")
    assert dict(zip(background["protocol"], background["percent"], strict=True)) == pytest.approx(
        {"verification": 61, "background-validation": 60, "background-test": 60}
    )
    assert find(results, scorer="protonet", metric="verification").empty


def test_further_seeds_are_marked_and_stand_behind_the_usual_one(results: pd.DataFrame) -> None:
    recorded = find(results, kind="recorded")
    assert set(recorded[recorded["further_seed"].eq(True)]["run"]) == {"own-seed-1"}
    assert list(dict.fromkeys(recorded["run"])) == [
        "pairs_150000_affine", "own", "own-seed-1", "own-koch_small", "protonet"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_steps": 5}, ", cut short"),
        ({"n_steps": 5, "stopped_early": True}, ""),
        ({"git_revision": "0123-dirty"}, ", changed code"),
        ({"n_steps": 5, "git_revision": "0123-dirty"}, ", cut short, changed code"),
    ],
)
def test_runs_obtained_in_another_way_have_another_row(changes: dict[str, Any], words: str) -> None:
    results = collect_classification(PUBLISHED, {}, {}, [fake_run("own", 0.9, **changes)])
    titles = set(find(results, kind="recorded")["title"])
    assert titles == {f"siamese net, own recipe, base koch{words}"}


def test_released_weights_stand_beside_their_record_and_without_it_are_no_results(
    results: pd.DataFrame,
) -> None:
    released = find(results, kind="released")
    assert set(released["run"]) == {"own", "own-koch_small", "protonet"}
    row = find_one(released, run="own-koch_small", protocol="within-alphabet")
    assert row["title"] == "siamese net, own recipe, base koch_small"
    assert (row["agreement_agrees"], row["agreement_share_of_equal_answers"]) == (False, 0.75)
    assert find(released, run="protonet")["agreement_agrees"].isna().all()
    results = collect_classification(PUBLISHED, {}, {}, [], small_reevaluated())
    assert set(results["kind"]) == {"published"}


def test_a_released_network_may_have_been_evaluated_on_trials_alone_or_on_pairs_alone() -> None:
    verification = mean(0.9, 500, agreement=agreement(0.9, True))
    nets = {
        "own": {"verification": verification, "accuracy": {}},
        "protonet": {"accuracy": means(0.9, "mnist")},
    }
    results = collect_classification(PUBLISHED, {}, {}, small_records(), small_reevaluated(nets))
    released = find(results, kind="released")
    assert list(zip(released["run"], released["protocol"], strict=True)) == [
        ("own", "verification"), ("protonet", "mnist")
    ]  # fmt: skip


def test_what_could_not_be_computed_is_a_row_with_its_reason_once() -> None:
    missing = {"mnist": REASON}
    trained = small_trained(scorers={"own": fake_net("own", 0.8, accuracy=means(0.8, "within-alphabet"))})
    results = collect_classification(
        PUBLISHED, small_baselines(scorers={}, not_computed=missing), trained | {"not_computed": missing}
    )
    row = find_one(results, kind="here", protocol="mnist")
    assert (row["not_computed"], row["n_way"]) == (REASON, 10)
    assert pd.isna(row["percent"])


def test_ways_and_shots_come_from_the_metrics_then_from_the_protocols_name() -> None:
    protocols = {**PROTOCOLS, "within-alphabet": {"n_way": 7, "n_shot": 1}}
    scorers = {"guess": {"accuracy": means(0.1, "within-alphabet", "mixed-5-way-5-shot", "all_runs")}}
    results = collect_classification(PUBLISHED, small_baselines(protocols=protocols, scorers=scorers), {})
    here = find(results, kind="here").set_index("protocol")[["n_way", "n_shot"]]
    assert here.T.to_dict("list") == {
        "within-alphabet": [7, 1], "mixed-5-way-5-shot": [5, 5], "all_runs": [20, 1]
    }  # fmt: skip


@pytest.mark.parametrize("source", ["synthetic", "own images"])
def test_beside_other_images_nothing_published_or_recorded_is_listed(source: str) -> None:
    metrics = (small_baselines(source=source), small_trained(source=source))
    for baselines, trained in (metrics, ({}, metrics[1])):
        results = collect_classification(PUBLISHED, baselines, trained, small_records(), small_reevaluated())
        assert set(results["kind"]) == {"released", "here"}


def test_networks_that_are_missing_are_no_rows() -> None:
    results = collect_classification(PUBLISHED, small_baselines(), small_trained(scorers={}))
    assert set(find(results, kind="here")["scorer"]) == {"cosine", "hausdorff", "guess"}
