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
        "### 5-way, within an alphabet, by any drawers",
        "### 20-way, within an alphabet, by any drawers",
        "### 5-way, characters mixed over alphabets",
        "### 20-way, characters mixed over alphabets",
        "### 5-way, turned characters of the split of Vinyals et al. 2016",
        "### 20-way, turned characters of the split of Vinyals et al. 2016",
        "### Drawers 12 / 4 / 4 of images_background: verification, known characters by other drawers",
        "### Trials that may select a network",
    ]


def test_table_1_has_the_papers_lines_and_a_column_for_every_base(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "table 1")
    best, half = "at the threshold best on validation pairs", "at a probability of 1/2"
    assert titles_of(table) == [
        "method", f"published, {best}, n = 10,000", f"recorded, base koch, {half}, n = 400",
        f"recorded, base koch_small, {half}, n = 400",
        f"computed here, base koch_small, {best}, n = 10,000",
        f"computed here, base koch_small, {half}, n = 10,000",
    ]  # fmt: skip
    affine = "siamese net, 30,000 pairs, affine x 8"
    assert lines_of(table)[:2] == ["siamese net, 30,000 pairs, no distortions", affine]
    assert lines_of(table)[-1] == "siamese net, own recipe"
    ours = ["25.0 (23.8 to 27.5)", "50.0 (48.8 to 52.5)"]
    assert [*cells(table, affine).values()] == [affine, "91.90", "–", "–", *ours]


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


def test_figures_read_elsewhere_than_in_their_publication_are_marked(paragraphs: list[str]) -> None:
    lake = find_table(paragraphs, "Lake's own")
    column = cells(lake, "recursive cortical network (published only) (second-hand)")
    assert column["published, n = 400"] == "7.3"
    assert cells(lake, "prototypical networks (second-hand)")["published, n = 400"] == "13.7"
    (notes,) = (text for text in paragraphs if "(recursive cortical network, prototypical networks)" in text)
    assert "*Second-hand*" in notes
    within = find_table(paragraphs, "### 20-way, within an alphabet, by any drawers")
    assert [*cells(within, "siamese net with cosine").values()][1:] == ["75.8", "87.2"]
    assert not any("Second-hand" in text for text in paragraphs if "table 2" in text)


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
