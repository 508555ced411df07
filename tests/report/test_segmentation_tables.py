"""Tables of segmentation: whose figures stand in which line."""

import pytest

from oneshot.report.published_rows import DEFINITIONS, ORACLES, title_answer
from oneshot.report.rows import collect_rows
from oneshot.report.segmentation_tables import write_segmentation
from tests.report.fakes import (
    ORACLE_ANSWERS,
    PUBLISHED,
    column_of,
    find_table,
    lines_of,
    make_figures,
    rechecked_scenes,
    scene_figures,
    scene_network,
    scene_run,
    segmentation,
    segmentation_rows,
)


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    return write_segmentation(segmentation_rows(), PUBLISHED)


def test_every_way_of_obtaining_a_figure_has_a_line(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "Siamese-U-Net: IoU, one-shot")
    again = "recorded weights, evaluated here"
    assert lines_of(table) == [
        "published",
        "recorded: `siamese_unet-N-published`, 24 feature maps, n = 10,000",
        "recorded: `siamese_unet-N-fast`, 24 feature maps, n = 10,000",
        "recorded: `siamese_unet-N-fast`, 24 feature maps, stopped early, n = 10,000",
        f"{again}: `siamese_unet-N-published`, 24 feature maps, n = 250",
        f"{again}: `siamese_unet-N-fast`, 24 feature maps, n = 250",
        "every character marked, n = 1,000",
        "computed here: `siamese_unet-N`, n = 1,000",
        "computed here: `siamese_unet-joint`, n = 1,000",
    ]
    four = [*column_of(table, 4).values()]
    assert four[:2] + four[6:] == [
        "97.1", "50.0 (48.8 to 52.5)", "25.0 (23.8 to 27.5)", "75.0 (73.8 to 77.5)", "50.0 (48.8 to 52.5)",
    ]  # fmt: skip
    assert "DIFFERS: 50.0" in four[4]
    assert four[5].endswith("agrees")


def test_answers_from_fewer_proposals_have_lines_and_oracles_a_table_of_their_own(
    paragraphs: list[str],
) -> None:
    own = lines_of(find_table(paragraphs, "MaskNet: IoU, one-shot"))
    assert [title.partition("; ")[2] for title in own if ";" in title] == ["best 4 proposals, n = 40"]
    oracles = find_table(paragraphs, "by oracles: IoU in %, one-shot characters")
    assert [title.partition(",")[0] for title in lines_of(oracles)] == [
        "Siamese-U-Net", "MaskNet", "location given", "candidates given", "choice given",
    ]  # fmt: skip
    assert column_of(oracles, 32)["Siamese-U-Net, n = 1,000"] == "50.0 (48.8 to 52.5)"
    assert any("*Choice given*" in text for text in paragraphs)


def test_same_class_distractors_split_the_figures_and_are_counted(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "same-class distractor, one-shot")
    found = column_of(table, 4)
    assert found["scenes with one"] == "25.0"
    assert found["computed here: `siamese_unet-joint`: with"] == "25.0 (23.8 to 27.5)"
    assert found["computed here: `siamese_unet-joint`: without"] == "50.0 (48.8 to 52.5)"


def test_localisation_has_tables_and_published_words_their_source(paragraphs: list[str]) -> None:
    table = find_table(paragraphs, "Siamese-U-Net: localisation, known")
    assert column_of(table, 4)["computed here: `siamese_unet-N`, n = 1,000"] == "18.8 (17.5 to 21.2)"
    assert any("a paper; nothing else was found" in text for text in paragraphs)
    assert any("*Agrees*" in text for text in paragraphs)


def test_a_new_kind_of_network_goes_by_its_own_name() -> None:
    networks = {"matcher": scene_network("matcher", scene_figures((4, 8), answer=0.5))}
    paragraphs = write_segmentation(segmentation_rows(networks=networks), PUBLISHED)
    table = find_table(paragraphs, "matcher: IoU, known")
    assert column_of(table, 8)["computed here: `matcher`, n = 1,000"] == "50.0 (48.8 to 52.5)"


MATCHER_ANSWERS = {
    "answer": 0.875, "cosine": 0.75, "own_number": 0.25, "largest_colour": 0.125, "every_character": 0.1,
}  # fmt: skip


def test_a_colour_matcher_has_a_table_of_what_it_lives_on() -> None:
    variant = scene_network("colour_matcher_without_others", scene_figures((4, 32), answer=0.625), n_seen=70)
    networks = segmentation()["networks"] | {
        "colour_matcher": scene_network("colour_matcher", scene_figures((4, 32), **MATCHER_ANSWERS)),
        "colour_matcher_without_others": variant,
    }
    paragraphs = write_segmentation(segmentation_rows(networks=networks), PUBLISHED)
    table = find_table(paragraphs, "Ablation of the colour matcher: IoU in %, one-shot characters")
    assert lines_of(table) == [
        "whole, 5,000 scenes, n = 1,000", "cosine alone, n = 1,000",
        "own number alone, n = 1,000", "largest colour, n = 1,000", "every character, n = 1,000",
        "without other characters' channel, 70 scenes, n = 1,000",
        "MaskNet, candidates given, computed here: `masknet-joint`, n = 40",
    ]  # fmt: skip
    assert [value.partition(" ")[0] for value in column_of(table, 32).values()] == [
        "87.5", "75.0", "25.0", "12.5", "10.0", "62.5", "62.5",
    ]  # fmt: skip
    own = lines_of(find_table(paragraphs, "### colour matcher: IoU, one-shot"))
    assert own == ["computed here: `colour_matcher`, n = 1,000"]
    assert not any("without_others: IoU" in text for text in paragraphs)


def test_covered_targets_stand_beside_uncovered_ones_of_the_networks_that_have_both() -> None:
    networks = segmentation()["networks"]
    covered = scene_figures((4, 32), 900, ("covered-one-shot", "covered-train"), answer=0.25)
    networks["siamese_unet-joint"]["figures"] |= covered
    paragraphs = write_segmentation(segmentation_rows(networks=networks), PUBLISHED)
    table = find_table(paragraphs, "Covered targets: IoU in %, one-shot characters")
    assert lines_of(table) == [
        "computed here: `siamese_unet-joint`: never covered, n = 1,000",
        "computed here: `siamese_unet-joint`: covered, n = 900",
    ]  # fmt: skip
    assert [*column_of(table, 4).values()] == ["50.0 (48.8 to 52.5)", "25.0 (23.8 to 27.5)"]


@pytest.mark.parametrize("recorded", [False, True])
def test_of_a_record_without_covered_targets_the_rechecked_weights_are_shown(recorded: bool) -> None:
    covered = scene_figures((4,), 90, ("covered-one-shot", "covered-train"), answer=0.25)
    run = scene_run("siamese_unet-4-fast", (4,), 0.875)
    if recorded:
        run = run.model_copy(update={"figures": run.figures | make_figures(covered)})
    rechecked = rechecked_scenes()
    rechecked["networks"]["siamese_unet-4-fast"]["figures"] |= covered
    rows = collect_rows("segmentation", PUBLISHED, segmentation(), rechecked, [run])
    table = find_table(write_segmentation(rows, PUBLISHED), "Covered targets: IoU in %, one-shot characters")
    kind = "recorded" if recorded else "recorded weights, evaluated here"
    (never, covered_title) = lines_of(table)
    assert never.startswith(f"{kind}: `siamese_unet-N-fast`, 24 feature maps: never covered")
    assert column_of(table, 4)[covered_title] == "25.0 (23.8 to 27.5)"


def test_what_covered_targets_are_is_explained() -> None:
    networks = segmentation()["networks"]
    networks["masknet-joint"]["figures"] |= scene_figures((4,), 90, ("covered-train",), answer=0.25)
    paragraphs = write_segmentation(segmentation_rows(networks=networks), PUBLISHED)
    assert any("visible pixels" in text for text in paragraphs)


def test_an_answer_snapped_to_colours_has_a_line_beside_the_networks_own(paragraphs: list[str]) -> None:
    networks = segmentation()["networks"]
    figures = scene_figures((4, 32), answer=0.5, snapped=0.75)
    networks["siamese_unet-joint"] = scene_network("siamese_unet", figures)
    found = write_segmentation(segmentation_rows(networks=networks), PUBLISHED)
    four = column_of(find_table(found, "Siamese-U-Net: IoU, one-shot"), 4)
    assert four["computed here: `siamese_unet-joint`, n = 1,000"] == "50.0 (48.8 to 52.5)"
    assert four["computed here: `siamese_unet-joint`; snapped to colours, n = 1,000"] == "75.0 (73.8 to 77.5)"
    for missing in ("Snapped to colours", "Ablation", "Covered targets"):
        assert not any(missing in text for text in paragraphs)


def test_answers_are_named_and_explained() -> None:
    assert [title_answer(name) for name in ("answer", "top_1", "top_16", "choice_given")] == [
        "", "best proposal alone", "best 16 proposals", "choice given",
    ]  # fmt: skip
    assert set(DEFINITIONS) == set(ORACLES) == set(ORACLE_ANSWERS) - {"answer", "top_4"}
