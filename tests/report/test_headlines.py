"""The two headline tables of the README: what stands in which column, and what chose it."""

from typing import Any

from oneshot.records.run import Run
from oneshot.report.headlines import (
    head_classification,
    head_segmentation,
    lead_classification,
    lead_segmentation,
    write_lead,
)
from oneshot.report.rows import collect_rows
from tests.report.fakes import (
    KOCH,
    PUBLISHED,
    cells,
    class_network,
    class_run,
    classification,
    classification_rows,
    figure,
    lines_of,
    make_figures,
    means,
    scene_figures,
    scene_network,
    scene_run,
    segmentation,
    segmentation_rows,
    titles_of,
)


def with_matcher() -> dict[str, Any]:
    matcher = scene_network("colour_matcher", scene_figures((4, 32), answer=0.875, cosine=0.75))
    return segmentation()["networks"] | {"colour_matcher": matcher}


def test_the_table_of_segmentation_has_the_papers_networks_twice_and_the_colour_matcher() -> None:
    names = {"name": "colour_matcher-own", "network": "colour_matcher", "net": "colour_matcher"}
    recorded = scene_run("siamese_unet-joint-fast", (4, 32), 0.9).model_copy(update=names)
    text = head_segmentation(segmentation_rows(recorded, networks=with_matcher())).write()
    table, caption = text.split("\n\n")
    assert titles_of(table) == [
        "characters", "Siamese-U-Net (paper)", "MaskNet (paper)", "Siamese-U-Net (ours)", "MaskNet (ours)",
        "colour matcher",
    ]  # fmt: skip
    assert lines_of(table) == ["4", "8", "16", "32", "64", "128", "256"]
    four = cells(table, 4)
    assert four["Siamese-U-Net (paper)"] == "97.1"
    assert four["MaskNet (ours)"] == "50.0 (48.8 to 52.5)"
    assert four["colour matcher"] == "90.0 (88.8 to 92.5)"
    assert cells(table, 64)["colour matcher"] == "–"
    words = " ".join(caption.split())
    assert "MaskNet (ours): `masknet-joint` (trained here, n = 40)" in words
    assert "colour matcher: `colour_matcher-own`, 24 feature maps (recorded, n = 10,000)." in words


def test_what_has_seen_most_is_shown_however_good_it_is() -> None:
    runs = [
        scene_run("siamese_unet-4-fast", (4,), 0.875),
        scene_run("siamese_unet-8-fast", (8,), 0.875),
        scene_run("siamese_unet-joint-fast", (4, 32), 0.25, training={"n_seen": 10**9}),
        scene_run("siamese_unet-4-published", (4,), 0.5, "published"),
    ]
    text = head_segmentation(segmentation_rows(*runs)).write()
    assert cells(text.split("\n\n")[0], 4)["Siamese-U-Net (ours)"] == "25.0 (23.8 to 27.5)"
    words = " ".join(text.split())
    assert "(ours): at 4, 32 characters `siamese_unet-joint-fast`, " in words
    assert "; at 8 characters `siamese_unet-8-fast`, 24 feature maps (recorded, n = 10,000)" in words


def selected(name: str, value: float, selection: float, base: str | None = "koch") -> Run:
    """Make a run whose validation trials say something else than its tests."""
    run = class_run(name, value, base or "")
    return run.model_copy(update={"figures": run.figures | make_figures(means(selection, "selection"))})


def test_the_table_of_classification_has_few_lines_and_no_baseline() -> None:
    text = head_classification(classification_rows(selected("contrastive_koch", 0.9, 0.9))).write()
    table, caption = text.split("\n\n")
    assert lines_of(table) == [
        "one alphabet", "one alphabet, 10,000 trials", "Lake's 20 runs", "mixed alphabets", "Vinyals' split",
        "verification",
    ]  # fmt: skip
    assert cells(table, "Vinyals' split")["others, published"] == "prototypical 96.0, SNAIL 97.6"
    within = cells(table, "one alphabet")
    assert within["Koch's network, published"] == "92.0"
    assert within["others, published"] == "people 95.5, BPL 95.2"
    assert within["recorded"] == within["Koch's architecture, ours"] == "90.0 (88.8 to 92.5)"
    assert within["trained here"] == "87.5 (86.2 to 90.0)"
    assert cells(table, "verification")["Koch's network, published"] == "93.42"
    words = " ".join(caption.split())
    assert (
        "trained here: `protonet`, `pairs_30000_affine` (verification); recorded: `contrastive_koch`" in words
    )
    assert "Koch's architecture, ours: `contrastive_koch`" in words
    assert "ours over 400 / 400 or 10,000 / 400 / 20,000 / – / 10,000 trials or pairs" in words


def test_the_caption_names_the_run_of_several_of_one_network() -> None:
    longer = selected("contrastive", 0.9, 0.75, None).model_copy(update={"name": "contrastive-long"})
    text = head_classification(classification_rows(selected("contrastive", 0.5, 0.5, None), longer)).write()
    assert "; recorded: `contrastive-long`; ours over" in " ".join(text.split())


def test_trials_that_select_choose_the_network_and_never_the_figure_that_is_shown() -> None:
    runs = [selected("own", 0.9, 0.25), selected("contrastive", 0.5, 0.75, None)]
    table = head_classification(classification_rows(*runs)).write().split("\n\n")[0]
    assert cells(table, "one alphabet")["recorded"] == "50.0 (48.8 to 52.5)"
    worse = class_network(0.75) | {"figures": means(0.9, "within-alphabet") | means(0.1, "validation")}
    networks = classification()["networks"] | {"own": worse}
    table = head_classification(classification_rows(networks=networks)).write().split("\n\n")[0]
    assert cells(table, "one alphabet")["trained here"] == "87.5 (86.2 to 90.0)"


def test_a_benchmark_that_the_chosen_network_lacks_shows_the_next_one() -> None:
    table = head_classification(classification_rows()).write().split("\n\n")[0]
    assert cells(table, "verification")["trained here"] == "25.0 (23.8 to 27.5)"
    networks = classification()["networks"]
    networks["own"]["figures"]["verification/best-threshold"] = figure(0.625)
    table = head_classification(classification_rows(networks=networks)).write().split("\n\n")[0]
    assert cells(table, "verification")["trained here"] == "62.5 (61.2 to 65.0)"


def test_networks_that_trained_on_the_alphabets_that_select_are_left_out() -> None:
    run = class_run("contrastive_40", 0.875, "", recipe="contrastive_40")
    run = run.model_copy(
        update={"figures": {key: run.figures[key] for key in run.figures if key != "validation"}}
    )
    runs = [selected("contrastive", 0.5, 0.75, None), selected("own", 0.9, 0.25)]
    without, rows = classification_rows(*runs), classification_rows(*runs, run)
    assert {*rows[rows["run"] == "contrastive_40"]["variant"]} == {"with validation alphabets"}
    assert head_classification(rows).write() == head_classification(without).write()
    assert lead_classification(rows) == lead_classification(without) != ""


def test_the_lead_says_what_came_out_beside_the_best_published_figures() -> None:
    figures = scene_figures((4, 256), answer=0.875)
    matcher = scene_network("colour_matcher", figures)
    networks = segmentation()["networks"] | {"colour_matcher": matcher}
    scenes = segmentation_rows(networks=networks)
    less = scene_figures((4, 256), answer=0.5) | scene_figures(
        (4, 256), splits=("covered-one-shot",), answer=0.75
    )
    networks["colour_matcher-less"] = scene_network("colour_matcher", less, n_seen=7)
    alone = lead_segmentation(segmentation_rows(networks=networks), "laptop")
    assert alone.endswith("pixels, are 97.1 / 38.4 %")
    figures |= scene_figures((4, 256), n=200, splits=("covered-one-shot",), answer=0.25)
    covered = lead_segmentation(segmentation_rows(networks=networks), "laptop")
    assert covered.endswith(
        "where others may cover it, the IoU of what is visible is 25.0 / 25.0 % (n = 200)"
    )
    runs = [selected("own", 0.9, 0.25), selected("contrastive", 0.5, 0.75, None)]
    text = " ".join(write_lead(scenes, classification_rows(*runs), "laptop").split())
    assert (
        "trains (scale `laptop`) has an intersection over union (IoU) of 87.5 / 87.5 % in scenes of 4 / 256 "
        "characters (n = 1,000);"
    ) in text
    assert "pixels, are 97.1 / 38.4 %." in text
    assert "The recorded `contrastive` is right in 50.0 % of 10,000 trials within one alphabet" in text
    assert "400 trials: Koch's network 92.0, people 95.5, BPL 95.2), and in 50.0 % of the trials" in text
    assert "(published: Koch's network 92.0, people 95.5, BPL 96.7)." in text
    assert write_lead(segmentation_rows(), classification_rows(*runs), "laptop") == ""
    assert write_lead(scenes, classification_rows(), "laptop") == ""


def test_both_figures_of_the_lead_are_of_one_network() -> None:
    best = selected("contrastive", 0.5, 0.75, None)
    figures = {key: value for key, value in best.figures.items() if key != "all_runs"}
    runs = [selected("own", 0.9, 0.25), best.model_copy(update={"figures": figures})]
    text = lead_classification(classification_rows(*runs))
    assert "`own` is right in 90.0 % of 10,000 trials" in text
    assert "and in 90.0 % of the trials of Lake's 20 runs" in text


def test_what_nobody_has_gets_no_column() -> None:
    text = head_segmentation(collect_rows("segmentation", PUBLISHED, {})).write()
    assert titles_of(text)[-1] == "MaskNet (paper)"
    text = head_classification(collect_rows("classification", KOCH, {})).write()
    assert titles_of(text) == ["benchmark", "Koch's network, published", "others, published"]


def test_other_images_have_their_own_benchmarks_and_nothing_published() -> None:
    networks = {"own": {"recipe": "own", "figures": {"mixed-5-way-1-shot": figure(0.5)}}}
    table = head_classification(classification_rows(source="synthetic", networks=networks)).write()
    assert titles_of(table) == ["benchmark", "trained here"]
    assert cells(table, "`mixed-5-way-1-shot`")["trained here"] == "50.0 (48.8 to 52.5)"
    assert "20-way" not in table
