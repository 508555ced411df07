"""The stage that writes tables, pages and pictures from the metrics."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oneshot.classify.episodes import Episodes
from oneshot.errors import ManifestError
from oneshot.manifests import write_sealed
from oneshot.records.played import Choice, PlayedError, PlayedTrials
from oneshot.report.page import replace_block
from stages import tables
from tests.conftest import ROOT, refusing
from tests.report.fakes import (
    class_run,
    classification,
    classification_rows,
    rechecked_scenes,
    scene_figures,
    scene_network,
    segmentation,
    small_runs,
)
from tests.stages.conftest import SETS, write_manifests

BLOCKS = """# Title
<!-- results -->
<!-- /results -->
<!-- segmentation -->
old
<!-- /segmentation -->
<!-- classification -->
<!-- /classification -->
"""

GROUPS = {
    "scene": SETS["test-one-shot"].images()[1], "target": SETS["test-one-shot"].targets()[1],
    "crops": np.full((2, 2, 28, 28), 128, np.uint8), "scores": np.array([2.0, 1.0], np.float32),
    "is_target": np.array([True, False]),
}  # fmt: skip
MISTAKES = {name: np.full((2, 3, 105, 105), n, np.uint8) for n, name in enumerate(("own", "protonet"))}


def write_metrics(**metrics: Any) -> None:
    Path("metrics").mkdir(exist_ok=True)
    for name, found in metrics.items():
        write_sealed(Path(f"metrics/{name.replace('_', '-')}.json"), found)


@pytest.fixture
def checkout(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout after the stages evaluate and recheck."""
    (scenes / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    write_manifests("published checksums", "laptop")
    (scenes / "README.md").write_text(BLOCKS)
    empty: dict[str, Any] = {"scale": "laptop", "networks": {}}
    write_metrics(segmentation=segmentation(), rechecked_segmentation=rechecked_scenes(),
                  classification=classification(), rechecked_classification=empty)  # fmt: skip
    runs = {"segmentation": small_runs(), "classification": []}
    monkeypatch.setattr(tables, "read_runs", lambda folder, task: runs[task])
    answers = {"masks": SETS["test-one-shot"].masks[:8], "iou": np.full(12, 0.5, np.float32)}
    matcher = scene_network("colour_matcher", scene_figures((4,), answer=0.875))
    networks = segmentation()["networks"] | {"colour_matcher": matcher}
    write_metrics(segmentation=segmentation(networks=networks))
    here = ["siamese_unet-joint/32", "masknet-joint/4", "masknet-joint/32", "colour_matcher/4"]
    places = {"rechecked": ["siamese_unet-4-fast/4"], "segmentation": here}
    Path("predictions").mkdir()
    for name, networks in places.items():
        arrays = {
            f"{network}/answer/test-one-shot/{key}": array
            for network in networks
            for key, array in answers.items()
        }
        arrays |= {f"colour_matcher/4/groups/test-one-shot/{key}": array for key, array in GROUPS.items()}
        np.savez(f"predictions/{name}.npz", **arrays)
    np.savez("predictions/rechecked-classification.npz")
    mistakes = {f"{network}/mistakes": value for network, value in MISTAKES.items()}
    np.savez("predictions/classification.npz", **mistakes)
    return scenes


def test_the_stage_writes_tables_pages_pictures_and_the_summary(checkout: Path) -> None:
    Path("metrics/summary/gone").mkdir(parents=True)
    Path("metrics/summary/gone/004.json").write_text("{}")
    tables.main()
    scene_table = pd.read_csv("tables/segmentation.csv")
    assert {"kind", "network", "clutter_level", "percent"} <= set(scene_table.columns)
    published = scene_table[(scene_table["kind"] == "published") & (scene_table["clutter_level"] == 4)]
    assert published["percent"].max() == pytest.approx(97.1)
    rising = pd.read_csv("tables/rising_ways.csv")
    assert {"n_way", "own_evaluation", "own_training", "protonet_evaluation"} <= set(rising.columns)
    assert rising.loc[rising["n_way"] == 2, "own_evaluation"].tolist() == [75]
    assert len(pd.read_csv("tables/recorded_runs.csv")) == len(small_runs())
    page = Path("docs/results.md").read_text()
    for title in ("## Recorded runs", "## Segmentation", "## Classification", "Koch et al., table 2"):
        assert title in page
    readme = Path("README.md").read_text()
    assert "| characters | Siamese-U-Net (paper) |" in readme
    assert "| benchmark | Koch's network, published |" in readme
    assert "old" not in readme
    assert {path.name for path in Path("figures").iterdir()} == {
        "task.png", "predictions.png", "iou_over_clutter.png", "oracles.png", "rising_ways.png", "groups.png",
        "mistakes.png", "costs.png",
    }  # fmt: skip
    assert not Path("metrics/summary/gone").exists()
    summary = json.loads(Path("metrics/summary/siamese_unet-joint/032.json").read_text())
    assert summary == {"iou_known": 0.5, "iou_one_shot": 0.5}


def test_a_second_run_writes_the_same_bytes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "draw", lambda *arguments: None)  # other tests look at the pictures
    tables.main()
    written = [path for folder in ("tables", "docs") for path in sorted(Path(folder).iterdir())]
    first = [path.read_bytes() for path in written]
    tables.main()
    assert [path.read_bytes() for path in written] == first


def save_answers(path: Path, episodes: Episodes, **changes: Any) -> None:
    answers = [Choice(episode=0, query=query, choice=0, seconds=1) for query in (0, 1)]
    fields: dict[str, Any] = {"protocol": episodes.protocol, "sha256": episodes.sha256(), "n_right": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PlayedTrials(**{"answers": answers} | fields | changes).model_dump_json())


def test_answers_to_trials_within_alphabets_are_read_by_the_drawings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, asked, answers = (np.array([pair], np.int32) for pair in ((0, 1), (2, 3), (1, 0)))
    episodes = Episodes("within-alphabet", 2, 1, shown, asked, answers)
    monkeypatch.setattr(tables, "load_drawings", lambda path: "drawings")
    monkeypatch.setattr(
        tables, "draw_benchmark", lambda *words: {("within-alphabet", "drawings"): [episodes]}[words]
    )
    save_answers(tmp_path / "a.json", episodes)
    assert tables.read_players(tmp_path)["a"]["within-alphabet"]["value"] == 0.5


def test_people_who_played_have_rows_of_their_own(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, asked, answers = (np.array([pair], np.int32) for pair in ((0, 1), (2, 3), (0, 1)))
    episodes = Episodes("all_runs", 2, 1, shown, asked, answers)
    monkeypatch.setattr(tables, "draw", lambda *arguments: None)
    monkeypatch.setattr(tables, "read_all_runs", lambda path: (None, episodes))
    save_answers(Path("recorded/played/you.json"), episodes)
    tables.main()
    rows = pd.read_csv("tables/classification.csv")
    (row,) = rows[rows["kind"] == "played"].to_dict("records")
    assert (row["title"], row["benchmark"], row["percent"], row["n"]) == ("you, a player", "all_runs", 50, 2)
    (line,) = [
        line
        for line in Path("docs/results.md").read_text().splitlines()
        if line.startswith("| you, a player |")
    ]
    assert "50" in line
    assert "a player" not in Path("README.md").read_text()
    Path("recorded/played/you.json").rename("recorded/played/a|b.json")
    with refusing(PlayedError, "may hold letters"):
        tables.main()
    Path("recorded/played/a|b.json").unlink()
    for changes, sentence in (
        ({"n_right": 2}, "says that 2 answers are right, but 1 are"),
        ({"protocol": "mine"}, "has answers to mine: the page shows no such trials"),
        ({"sha256": 64 * "0"}, "with the SHA-256 0000"),
        (
            {"answers": [{"episode": 9, "query": 0, "choice": 0, "seconds": 1}]},
            "me.json: there is no choice 0",
        ),
    ):
        save_answers(Path("recorded/played/me.json"), episodes, **changes)
        with refusing(PlayedError, sentence):
            tables.main()


def test_pictures_show_the_chosen_networks_and_the_truth_where_there_is_none(checkout: Path) -> None:
    shown = {"a network": tables.Shown("segmentation", "siamese_unet-joint/32/answer", "somebody")}
    examples = tables.read_examples(32, shown, "laptop")
    assert len(examples) == tables.EXAMPLES_A_LEVEL
    answer = examples[1].answers["a network"]
    assert answer.iou == 0.5
    assert np.array_equal(answer.mask, SETS["test-one-shot"].masks[1])
    assert tables.read_examples(4, {}, "laptop")[0].answers == {}


def test_groups_are_those_of_the_colour_matcher_that_is_shown(checkout: Path) -> None:
    matcher = {"colour matcher": tables.Shown("segmentation", "colour_matcher/4/answer", "somebody")}
    shown = {level: matcher if level == 4 else {} for level in tables.CLUTTER_LEVELS}
    (ranked,) = tables.read_groups(shown)
    assert ranked.clutter_level == 4
    assert np.array_equal(ranked.target, SETS["test-one-shot"].targets()[1])
    assert ranked.scores.tolist() == [2.0, 1.0]


def test_mistakes_are_those_of_the_classifier_that_trials_select(checkout: Path) -> None:
    rows = classification_rows()
    assert (tables.read_mistakes(rows) == MISTAKES["protonet"]).all()
    np.savez("predictions/classification.npz", **{"own/mistakes": MISTAKES["own"]})
    assert (tables.read_mistakes(rows) == MISTAKES["own"]).all()
    np.savez("predictions/rechecked-classification.npz", **{"x/mistakes": MISTAKES["own"] + 5})
    recorded = classification_rows(class_run("x", 0.1))
    assert (tables.read_mistakes(recorded) == MISTAKES["own"] + 5).all()
    Path("predictions/classification.npz").unlink()
    np.savez("predictions/classification.npz")
    assert len(tables.read_mistakes(rows)) == 0


def test_the_stage_starts_without_torch_and_numba() -> None:
    code = "import sys, stages.tables; assert not {'torch', 'numba', 'scipy.stats'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_committed_pages_are_what_the_metrics_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("metrics", "recorded", "params.yaml"):
        if (ROOT / name).exists():
            Path(name).symlink_to(ROOT / name)
    readme = (ROOT / "README.md").read_text()
    blank = readme
    for name in ("results", "segmentation", "classification"):
        blank = replace_block(blank, name, "")
    Path("README.md").write_text(blank)
    monkeypatch.setattr(tables, "draw", lambda *arguments: None)
    monkeypatch.setattr(tables, "write_summary", lambda rows: None)
    tables.main()
    assert Path("README.md").read_text() == readme
    assert Path("docs/results.md").read_text() == (ROOT / "docs/results.md").read_text()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("segmentation", lambda found: found.update(scale="paper"), "is of scale paper, not of laptop"),
        ("classification", lambda found: found.update(seal="0"), "was changed after it was written"),
        (
            "rechecked-segmentation",
            lambda found: found["networks"].popitem(),
            "was changed after it was written",
        ),
    ],
)
def test_metrics_of_another_scale_or_changed_by_hand_are_refused(
    name: str, change: Callable[[Any], Any], message: str, checkout: Path
) -> None:
    path = Path(f"metrics/{name}.json")
    found = json.loads(path.read_text())
    change(found)
    if "scale" in message:
        write_sealed(path, found)
    else:
        path.write_text(json.dumps(found))
    with refusing(ManifestError, message):
        tables.main()
