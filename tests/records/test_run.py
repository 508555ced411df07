"""The record of a run: what it may say, and where it lies."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from oneshot.records.run import (
    CURVE,
    RUN,
    SCORES,
    RecordError,
    check_revision,
    list_strange_sets,
    load_run,
    read_runs,
    save_index,
    save_run,
)
from tests.conftest import refusing
from tests.fake_runs import fake_classification_run, fake_run, fake_training


@pytest.mark.parametrize("run", [fake_run(), fake_run("masknet-joint"), fake_classification_run()])
def test_a_record_comes_back_as_it_was(run: Any, tmp_path: Path) -> None:
    save_run(tmp_path, run)
    assert load_run(tmp_path) == run
    assert run.evaluated
    assert run.complete


def test_what_trainings_have_seen_is_added_up() -> None:
    start = {"file": "weights.safetensors", "sha256": "0", "n_seen": 500}
    run = fake_run("masknet-32", start_from=start)
    assert (run.n_seen, run.n_seen_before) == (8_000_000, 500)


def test_a_run_is_complete_when_all_its_trainings_ended_by_themselves() -> None:
    cut = fake_training("segmentation", n_steps=15_999)
    assert not fake_run(trainings=[cut]).complete
    assert fake_run(trainings=[cut | {"stopped_early": True}]).complete
    assert not fake_run(weights=None).complete


def test_a_joint_run_is_evaluated_at_every_level() -> None:
    run = fake_run("siamese_unet-joint")
    six = {key: figure for key, figure in run.figures.items() if not key.startswith("64/answer/test-train/")}
    assert not run.model_copy(update={"figures": six}).evaluated


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"surplus": 1}, "surplus is not a known parameter"),
        ({"name": "../../32"}, "name is '../../32', but"),
        ({"task": "classification"}, "its body is not one of classification"),
        ({"trainings": []}, "trainings is "),
        ({"trainings": [fake_training("warming up")]}, "trainings.0.name is 'warming up', but"),
        ({"figures": {"a": {"value": 1.0, "low": 0.0, "high": 1.0}}}, r"figures.a.n is missing"),
    ],
)
def test_a_file_that_is_no_record_is_refused(changes: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    (tmp_path / RUN).write_text(json.dumps(fake_run().model_dump(mode="json") | changes))
    with pytest.raises(RecordError, match=rf"run\.json is damaged \(.*{complaint}"):
        load_run(tmp_path)


def test_half_a_record_and_a_missing_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run\.json is missing"):
        load_run(tmp_path)
    (tmp_path / RUN).write_text(json.dumps(fake_run().model_dump(mode="json"))[:200])
    with pytest.raises(RecordError, match=r"run\.json is damaged \("):
        load_run(tmp_path)


def test_all_runs_of_a_task_are_read_and_one_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    assert read_runs(tmp_path, "segmentation") == []
    runs = [fake_run("masknet-32"), fake_run(), fake_run(recipe="published"), fake_classification_run()]
    for run in runs:
        save_run(tmp_path / run.task / run.name, run)
    with refusing(RecordError, r"index\.json is missing"):
        read_runs(tmp_path, "segmentation")
    save_index(tmp_path)
    assert read_runs(tmp_path, "segmentation") == runs[:3]
    assert read_runs(tmp_path, "classification") == runs[3:]
    save_run(tmp_path / "segmentation/other", fake_run())
    save_index(tmp_path)
    with pytest.raises(RecordError, match=r"other/run\.json is the record of segmentation/siamese_unet-32-"):
        read_runs(tmp_path, "segmentation")


@pytest.mark.parametrize("how", ["deleted", "seed changed", "curve changed", "scores deleted", "put there"])
def test_records_are_those_that_are_listed(how: str, tmp_path: Path) -> None:
    for run in (fake_run(), fake_run("masknet-32"), fake_classification_run()):
        save_run(tmp_path / run.task / run.name, run)
        for name in (CURVE, SCORES):
            (tmp_path / run.task / run.name / name).write_text("1,2\n")
    save_index(tmp_path)
    assert len(read_runs(tmp_path, "segmentation")) == 2
    run = fake_run("masknet-32")
    folder = tmp_path / run.task / run.name
    if how == "deleted":
        shutil.rmtree(folder)
    elif how == "seed changed":
        save_run(folder, run.model_copy(update={"seed": run.seed + 1}))
    elif how == "curve changed":
        (folder / CURVE).write_text("1,3\n")
    elif how == "scores deleted":
        (folder / SCORES).unlink()
    else:
        folder = tmp_path / "segmentation/siamese_unet-4-fast"
        save_run(folder, fake_run("siamese_unet-4"))
    name = folder.relative_to(tmp_path).as_posix()
    for task in ("segmentation", "classification"):
        with pytest.raises(RecordError, match=f"{name}/.* in .* was deleted or changed"):
            read_runs(tmp_path, task)
    save_index(tmp_path)  # on purpose
    read_runs(tmp_path, "segmentation")


def test_a_run_without_figures_is_no_result(tmp_path: Path) -> None:
    save_run(tmp_path / "segmentation/siamese_unet-32-fast", fake_run(figures={}))
    save_index(tmp_path)
    with pytest.raises(RecordError, match=r"is of an unfinished run: .*python -m stages\.record\.adopt"):
        read_runs(tmp_path, "segmentation")


def test_test_sets_other_than_the_published_ones_are_named() -> None:
    assert list_strange_sets({"32/test-train": "yes", "32/test-one-shot": "synthetic"}) == [
        "32/test-one-shot"
    ]


@pytest.mark.parametrize("revision", ["0123abc", 40 * "f", 12 * "a" + "-dirty"])
def test_git_revisions(revision: str) -> None:
    assert check_revision(revision) == revision


@pytest.mark.parametrize("revision", ["", "main", "0123ab", "0123ABC", "0123abc dirty"])
def test_other_words_than_git_revisions(revision: str) -> None:
    with pytest.raises(RecordError, match="is no Git revision"):
        check_revision(revision)
