"""Tables of classification: whose figures stand in which column, and what is said where there are none."""

import json
from typing import Any

import pytest

from oneshot.published import read_facts
from oneshot.records.classification_run import read_classifier_records
from oneshot.report.classification_rows import OMNIGLOT, collect_classification
from oneshot.report.classification_tables import render_classification
from oneshot.report.page import replace_block
from tests.conftest import ROOT
from tests.fake_classification import (
    REASON,
    cells,
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
VERIFICATION, WITHIN, LAKE = (
    "Koch et al., table 1",
    "Koch et al., table 2",
    "20-way 1-shot, Lake's own 20 runs",
)
MNIST, MIXED = "Koch et al., table 3", "20-way, characters mixed"
BACKGROUND = "Drawers 12 / 4 / 4"
RUNS, TRAINED = "Recorded runs, and what they cost", "Networks trained here"
OWN, OWN_SMALL = "siamese net, own recipe, base koch", "siamese net, own recipe, base koch_small"


def render(
    baselines: dict[str, Any] | None = None,
    trained: dict[str, Any] | None = None,
    records: list[dict[str, Any]] | None = None,
    reevaluated: dict[str, Any] | None = None,
    source: str = OMNIGLOT,
) -> str:
    records = records or []
    results = collect_classification(PUBLISHED, baselines or {}, trained or {}, records, reevaluated)
    return render_classification(results, records, PUBLISHED, "laptop", source)


@pytest.fixture
def text() -> str:
    return render(small_baselines(), small_trained(), small_records(), small_reevaluated())


def list_titles(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("**")]


def table(text: str, title: str) -> str:
    """The table below the title that begins so."""
    sections = text.split("\n\n")
    (place,) = (number for number, section in enumerate(sections) if section.startswith(f"**{title}"))
    return sections[place + 1]


def columns(found: str) -> list[str]:
    return [cell.strip() for cell in found.splitlines()[0].split("|")[2:-1]]


def row_titles(found: str) -> list[str]:
    return [line.split("|")[1].strip() for line in found.splitlines()[2:]]


def test_every_table_names_its_protocols_and_what_it_reproduces(text: str) -> None:
    verification = "verification, same character or not"
    mixed = "characters mixed over alphabets"
    assert list_titles(text) == [
        f"**{RUNS}**: accuracy in %, 20-way 1-shot within an alphabet: validation "
        "(`within-alphabet-validation`) and test (`within-alphabet-10000`)",
        f"**{TRAINED}**: accuracy on the validation trials, in %",
        f"**{VERIFICATION}: {verification}** (`verification`), accuracy in %",
        f"**{WITHIN}: 20-way 1-shot within an alphabet** (`within-alphabet`, `within-alphabet-10000`), "
        "accuracy in %",
        f"**{LAKE}** (`all_runs`), error in %",
        f"**{MNIST}: 10-way 1-shot on MNIST** (`mnist`), accuracy in %",
        f"**5-way, {mixed}** (`mixed-5-way-1-shot`, `mixed-5-way-5-shot`), accuracy in %",
        f"**20-way, {mixed}** (`mixed-20-way-1-shot`, `mixed-20-way-5-shot`), accuracy in %",
        f"**{BACKGROUND} of images_background: verification, known characters by other drawers** "
        "(`background-validation`, `background-test`), accuracy in %",
    ]  # fmt: skip


def test_table_1_has_the_papers_rows_and_a_column_for_every_base(text: str) -> None:
    assert table(text, VERIFICATION).splitlines() == [
        "| training | published, n = 10,000 | recorded, base koch, n = 10,000 | "
        "recorded, base koch_small, n = 10,000 | released weights, here, base koch, n = 500 | "
        "computed here, base koch_small, n = 10,000 |",
        "|---:|---:|---:|---:|---:|---:|",
        "| 30,000 pairs, no distortions | 90.61 | – | – | – | – |",
        "| 30,000 pairs, affine x 8 | 91.90 | – | – | – | 51.0 (49.0 to 52.0) |",
        "| 90,000 pairs, no distortions | 91.54 | – | – | – | – |",
        "| 90,000 pairs, affine x 8 | 93.15 | – | – | – | – |",
        "| 150,000 pairs, no distortions | 91.63 | – | – | – | – |",
        "| 150,000 pairs, affine x 8 | 93.42 | 93.0 (91.0 to 94.0) | – | – | – |",
        "| siamese net, own recipe | – | 92.0 (90.0 to 93.0) | 86.0 (84.0 to 87.0) | "
        "92.0 (90.0 to 93.0), agrees | 81.0 (79.0 to 82.0) |",
        "| siamese net, background drawers 12 / 4 / 4 | – | – | – | – | 61.0 (59.0 to 62.0) |",
    ]


def test_table_2_has_published_methods_first_then_every_network_and_baseline(text: str) -> None:
    found = table(text, WITHIN)
    assert columns(found) == [
        "published, n = 400", "recorded, n = 400", "recorded, more trials, n = 10,000",
        "released weights, here, n = 400", "computed here, n = 400",
        "computed here, more trials, n = 10,000",
    ]  # fmt: skip
    only = "published only"
    assert row_titles(found) == [
        f"humans ({only})", f"hierarchical Bayesian program learning ({only})", f"affine model ({only})",
        f"hierarchical deep ({only})", f"deep Boltzmann machine ({only})",
        f"siamese net without convolutions ({only})", f"simple strokes ({only})",
        "1-nearest neighbour, cosine", "convolutional siamese net",
        "siamese net, 30,000 pairs, affine x 8, base koch_small",
        "siamese net, 150,000 pairs, affine x 8, base koch", OWN, OWN_SMALL,
        "siamese net, background drawers 12 / 4 / 4, base koch_small", "prototypical network", "guessing",
    ]  # fmt: skip
    assert list(cells(found, OWN).values())[1:] == [
        "–", "91.0 (89.0 to 92.0)", "91.0 (89.0 to 92.0)", "91.0 (89.0 to 92.0), agrees", "–", "–"
    ]  # fmt: skip
    cosine = cells(found, "1-nearest neighbour, cosine")
    assert cosine["published, n = 400"] == "21.7"
    assert cosine["computed here, n = 400"] == "21.8 (19.8 to 22.8)"


def test_weights_that_differ_say_how_and_those_compared_with_nothing_claim_nothing(text: str) -> None:
    found, column = table(text, WITHIN), "released weights, here, n = 400"
    assert cells(found, OWN_SMALL)[column] == (
        "50.0 (48.0 to 51.0), DIFFERS: 85.0 recorded over the same 400, of which 75.0 % are answered alike"
    )
    assert cells(found, "prototypical network")[column] == "95.0 (93.0 to 96.0)"
    assert "*Agrees*" in text


def test_lakes_runs_are_shown_as_errors(text: str) -> None:
    found = table(text, LAKE)
    assert cells(found, "Bayesian program learning (published only)")["published, n = 400"] == "3.3"
    hausdorff = cells(found, "modified Hausdorff distance")
    assert hausdorff["published, n = 400"] == "38.8"
    assert hausdorff["computed here, n = 400"] == "38.8 (37.8 to 40.8)"
    assert cells(found, OWN)["released weights, here, n = 400"] == "9.0 (8.0 to 11.0), agrees"


def test_mixed_characters_have_a_table_for_every_n_and_columns_by_shots(text: str) -> None:
    found = table(text, MIXED)
    assert columns(found)[:3] == [
        "published, 1-shot",
        "recorded, 1-shot, n = 20,000",
        "recorded, 5-shot, n = 20,000",
    ]
    row = cells(found, "prototypical network")
    assert (row["published, 1-shot"], row["recorded, 1-shot, n = 20,000"]) == ("–", "95.0 (93.0 to 96.0)")
    assert cells(found, "prototypical networks")["published, 1-shot"] == "96.0"
    assert "SNAIL (published only)" in row_titles(found)
    assert "published" not in table(text, "5-way, characters mixed")


def test_other_drawers_stand_beside_the_reported_figure(text: str) -> None:
    assert table(text, BACKGROUND).splitlines() == [
        "| method | published, validation pairs | computed here, validation pairs, n = 5,000 | "
        "computed here, test pairs, n = 5,000 |",
        "|---:|---:|---:|---:|",
        "| a PyTorch re-implementation | 91.2 | – | – |",
        "| siamese net, background drawers 12 / 4 / 4, base koch_small | – | 60.0 (58.0 to 61.0) | "
        "60.0 (58.0 to 61.0) |",
    ]


def test_mnist_that_could_not_be_fetched_has_its_row_and_its_reason_below() -> None:
    protocols, missing = ("within-alphabet", "all_runs"), {"mnist": REASON}
    baselines = small_baselines(
        scorers={"cosine": {"accuracy": means(0.2, *protocols)}}, not_computed=missing
    )
    net = fake_net("own", 0.8, accuracy=means(0.8, *protocols))
    text = render(
        baselines, small_trained(scorers={"own": net}, not_computed=missing), [fake_run("own", 0.9)]
    )
    found = table(text, MNIST)
    assert columns(found) == ["published", "recorded, n = 400", "computed here"]
    assert cells(found, "every method of this checkout") == {
        "method": "every method of this checkout", "published": "–", "recorded, n = 400": "–",
        "computed here": "not computed",
    }  # fmt: skip
    assert row_titles(found)[-1] == "every method of this checkout"
    assert cells(found, OWN)["recorded, n = 400"] == "90.0 (88.0 to 91.0)"
    assert f"\n\n*Published*: table 3: 10-way on MNIST. *Not computed*: {REASON}\n\n" in text
    assert text.count(REASON) == 1


def test_a_protocol_without_a_table_says_below_why_it_was_not_computed() -> None:
    text = render(small_baselines(not_computed={"rising-ways": "too few characters"}))
    assert "\n\n*Not computed* (`rising-ways`): too few characters.\n\n" in text


def test_published_tables_are_there_before_anything_of_ours() -> None:
    text = render()
    assert len(list_titles(text)) == 6
    for title in (VERIFICATION, WITHIN, LAKE, MNIST, MIXED, BACKGROUND):
        found = table(text, title)
        assert len(columns(found)) == 1
        assert columns(found)[0].startswith("published")
        assert "–" not in found
    assert "20-way 83 %: a well-known tutorial" in text
    assert "all columns but the published ones." in text


def test_a_network_that_was_not_trained_has_no_row_and_no_empty_column() -> None:
    text = render(small_baselines(), small_trained(scorers={"protonet": fake_net("protonet", 0.9)}))
    assert columns(table(text, VERIFICATION)) == ["published, n = 10,000"]
    assert "own recipe" not in text
    assert row_titles(table(text, TRAINED)) == ["prototypical network"]
    assert TRAINED not in render(small_baselines())


def test_without_recorded_runs_nothing_is_said_of_any(text: str) -> None:
    nothing = render(small_baselines(), small_trained())
    assert "at scale `laptop`, all columns but the published and the recorded ones." in text
    for words in (RUNS, "recorded", "released weights", "*Agrees*"):
        assert words in text
        assert words not in nothing


def test_a_further_seed_is_a_row_of_the_runs_and_never_a_cell_of_another_table(text: str) -> None:
    runs = table(text, RUNS)
    assert row_titles(runs) == [
        "`pairs_150000_affine`", "`own`", "`own-seed-1`", "`own-koch_small`", "`protonet`"
    ]  # fmt: skip
    seed = cells(runs, "`own-seed-1`")
    assert (seed["seed"], seed["20-way within alphabet, n = 10,000"]) == ("1", "70.0 (68.0 to 71.0)")
    assert text.count("70.0 (68.0 to 71.0)") == 2  # validation and test


def test_runs_say_what_they_cost_and_whether_they_hold_here(text: str) -> None:
    runs = table(text, RUNS)
    assert cells(runs, "`own`") == {
        "run": "`own`", "network": f"{OWN}, 38,951,745 parameters", "recipe": "own", "seed": "1803",
        "seen": "40,000 episodes", "epochs, of those asked for": "6.25 of 200",
        "minutes of training (in all)": "1.5 (2.1)", "device": "a GPU",
        "complete": "yes", "validation, n = 320": "91.0 (89.0 to 92.0)",
        "20-way within alphabet, n = 10,000": "91.0 (89.0 to 92.0)", "released weights": "float16",
        "points lost": "0.25", "Git revision": "`0123456789`", "released weights, here": "agrees",
    }  # fmt: skip
    assert cells(runs, "`pairs_150000_affine`")["seen"] == "40,000 pairs"
    here = {
        name: cells(runs, f"`{name}`")["released weights, here"] for name in ("own-koch_small", "protonet")
    }
    assert here == {"own-koch_small": "DIFFERS on `within-alphabet`", "protonet": "not comparable"}
    assert cells(runs, "`own-seed-1`")["released weights, here"] == "not evaluated"


@pytest.mark.parametrize(
    ("changes", "cell", "words"),
    [
        ({"n_steps": 5}, "complete", "no: step 5 of 900"),
        ({"n_steps": 5, "stopped_early": True}, "complete", "no further progress: step 5 of 900"),
        ({"weights": None}, "released weights", "–"),
        ({"weights": {"file": "", "precision": "float32", "lost_points": {}}}, "points lost", "–"),
        ({"accuracy": {"all_runs": mean(0.5)}}, "20-way within alphabet", "–"),
    ],
)
def test_runs_that_lack_something_say_so(changes: dict[str, Any], cell: str, words: str) -> None:
    runs = table(render(records=[fake_run("own", 0.9, **changes)]), RUNS)
    assert cells(runs, "`own`")[cell] == words


def test_networks_trained_here_say_what_they_learned_from(text: str) -> None:
    found = table(text, TRAINED)
    row = cells(found, "siamese net, 30,000 pairs, affine x 8, base koch_small")
    assert row == {
        "network": "siamese net, 30,000 pairs, affine x 8, base koch_small", "recipe": "published",
        "parameters": "1,234", "training pairs": "30,000, and 8 distorted copies of each",
        "seen": "40,000 pairs", "epochs": "20", "seed": "1803", "validation, n = 320": "50.0 (48.0 to 51.0)",
    }  # fmt: skip
    row = cells(found, "prototypical network")
    assert (row["training pairs"], row["seen"]) == ("–", "40,000 episodes")


def test_two_runs_that_would_share_a_cell_are_both_shown() -> None:
    text = render(records=[fake_run("own", 0.9), fake_run("own-again", 0.5)])
    assert cells(table(text, LAKE), OWN)["recorded, n = 400"] == "10.0 (9.0 to 12.0) / 50.0 (49.0 to 52.0)"


def test_own_images_have_plain_tables_without_any_published_figure() -> None:
    protocols = {
        "within-alphabet": {"n_way": 7, "n_shot": 1},
        "mixed-3-way-1-shot": {"n_way": 3, "n_shot": 1},
    }
    accuracy = means(0.5, *protocols, "by-folder")
    source = "own images"
    text = render(
        small_baselines(source=source, protocols=protocols, scorers={"cosine": {"accuracy": accuracy}}),
        small_trained(source=source, protocols=protocols,
                      scorers={"own": fake_net("own", 0.8, accuracy=accuracy)}),
        small_records(), small_reevaluated(), source,
    )  # fmt: skip
    assert list_titles(text) == [
        f"**{TRAINED}**: accuracy on the validation trials, in %",
        "**Verification, same character or not** (`verification`), accuracy in %",
        "**7-way 1-shot within an alphabet** (`within-alphabet`), accuracy in %",
        "**20-way 1-shot, Lake's own 20 runs** (`all_runs`), error in %",
        "**3-way, characters mixed over alphabets** (`mixed-3-way-1-shot`), accuracy in %",
        "**By-folder** (`by-folder`), accuracy in %",
    ]  # fmt: skip
    verification = table(text, "Verification, same character or not")
    assert columns(verification) == ["released weights, here, n = 500", "computed here, n = 10,000"]
    assert row_titles(verification) == [OWN, OWN_SMALL]
    assert "\n\nThese are own images, not Omniglot: the figures compare with no published one.\n\n" in text
    for word in ("*Published", "published,", "only)", "Koch", "recorded, n", RUNS, "tutorial"):
        assert word not in text
    assert "at scale `laptop`, all columns." in text


def test_invented_alphabets_are_called_so() -> None:
    text = render(small_baselines(source="synthetic"), source="synthetic")
    assert "These are invented alphabets, not Omniglot" in text


def test_the_readme_shows_what_the_generator_makes_of_the_committed_metrics() -> None:
    paths = [ROOT / f"metrics/{name}.json" for name in ("baselines", "classification", "reclassified")]
    if not all(path.is_file() for path in paths):
        pytest.skip("the pipeline has not been run here")
    baselines, trained, reevaluated = (json.loads(path.read_text()) for path in paths)
    assert len({metrics["scale"] for metrics in (baselines, trained, reevaluated)}) == 1
    published = read_facts("koch")
    records = [record.model_dump(mode="json") for record in read_classifier_records(ROOT / "results")]
    results = collect_classification(published, baselines, trained, records, reevaluated)
    markdown = render_classification(results, records, published, trained["scale"], trained["source"])
    text = (ROOT / "README.md").read_text()
    assert replace_block(text, "classification", markdown) == text
    assert (ROOT / "tables/classification.md").read_text() == markdown
    assert (ROOT / "tables/classification.csv").read_text() == results.to_csv(
        index=False, lineterminator="\n"
    )
