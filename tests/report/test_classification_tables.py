"""Tables of classification: whose figures stand in which column, and what is said where there are none."""

from typing import Any

import pytest

from oneshot.records.run import Run
from oneshot.report.classification_tables import write_classification
from tests.report.fakes import (
    KOCH,
    cells,
    class_run,
    classification,
    classification_rows,
    figure,
    find_table,
    lines_of,
    titles_of,
)


def render(*runs: Run, **changes: Any) -> list[str]:
    return write_classification(classification_rows(*runs, **changes), classification(**changes), KOCH)


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    return render(class_run("own", 0.9), class_run("own-koch_small", 0.8, "koch_small"))


def test_titles_say_what_a_table_reproduces(paragraphs: list[str]) -> None:
    titles = [text for text in paragraphs if text.startswith("### ")]
    assert [title.partition(" (`")[0] for title in titles] == [
        "### Koch et al., table 1: verification, same character or not",
        "### Koch et al., table 2: 20-way 1-shot within an alphabet",
        "### 20-way 1-shot, Lake's own 20 runs",
        "### Koch et al., table 3: 10-way 1-shot on MNIST",
        "### 5-way, characters mixed over alphabets",
        "### 20-way, characters mixed over alphabets",
        "### Drawers 12 / 4 / 4 of images_background: verification, known characters by other drawers",
        "### Trials that may select a network",
    ]


def test_table_1_has_the_papers_lines_and_a_column_for_every_base(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "table 1")
    assert titles_of(table) == [
        "method", "published, n = 10,000", "recorded, base koch, n = 400",
        "recorded, base koch_small, n = 400",
        "computed here, base koch_small, n = 10,000",
    ]  # fmt: skip
    affine = "siamese net, 30,000 pairs, affine x 8"
    assert lines_of(table)[:2] == ["siamese net, 30,000 pairs, no distortions", affine]
    assert lines_of(table)[-1] == "siamese net, own recipe"
    assert [*cells(table, affine).values()] == [affine, "91.90", "–", "–", "50.0 (48.8 to 52.5)"]


def test_table_2_has_published_methods_first_then_networks_and_baselines(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "table 2")
    lines = lines_of(table)
    assert lines[0] == "humans (published only)"
    assert lines.index("convolutional siamese net") < lines.index("siamese net, own recipe, base koch")
    assert lines[-1] == "prototypical network"
    assert titles_of(table)[-1] == "computed here, more trials, n = 10,000"
    cosine = cells(table, "1-nearest neighbour, cosine")
    assert (cosine["published, n = 400"], cosine["computed here, n = 400"]) == ("21.7", "21.8 (20.5 to 24.2)")


def test_lakes_runs_are_errors(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "Lake's own")
    assert cells(table, "people (published only)")["published, n = 400"] == "4.5"
    hausdorff = cells(table, "modified Hausdorff distance")
    assert [*hausdorff.values()][1:] == ["38.8", "–", "38.8 (36.2 to 40.0)"]


def test_shots_share_a_table(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "### 20-way, characters mixed")
    assert [title for title in titles_of(table) if "here" in title] == [
        "computed here, 1-shot, n = 20,000", "computed here, 5-shot, n = 20,000",
    ]  # fmt: skip


def test_what_was_not_computed_says_why() -> None:
    paragraphs = render(not_computed={"mnist": "MNIST could not be fetched"})
    table = find_table(paragraphs, "table 3")
    assert cells(table, "every method of this checkout")["computed here, n = 400"] == "not computed"
    assert any("*Not computed*: MNIST could not be fetched." in text for text in paragraphs)


def test_other_images_are_named_and_compare_with_nothing() -> None:
    network = {"own": {"recipe": "own", "figures": {"within-alphabet": figure(0.5)}}}
    protocols = {"within-alphabet": {"n_way": 5}}
    paragraphs = render(source="synthetic", networks=network, baselines={}, protocols=protocols)
    assert paragraphs[0] == "### 5-way 1-shot within an alphabet (`within-alphabet`), accuracy in %"
    assert lines_of(paragraphs[1]) == ["siamese net, own recipe"]
    assert paragraphs[-1].startswith("These are synthetic alphabets, not Omniglot")
    assert not any("ublished*" in text for text in paragraphs)
