"""Recorded runs and networks trained here: what they cost, what they learned from, what was confirmed."""

from oneshot.records.run import Run
from oneshot.report.rows import choose
from oneshot.report.runs import NO_RUNS, collect_runs, write_ablation, write_runs, write_trained
from tests.fake_runs import fake_classification_run
from tests.report.fakes import (
    agreement,
    cells,
    class_run,
    classification_rows,
    find_table,
    lines_of,
    make_figures,
    means,
    rechecked_scenes,
    scene_run,
    segmentation_rows,
    small_runs,
    titles_of,
)


def test_a_run_says_what_it_cost_and_whether_it_was_confirmed() -> None:
    paragraphs = write_runs(collect_runs(small_runs(), rechecked_scenes()))
    table = find_table(paragraphs, "Recorded runs")
    found = cells(table, "`siamese_unet-4-fast`")
    assert found["recipe, size"] == "fast, 24 feature maps, 3,223,922 parameters"
    assert found["minutes of training (in all)"] == "25.0 (27.5)"
    assert (found["waiting"], found["seen"], found["complete"]) == ("1.0 %", "4,000,000", "yes")
    assert found["recorded"] == "87.5 (86.2 to 90.0)"
    assert found["figure"] == "`4/answer/test-one-shot/iou`, n = 10,000"
    assert (found["precision, points lost"], found["Git revision"]) == ("float16, –", "`0123456789`")
    assert found["rechecked here"] == "agrees"
    differs = cells(table, "`siamese_unet-4-published`")["rechecked here"]
    assert differs == "DIFFERS on `4/answer/test-one-shot/iou`"
    short = cells(table, "`siamese_unet-32-fast`")
    assert (short["complete"], short["rechecked here"]) == ("no", "not evaluated")


def test_a_classifier_shows_its_most_trials_and_several_gpus_are_counted() -> None:
    weights = {"sha256": "0" * 64, "precision": "int8", "lost_points": {"validation": -0.5, "all_runs": 0.25}}
    runs = [class_run("own", 0.5, n_processes=8, weights=weights)]
    rechecked = {"networks": {"own": {"figures": {}, "agreement": {"all_runs": agreement(True, 0.5)}}}}
    found = cells(find_table(write_runs(collect_runs(runs, rechecked)), "Recorded"), "`own`")
    assert found["figure"] == "`within-alphabet-10000`, n = 400"
    assert (found["device"], found["rechecked here"]) == ("8 x a GPU", "agrees")
    assert found["precision, points lost"] == "int8, 0.25"


def test_a_run_that_nothing_could_be_compared_with_says_so() -> None:
    start = {"file": "x", "sha256": "1" * 64, "n_seen": 1000}
    runs = [scene_run("siamese_unet-4-fast", (4,), 0.5, start_from=start)]
    table = find_table(write_runs(collect_runs(runs, {"networks": {"siamese_unet-4-fast": {}}})), "Recorded")
    found = cells(table, "`siamese_unet-4-fast`")
    assert found["rechecked here"] == "not comparable"
    assert found["seen"] == "4,000,000, after 1,000 of another run"


def test_without_runs_there_is_a_sentence() -> None:
    assert write_runs(collect_runs([], {})) == [NO_RUNS]


def test_an_ablation_shows_the_settings_that_differ_and_the_trials_that_select() -> None:
    def recorded(name: str, accuracy: float, **settings: object) -> Run:
        figures = make_figures(means(accuracy, "selection", "validation"))
        common = {"base": None, "n_way": 96, "distorted": True}
        return fake_classification_run(
            "contrastive", "cosine_net", name=name, recipe="contrastive", figures=figures,
            settings=common | settings, scores={},
        )  # fmt: skip

    runs = [
        recorded("contrastive-short-plain", 0.5, distorted=False),
        recorded("contrastive", 0.75),
        recorded("contrastive-short-bare", 0.625, normalised=False),
        class_run("own", 0.9),
    ]
    paragraphs = write_ablation(runs)
    table = find_table(paragraphs, "Ablation of recipe contrastive")
    assert titles_of(table) == [
        "run", "distorted", "normalised", "seed", "episodes seen", "minutes of training", "accuracy in %",
    ]  # fmt: skip
    assert lines_of(table) == [
        "`contrastive`", "`contrastive-short-bare`", "`contrastive-short-plain`",
    ]  # fmt: skip
    assert [*cells(table, "`contrastive-short-bare`").values()][1:] == [
        "True", "False", "1803", "20,000", "25.0", "62.5 (61.2 to 65.0)",
    ]  # fmt: skip
    assert "`selection`, n = 400" in paragraphs[0]
    assert write_ablation(runs[1:2]) == []
    rows = choose(classification_rows(*runs), kind="recorded", benchmark="selection")
    assert choose(rows, further=False)["run"].tolist() == ["contrastive"]


def test_networks_trained_here_say_what_they_learned_from() -> None:
    table = find_table(write_trained(segmentation_rows()), "Networks trained here")
    assert cells(table, "`masknet-joint`")["learned from"] == (
        "5,000 scenes with 4, 8 characters, after 5,000 of another network"
    )
    table = find_table(write_trained(classification_rows()), "Networks trained here")
    pairs = cells(table, "`pairs_30000_affine`")
    assert pairs["learned from"] == "400 pairs, of 30,000 and 8 distorted copies of each"
    assert pairs["size"] == "base koch_small, 1,234 parameters"
    assert cells(table, "`protonet`")["learned from"] == "400 episodes"
    assert write_trained(classification_rows(networks={})) == []
