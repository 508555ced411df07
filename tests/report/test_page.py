"""Pages: docs/results.md, and blocks between comments."""

import pytest

from oneshot.report.page import PageError, replace_block, write_results


def test_the_page_of_results_says_where_its_figures_are_from() -> None:
    about = {"scale": "smoke", "synthetic": True}
    text = write_results(["seg"], ["class"], ["runs"], "*caption*", about)
    assert "at scale `smoke`, on synthetic alphabets" in text
    places = [text.index(f"\n{part}\n") for part in ("*caption*", "seg", "class", "runs")]
    assert places == sorted(places)


def test_a_block_is_replaced_and_the_rest_kept() -> None:
    text = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n"
    assert replace_block(text, "x", "new\n") == "before\n<!-- x -->\nnew\n<!-- /x -->\nafter\n"


@pytest.mark.parametrize(
    "text", ["", "<!-- x -->", "<!-- /x --><!-- x -->", "<!-- x --><!-- x --><!-- /x -->"]
)
def test_a_text_without_the_block_is_refused(text: str) -> None:
    with pytest.raises(PageError, match="no block between <!-- x --> and <!-- /x -->"):
        replace_block(text, "x", "new")
