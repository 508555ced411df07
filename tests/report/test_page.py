"""Pages: the two headline tables of the README, docs/results.md, and blocks between comments."""

import pytest

from oneshot.report.page import head_classification, head_segmentation, replace_block, write_results
from oneshot.report.rows import collect_rows
from tests.report.fakes import (
    KOCH,
    PUBLISHED,
    cells,
    class_run,
    classification_rows,
    figure,
    lines_of,
    segmentation_rows,
    titles_of,
)


def test_the_table_of_segmentation_has_published_figures_and_our_best() -> None:
    text = head_segmentation(segmentation_rows())
    table, caption = text.split("\n\n")
    assert titles_of(table) == [
        "characters", "Siamese-U-Net, published", "MaskNet, published", "recorded, best",
        "trained here, best",
    ]  # fmt: skip
    assert lines_of(table) == ["4", "8", "16", "32", "64", "128", "256"]
    four = cells(table, 4)
    assert four["Siamese-U-Net, published"] == "97.1"
    assert four["recorded, best"] == "87.5 (86.2 to 90.0) `siamese_unet-4`"
    assert four["trained here, best"] == "75.0 (73.8 to 77.5) `siamese_unet-4`"
    assert "recorded over n = 10,000" in caption
    assert max(map(len, text.splitlines())) <= 120


def test_the_table_of_classification_has_few_lines_and_no_baseline() -> None:
    text = head_classification(classification_rows(class_run("pairs_150000_affine", 0.9)))
    table, caption = text.split("\n\n")
    assert "over 400 / 400 / 20,000 / 400 or 10,000 trials or pairs" in caption
    assert len(lines_of(table)) == 4
    within = cells(table, "20-way 1-shot, one alphabet")
    assert within["Koch's network, published"] == "92.0"
    assert within["others, published"] == "people 95.5, BPL 95.2"
    assert within["recorded, best"] == "90.0 (88.8 to 92.5)"
    assert within["trained here, best"] == "87.5 (86.2 to 90.0)"
    assert "`protonet`" in head_classification(classification_rows())
    assert max(map(len, text.splitlines())) <= 120


def test_what_nobody_has_gets_no_column() -> None:
    text = head_segmentation(collect_rows("segmentation", PUBLISHED, {}))
    assert titles_of(text)[-1] == "MaskNet, published"
    text = head_classification(collect_rows("classification", KOCH, {}))
    assert titles_of(text) == ["benchmark", "Koch's network, published", "others, published"]


def test_other_images_have_their_own_benchmarks_and_nothing_published() -> None:
    networks = {"own": {"recipe": "own", "figures": {"mixed-5-way-1-shot": figure(0.5)}}}
    table = head_classification(classification_rows(source="synthetic", networks=networks))
    assert titles_of(table) == ["benchmark", "trained here, best"]
    assert cells(table, "`mixed-5-way-1-shot`")["trained here, best"] == "50.0 (48.8 to 52.5) `own`"


def test_the_page_of_results_says_where_its_figures_are_from() -> None:
    about = {"scale": "smoke", "synthetic": True}
    text = write_results(["seg"], ["class"], ["runs"], "*caption*", about)
    assert "at scale `smoke`, on synthetic alphabets" in text
    assert [text.index(part) for part in ("runs", "*caption*", "seg", "class")]
    assert text.endswith("class\n")


def test_a_block_is_replaced_and_the_rest_kept() -> None:
    text = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n"
    assert replace_block(text, "x", "new\n") == "before\n<!-- x -->\nnew\n<!-- /x -->\nafter\n"


@pytest.mark.parametrize(
    "text", ["", "<!-- x -->", "<!-- /x --><!-- x -->", "<!-- x --><!-- x --><!-- /x -->"]
)
def test_a_text_without_the_block_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no block between <!-- x --> and <!-- /x -->"):
        replace_block(text, "x", "new")
