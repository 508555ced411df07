"""Scores that are added to a record of segmentation, of test sets and answers that it lacks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.records.check import load_checked
from oneshot.records.results import load_scores, save_scores
from oneshot.records.run import RUN, SCORES, TEST_SPLITS, RecordError, Run, load_run, save_index
from oneshot.records.segmentation_evaluator import LevelSets, score_sets
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.speed import Speed
from stages.record import rescore as stage
from stages.record.rescore import rescore
from tests.fake_runs import fake_run, put_run

N_SCENES = 12
REVISION = "0123456789abcdef"


@pytest.fixture(scope="module")
def old(synthetic_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record without covered targets and snapped answers, as those made before there were any."""
    folder = tmp_path_factory.mktemp("recorded")
    whole = {split: load_scenes(split, 4, 1000, synthetic_drawings) for split in TEST_SPLITS}
    first = {split: scenes[:N_SCENES] for split, scenes in whole.items()}
    sets = {4: LevelSets(first, pixel_statistics(whole["test-train"]))}
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    halves = {name: tensor.half().float() for name, tensor in net.state_dict().items()}
    net.load_state_dict(halves)
    scores = score_sets(net, sets, speed=Speed(), batch_size=4)
    scores = {key: values for key, values in scores.items() if "/snapped/" not in key}
    run = fake_run("siamese_unet-4", scores=scores)
    return put_run(folder, run, scores, net, {"feature_maps": 2}) and folder / "segmentation" / run.name


@pytest.fixture
def folder(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "check_published", lambda run, name: None)  # these drawings are synthetic
    copied = Path(shutil.copytree(old, tmp_path / "segmentation" / old.name))
    save_index(tmp_path)
    return copied


def test_what_a_record_lacks_is_added_and_what_it_has_stays(
    folder: Path, synthetic_drawings: Drawings
) -> None:
    before, kept = load_run(folder), load_scores(folder / SCORES)
    added = rescore(folder, synthetic_drawings, Speed("cpu"), REVISION)
    run, scores = load_checked(folder)  # whose figures are those of its scores
    assert {key.split("/", 1)[1] for key in added} == {
        *(f"answer/covered-{kind}/{metric}" for kind in ("train", "one-shot") for metric in ("iou", "hits")),
        *(f"snapped/{split}/{metric}" for split in TEST_SPLITS for metric in ("iou", "hits")),
        *(f"covered-{kind}/same_class" for kind in ("train", "one-shot")),
    }  # fmt: skip
    assert scores.keys() == kept.keys() | {*added}
    assert all(np.array_equal(scores[key], values) for key, values in kept.items())
    assert {key: run.figures[key] for key in before.figures} == before.figures
    assert run.segmentation.test_sets_as_published["4/covered-train"] == "synthetic"
    (later,) = run.scored_later
    assert (list(later.scores), later.git_revision) == (added, REVISION)
    same = {"figures", "body", "scored_later"}
    assert run.model_dump(exclude=same) == before.model_dump(exclude=same)
    assert rescore(folder, synthetic_drawings, Speed("cpu"), REVISION) == []
    assert load_run(folder) == run


def test_nothing_is_added_beside_scores_that_are_not_those_of_the_weights(
    folder: Path, synthetic_drawings: Drawings
) -> None:
    key = "4/answer/test-one-shot/iou"
    scores = load_scores(folder / SCORES)
    scores[key] = scores[key][::-1].copy()
    assert abs(scores[key] - scores[key][::-1]).max() > 0
    save_scores(folder / SCORES, scores)
    figures = fake_run("siamese_unet-4", scores=scores).model_dump()["figures"]
    said = json.loads((folder / RUN).read_text())
    (folder / RUN).write_text(json.dumps(said | {"figures": figures}))
    save_index(folder.parent.parent)
    with pytest.raises(
        RecordError, match=f"{key} of siamese_unet-4-fast lies .* points from what was recorded"
    ):
        rescore(folder, synthetic_drawings, Speed("cpu"), REVISION)
    assert load_scores(folder / SCORES).keys() == scores.keys()


def test_nothing_is_added_to_records_that_were_changed_by_hand(
    folder: Path, synthetic_drawings: Drawings
) -> None:
    said = json.loads((folder / RUN).read_text())
    (folder / RUN).write_text(json.dumps(said | {"seed": said["seed"] + 1}))
    kept = (folder / SCORES).read_bytes()
    with pytest.raises(RecordError, match=r"run\.json in .* was deleted or changed"):
        rescore(folder, synthetic_drawings, Speed("cpu"), REVISION)
    assert (folder / SCORES).read_bytes() == kept


def test_a_record_made_before_has_nothing_scored_later(old: Path) -> None:
    said = json.loads((old / RUN).read_text())
    del said["scored_later"]
    assert Run.model_validate_json(json.dumps(said)).scored_later == ()
