"""Recording and adopting runs of both tasks, in a folder without the pipeline, on synthetic alphabets."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oneshot import library
from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.nets import NETS
from oneshot.classify.protocols import describe_lists, find_protocols
from oneshot.clutter.scenes import split_recipe
from oneshot.errors import DrawingsError, OneshotError, ParameterError
from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import load_params
from oneshot.published import COVERED_SPLITS, find_split, read_facts
from oneshot.records import check
from oneshot.records.results import load_scores, save_scores
from oneshot.records.run import CURVE, RUN, SCORES, TEST_SPLITS, WEIGHTS, RecordError, Run, load_run, save_run
from oneshot.training import fit
from oneshot.training.distributed import World
from oneshot.training.progress import LogPoint
from oneshot.training.tensors import WeightsError, file_sha256, load_tensors, save_tensors
from stages.command import BusyError, alone_in
from stages.images import read_digits, read_outside
from stages.record import adopt, main, plan
from stages.record import run as under_way
from stages.record.data import render_test_sets
from stages.record.form import save_curve
from stages.record.revision import recorded_revision
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_runs import Tiny

# What a machine that only computes may lack.
ABSENT = ("dvc", "zarr", "numcodecs", "pooch", "beartype", "matplotlib", "pandas", "joblib")
REVISION = "0123456789abcdef0123456789abcdef01234567"
COMMON = f"--scale smoke --device cpu --drawings drawings.npz --revision {REVISION} -S log_every=2"
SCENES = "-S segmentation.networks.siamese_unet-4.smoke.phases.segmentation.0.n_scenes=40 --test-scenes 6"
TRIALS = "-S other_images.n_episodes=8 -S other_images.n_verification_pairs=40"
SMALL = {
    "segmentation": f"segmentation/siamese_unet-4 {COMMON} {SCENES}",
    "classification": f"classification/own {COMMON} {TRIALS} -S scales.smoke.classification.base=tiny",
}
N_STEPS = {"segmentation": 5, "classification": 12}
FORTY = f"classification/contrastive_40 {COMMON} {TRIALS}"
FILES = sorted((RUN, CURVE, SCORES, WEIGHTS))
TASKS = pytest.mark.parametrize("task", SMALL)


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", Tiny)
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project without Git, as far as recording needs one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, synthetic_drawings: Drawings) -> Path:
    """A small run of each task in a folder named by the task, the drawings beside them."""
    project = tmp_path_factory.mktemp("recorded")
    shutil.copy(ROOT / "params.yaml", project)
    save_drawings(project / "drawings.npz", synthetic_drawings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for task, command in SMALL.items():
            record(f"{command} --out {task}")
    return project


@pytest.fixture
def mine(recorded: Path, project: Path) -> Path:
    """A copy of the small runs, to be tampered with."""
    shutil.copytree(recorded, project, dirs_exist_ok=True)
    return project


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic alphabets count as the published ones."""
    monkeypatch.setattr(check, "check_published", lambda run, name: None)


def record(command: str) -> None:
    main.main(shlex.split(command))


def change_run(folder: Path, **changes: Any) -> None:
    said = json.loads((folder / RUN).read_text())
    (folder / RUN).write_text(json.dumps(said | changes))


def change_training(folder: Path, **changes: Any) -> None:
    (training,) = json.loads((folder / RUN).read_text())["trainings"]
    change_run(folder, trainings=[training | changes])


# ----------------------------------------------------------------------------------------- a run as a whole


def test_a_run_needs_nothing_of_the_pipeline(recorded: Path, project: Path) -> None:
    shutil.copy(recorded / "drawings.npz", project)
    commands = {
        "scenes": f"segmentation/siamese_unet-4 {COMMON} {SCENES} --stop-after 9",
        "proto": f"classification/protonet {COMMON} {TRIALS} --minutes 9",
    }
    words = [shlex.split(f"{command} --out {out} --allow-dirty") for out, command in commands.items()]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); from stages.record import main; "
        f"[main.main(words) for words in {words!r}]"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("evaluation will take about") == 2
    for out, minutes in (("scenes", None), ("proto", 9)):
        assert sorted(path.name for path in (project / out).iterdir()) == FILES
        found = load_run(project / out)
        assert (found.complete, found.git_revision) == (True, f"{REVISION}-dirty")
        assert found.budget_minutes == minutes
    assert found.body.not_computed["verification"] == "the network judges no pairs"
    assert list((project / "runs/record").iterdir()) == []


@TASKS
def test_what_is_recorded_are_the_scores_of_the_released_file(
    task: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluators: list[Any] = []
    measure = main.share_out
    monkeypatch.setattr(main, "share_out", lambda run: evaluators.append(run.evaluator) or measure(run))
    record(f"{SMALL[task]} --out again")
    found, kept = load_run(mine / "again"), load_scores(mine / "again" / SCORES)
    again = evaluators[0].score_file(mine / "again" / WEIGHTS, evaluators[0].everything)
    assert kept.keys() == again.keys()
    assert all(np.allclose(kept[key], again[key], atol=1e-6) for key in kept)
    check.check_scores(found, kept, "again")
    assert found == load_run(mine / task).model_copy(update={"seconds": found.seconds,
                                                             "trainings": found.trainings})  # fmt: skip


def test_a_run_that_trains_on_the_validation_alphabets_is_not_scored_on_them(mine: Path) -> None:
    record(f"{FORTY} --out forty")
    found, kept = load_run(mine / "forty"), load_scores(mine / "forty" / SCORES)
    check.check_scores(found, kept, "forty")
    assert found.complete
    assert {*found.body.protocols} == {"mixed-5-way-1-shot", "within-alphabet", "rising-ways",
                                       "rising-ways-training"}  # fmt: skip
    assert "trained on alphabets that this needs" in found.body.not_computed["selection"]
    assert found.trainings[0].best_step == found.trainings[0].n_steps
    assert found.weights is not None
    assert [*found.weights.lost_points] == ["selection"]


def test_parameters_in_force_and_the_protocols_are_recorded(recorded: Path) -> None:
    scenes, own = load_run(recorded / "segmentation"), load_run(recorded / "classification")
    assert (scenes.name, scenes.net, scenes.recipe) == ("siamese_unet-4-fast", "siamese_unet", "fast")
    assert (own.name, own.net, own.recipe) == ("own-tiny", "tiny", "own")
    (training,) = scenes.trainings
    assert (training.name, training.n_seen, training.n_steps) == ("segmentation", 40, 5)
    assert training.settings["phases"] == [{"clutter_levels": [4], "n_scenes": 40}]
    assert scenes.segmentation.test_sets_as_published == dict.fromkeys(
        ("4/test-train", "4/test-one-shot", "4/covered-train", "4/covered-one-shot"), "synthetic"
    )
    assert {"4/answer/covered-train/iou", "4/answer/covered-one-shot/localisation"} < scenes.figures.keys()
    assert own.settings["n_episodes"] == 6
    assert {
        "within-alphabet",
        "validation",
        "selection",
        "verification",
    } < own.body.protocols.keys()
    assert {"rising-ways/2", "rising-ways-training/18", "verification"} < own.figures.keys()
    for run in (scenes, own):
        assert (run.seed, run.scale, run.complete) == (1803, "smoke", True)
        assert run.versions["torch"] == torch.__version__
        assert 0 < run.seconds.training < run.seconds.total
    curve = (recorded / "classification" / CURVE).read_text().splitlines()
    assert curve[0] == "training,step,n_seen,loss,lr,error,seconds"
    assert [line.split(",")[5] != "" for line in curve[1:]] == [False, False, True, False, False, True]


def test_a_joint_network_is_evaluated_at_the_levels_that_its_training_ends_with(mine: Path) -> None:
    record(f"segmentation/siamese_unet-joint {COMMON} --test-scenes 4 --out joint --seed 7")
    found = load_run(mine / "joint")
    assert (found.name, found.segmentation.levels) == ("siamese_unet-joint-fast-seed-7", (4, 8))
    assert {"4/answer/test-train/iou", "8/answer/test-one-shot/localisation"} < found.figures.keys()


# --------------------------------------------------------------------------------- killed, and gone on with


def kill_at_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a signal during that step, as timeout(1) does: twice."""
    n_steps = 0
    step = fit.train_step

    def step_and_be_killed(*arguments: Any) -> torch.Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == number:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(fit, "train_step", step_and_be_killed)


@TASKS
def test_a_killed_run_leaves_weights_and_the_same_command_goes_on(
    task: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_step(3, patch)
        with pytest.raises(KeyboardInterrupt):
            record(f"{SMALL[task]} --out again")
    assert not (mine / "again" / RUN).exists()
    assert 0 < load_tensors(mine / "again" / WEIGHTS)[1]["training"]["n_seen"] < 40
    with pytest.raises(RecordError, match=r"run\.json is missing"):
        adopt.adopt(mine / "again")
    record(f"{SMALL[task]} --out again")
    found, whole = load_run(mine / "again"), load_run(mine / task)
    assert (found.trainings[0].n_steps, found.weights) == (N_STEPS[task], whole.weights)
    assert found.figures == whole.figures
    assert list((mine / "runs/record").iterdir()) == []


@TASKS
def test_a_run_whose_time_is_up_is_recorded_as_it_is_and_can_go_on(
    task: str, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(main, "share_out", lambda run: (None, time.monotonic() - 1))
        record(f"{SMALL[task]} --out brief")
    assert "the time was up before training ended: call the same command" in capsys.readouterr().err
    found = load_run(mine / "brief")
    assert (found.trainings[0].n_steps, found.evaluated, found.complete) == (2, True, False)
    record(f"{SMALL[task]} --out brief")
    assert load_run(mine / "brief").weights == load_run(mine / task).weights


def test_a_run_that_was_cut_off_while_evaluating_goes_on_there(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def be_cut(*_: Any) -> None:
        (lock,) = Path("runs/record").glob("*/lock")
        with pytest.raises(BusyError), alone_in(lock.parent):  # another command with the same run
            pass
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(main, "release", be_cut)
        with pytest.raises(PowerCutError):
            record(f"{SMALL['classification']} --out cut")
    monkeypatch.setattr(fit, "train_step", None)  # not reached
    record(f"{SMALL['classification']} --out cut")
    assert load_run(mine / "cut").weights == load_run(mine / "classification").weights


def test_two_different_runs_cannot_be_written_into_one_folder_at_once(mine: Path) -> None:
    with (
        alone_in(main.lock_folder(Path("both")), Path("both")),
        pytest.raises(BusyError, match=r"another process is training in .*both: wait"),
    ):
        record(f"{SMALL['classification']} --out {mine / 'both'}")
    assert not (mine / "both" / WEIGHTS).exists()
    assert not list(mine.glob("runs/record/*/conditions.json"))  # of another's run nothing is changed
    record(f"{SMALL['classification']} --out both")
    assert sorted(path.name for path in (mine / "both").iterdir()) == sorted([RUN, CURVE, SCORES, WEIGHTS])


def test_another_machines_checkpoint_is_refused_and_another_commands_not_met(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{SMALL['segmentation']} --out again"
    with monkeypatch.context() as patch:
        kill_at_step(2, patch)
        with pytest.raises(KeyboardInterrupt):
            record(command)
    (conditions,) = mine.glob("runs/record/*/conditions.json")
    kept = json.loads(conditions.read_text())
    conditions.write_text(json.dumps(kept | {"torch": "1.0"}))
    with pytest.raises(RecordError, match=r"is of another run \(torch 1\.0, now .*to go on nevertheless"):
        record(command)
    conditions.write_text(json.dumps(kept | {"speed": "bf16"}))
    with pytest.raises(RecordError, match=r"\(speed bf16, now (.*)\): .* or go on with --speed bf16\.$"):
        record(command)
    conditions.write_text(json.dumps(kept | {"device": "another"}))
    with pytest.raises(RecordError, match=r"\(device another, now .*: delete that folder to start afresh\.$"):
        record(command)
    record(f"{command} -S lr=0.001")
    assert load_run(mine / "again").trainings[0].settings["lr"] == 0.001
    conditions.write_text(json.dumps(kept | {"speed": "fused"}))
    shutil.rmtree(mine / "again")
    record(f"{command} --speed fused")
    assert not conditions.exists()


# -------------------------------------------------------------------------------------------------- MaskNet

AMOUNT = {
    "n_epochs": None,
    "phases": {name: [{"clutter_levels": [4], "n_scenes": 20}] for name in ("proposals", "discriminator")},
}
MASKNET = (
    f"segmentation/masknet-4 {COMMON} --test-scenes 4 -S 'segmentation.networks.masknet-4.smoke="
    f"{json.dumps(AMOUNT)}' -S segmentation.recipes.masknet.fast.discriminator.batch_size=4 "
    f"--start-from segmentation/{WEIGHTS} --out masknet"
)


def test_a_masknet_whose_time_is_up_before_its_discriminator_goes_on_and_is_recorded_with_all_answers(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(main, "share_out", lambda run: (None, time.monotonic() - 1))
        record(MASKNET)
    assert "before discriminator began: call the same command again" in capsys.readouterr().err
    assert not (mine / "masknet" / RUN).exists()
    record(MASKNET)
    found = load_run(mine / "masknet")
    assert (found.complete, found.n_seen, found.n_seen_before) == (True, 40, 40)
    assert [(one.name, one.n_steps) for one in found.trainings] == [("proposals", 3), ("discriminator", 5)]
    answers = {key.split("/")[1] for key in found.figures}
    assert answers == {
        "answer", "snapped", "top_1", "top_4", "top_16", "location_given", "candidates_given", "choice_given"
    }  # fmt: skip
    curve = (mine / "masknet" / CURVE).read_text().splitlines()
    assert {line.split(",")[0] for line in curve[1:]} == {"proposals", "discriminator"}


def test_a_run_that_starts_from_other_weights_says_so_and_keeps_them(mine: Path) -> None:
    start = f"segmentation/{WEIGHTS}"
    record(f"{SMALL['segmentation']} --out further --start-from {start} -S lr=1e-12")
    found, before = load_run(mine / "further"), load_run(mine / "segmentation")
    assert found.start_from is not None
    assert before.weights is not None
    assert (found.start_from.file, found.start_from.sha256) == (start, before.weights.sha256)
    assert (found.n_seen, found.n_seen_before) == (40, 40)
    # At such a rate nothing moves, unless the weights were prepared as if they were new.
    kept = (load_tensors(mine / place / WEIGHTS)[0] for place in ("further", "segmentation"))
    torch.testing.assert_close(*kept, atol=1e-4, rtol=0)
    with pytest.raises(WeightsError, match="cannot be the start of one of 3 feature maps"):
        record(
            f"{SMALL['segmentation']} --out other --start-from {start} "
            "-S scales.smoke.segmentation.feature_maps=3"
        )


# ----------------------------------------------------------------------------------------------- the budget


def under_way_with(seconds_before: float, **options: Any) -> Any:
    """A run whose evaluation takes 20 s, that is 35 s with the reserve."""
    evaluator = SimpleNamespace(measure_seconds=lambda net: 20.0)
    planned = SimpleNamespace(**({"minutes": None, "stop_after": None} | options))
    return SimpleNamespace(
        plan=planned, evaluator=evaluator, net=None, seconds_before=seconds_before, say=lambda words: None
    )


@pytest.mark.parametrize(
    ("options", "before", "until", "left"),
    [
        ({"minutes": 10.0}, 0.0, 565.0, 565.0),
        ({"minutes": 10.0}, 200.0, 565.0, 365.0),
        ({"minutes": 10.0}, 599.0, 565.0, None),
        ({"minutes": 20.0, "stop_after": 9.0}, 0.0, 505.0, 1165.0),
    ],
)
def test_training_gets_what_evaluation_and_earlier_commands_leave_of_the_minutes(
    options: dict[str, float], before: float, until: float, left: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(main, "STARTED", time.monotonic() - 5)
    seconds, deadline = main.share_out(under_way_with(before, **options))
    assert deadline == pytest.approx(main.STARTED + until)
    assert seconds == pytest.approx(main.LEAST_SECONDS if left is None else left - 5, abs=0.5)


def test_without_minutes_there_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "STARTED", time.monotonic())
    assert main.share_out(under_way_with(0.0)) == (None, float("inf"))
    seconds, deadline = main.share_out(under_way_with(0.0, stop_after=9.0))
    assert (seconds, deadline) == (None, pytest.approx(main.STARTED + 505))


def test_minutes_that_do_not_even_suffice_to_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "STARTED", time.monotonic())
    with pytest.raises(ParameterError, match=r"0\.5 minutes leave nothing to train in: .* give more"):
        main.share_out(under_way_with(0.0, minutes=0.5))


# ------------------------------------------------------------------------------------- refused, and adopted


def test_what_would_refuse_the_record_refuses_it_before_the_training(
    mine: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("begin_segmentation", "begin_classification"):
        monkeypatch.setattr(main, name, None)  # not reached
    (mine / "taken").write_text("a file")
    for command in SMALL.values():
        with pytest.raises(RecordError, match="cannot write into taken"):
            record(f"{command} --out taken")
        with pytest.raises(RecordError, match=r"these are not Omniglot's drawings; .* by --out"):
            record(command)
    sha256 = load_run(mine / "segmentation").drawings_sha256
    monkeypatch.setattr("stages.record.data.read_facts", lambda name: {"drawings": {"sha256": sha256}})
    with pytest.raises(RecordError, match="evaluated on all 10,000 scenes of a test set, not on 6"):
        record(SMALL["segmentation"])
    for task, command in SMALL.items():
        with pytest.raises(RecordError, match=f"{task} is there already"):
            record(f"{command} --out {task}")
    adopt.adopt(mine / "classification")
    with pytest.raises(RecordError, match=r"recorded/classification/own-tiny is there already"):
        record(SMALL["classification"])
    with pytest.raises(
        RecordError, match=r"^recorded/classification/own-tiny has this name already: .* --name"
    ):
        record(f"{SMALL['segmentation']} --name own-tiny --test-scenes 10000")


def test_a_classifier_is_trained_by_one_process(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def join_two(device: str) -> Iterator[World]:
        yield World(rank=1, size=2, device=device)

    monkeypatch.setattr(main, "join_world", join_two)
    with pytest.raises(ParameterError, match="trained by one process: leave torchrun out"):
        record(f"{SMALL['classification']} --out two")


@TASKS
def test_a_run_is_adopted_its_record_last_and_replaced_only_when_told(
    task: str, mine: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    replacing = adopt.replacing
    with monkeypatch.context() as patch:
        patch.setattr(adopt, "replacing", lambda path: written.append(path) or replacing(path))
        adopt.main([task])
    place = written[0].parent
    assert place == Path("recorded") / task / load_run(mine / task).name
    assert [path.name for path in written] == [WEIGHTS, SCORES, CURVE, RUN]
    assert all((place / name).read_bytes() == (mine / task / name).read_bytes() for name in FILES)
    change_run(mine / task, date="2030-01-01")
    with pytest.raises(RecordError, match=f"{place} is there already .* say --replace"):
        adopt.adopt(Path(task))
    adopt.main([task, "--replace"])
    assert load_run(place).date == "2030-01-01"


def test_nothing_is_adopted_beside_records_that_were_changed_by_hand(mine: Path, published: None) -> None:
    adopt.adopt(mine / "classification")
    change_run(Path("recorded/classification/own-tiny"), seed=7)
    for _ in range(2):  # the list stays as it was
        with pytest.raises(RecordError, match=r"own-tiny/run\.json in recorded .* was deleted or changed"):
            adopt.adopt(mine / "segmentation")
    assert not Path("recorded/segmentation").exists()
    adopt.main([])  # on purpose
    adopt.adopt(mine / "segmentation")


def test_an_incomplete_record_makes_way(mine: Path, published: None) -> None:
    change_training(mine / "segmentation", n_steps_planned=99)
    change_run(mine / "segmentation", date="2030-01-01")
    place = Path("recorded/segmentation/siamese_unet-4-fast")
    adopt.adopt(Path("segmentation"))
    assert not load_run(place).complete
    change_training(mine / "segmentation", n_steps_planned=5)
    adopt.adopt(Path("segmentation"))
    assert load_run(place).complete


def test_a_finished_run_without_out_is_adopted_by_itself(
    mine: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = load_run(mine / "segmentation").drawings_sha256
    monkeypatch.setattr("stages.record.data.read_facts", lambda name: {"drawings": {"sha256": sha256}})
    record(f"{SMALL['classification']} --name mine")
    assert load_run(Path("recorded/classification/mine")).complete
    assert list(Path("runs/record").iterdir()) == []


def tamper_scores(folder: Path) -> None:
    scores = load_scores(folder / SCORES)
    key = next(key for key in scores if key.endswith("test-train/iou") or key == "rising-ways")
    scores[key] = scores[key].copy()
    scores[key].flat[5] = 1 - scores[key].flat[5]
    save_scores(folder / SCORES, scores)


def tamper_weights(folder: Path) -> None:
    """Put another run's weights under the record's checksum."""
    tensors, about = load_tensors(folder / WEIGHTS)
    about["training"]["n_seen"] += 1
    save_tensors(folder / WEIGHTS, tensors, about)
    run = load_run(folder)
    assert run.weights is not None
    weights = run.weights.model_copy(update={"sha256": file_sha256(folder / WEIGHTS)})
    save_run(folder, run.model_copy(update={"weights": weights}))


@TASKS
@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (lambda folder: change_run(folder, git_revision="main"), "'main' is no Git revision"),
        (lambda folder: change_run(folder, seed=5), "says seed 5, its weights say 1803"),
        (lambda folder: change_run(folder, figures={}), "interrupted before its evaluation"),
        (lambda folder: change_run(folder, surplus=1), "surplus is not a known parameter"),
        (tamper_scores, "but its scores have the mean"),
        (tamper_weights, r"says n_seen \d+, its weights say \d+"),
        (lambda folder: (folder / CURVE).unlink(), r"the training curve .* is missing"),
        (lambda folder: (folder / SCORES).unlink(), r"scores\.safetensors is missing"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"weights\.safetensors is missing"),
        (lambda folder: flip_bit(folder / WEIGHTS, -9), "it was damaged, or is of another run"),
        (lambda folder: shutil.rmtree(folder), r"run\.json is missing"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_not_adopted(
    task: str, tamper: Callable[[Path], Any], complaint: str, mine: Path, published: None
) -> None:
    tamper(mine / task)
    with pytest.raises(OneshotError, match=complaint) as caught:
        adopt.adopt(mine / task)
    assert "\n" not in str(caught.value)
    assert not (mine / "recorded").exists()


@TASKS
def test_synthetic_alphabets_are_no_result_to_keep(task: str, mine: Path) -> None:
    with pytest.raises(RecordError, match=r"is of drawings with the SHA-256 .*: it is no result to keep"):
        adopt.adopt(mine / task)


def test_long_curves_lose_points_but_no_validation_and_not_the_last(tmp_path: Path) -> None:
    points = [
        LogPoint(2 * k, 20 * k, float(k), 0.1, k / 2, 1 / k if k % 500 == 0 else None) for k in range(1, 2003)
    ]
    save_curve(tmp_path, {"pairs": points})
    lines = [line.split(",") for line in (tmp_path / CURVE).read_text().splitlines()]
    assert lines[1] == ["pairs", "6", "60", "3", "0.1", "", "1.50"]  # one of three
    assert [line[5] for line in lines[1:] if line[5]] == ["0.002", "0.001", "0.000666667", "0.0005"]
    assert (len(lines), lines[-1][1:3]) == (1 + 667 + 3 + 1, ["4004", "40040"])


# --------------------------------------------------------------------------------------------- the revision


def git(*words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    named = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *named, *words], env=environment, check=True, capture_output=True)


@pytest.fixture
def checkout(project: Path) -> Path:
    for name in ("recorded/kept.json", "metrics/4.json", "dvc.lock"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("{}")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return project


def test_earlier_records_and_untracked_files_leave_a_checkout_clean(checkout: Path) -> None:
    for name in ("recorded/kept.json", "metrics/4.json", "dvc.lock", "untracked.txt"):
        (checkout / name).write_text("{ }")
    revision = recorded_revision(None, allow_dirty=False)
    assert len(revision) == 40
    assert recorded_revision(revision[:9], allow_dirty=True) == revision
    with pytest.raises(RecordError, match=f"--revision says 0123abc, but this checkout is at {revision}"):
        recorded_revision("0123abc", allow_dirty=False)


def test_a_changed_file_is_refused_unless_told(checkout: Path) -> None:
    (checkout / "params.yaml").write_text("seed: 7\n")
    with pytest.raises(RecordError, match=r"1 tracked files differ from the commit \(params\.yaml is one\)"):
        recorded_revision(None, allow_dirty=False)
    assert recorded_revision(None, allow_dirty=True).endswith("-dirty")


def test_a_copy_without_git_must_be_told_its_revision(project: Path) -> None:
    with pytest.raises(RecordError, match=r"is no Git checkout: name the commit .* by --revision"):
        recorded_revision(None, allow_dirty=False)
    assert recorded_revision("0123abc", allow_dirty=True) == "0123abc-dirty"


def test_drawings_that_cannot_be_fetched_are_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr(library, "PIPELINE_DRAWINGS", project / "absent.npz")
    with pytest.raises(DrawingsError, match=r"without the package pooch none can be fetched: .* --drawings"):
        record(f"classification/own --device cpu --revision {REVISION}")


# ------------------------------------------------------------------------------------- options and the list


def make(command: str) -> plan.RunPlan:
    arguments = plan.build_parser().parse_args(shlex.split(command))
    return plan.make_plan(arguments, plan.read_params(arguments))


def test_overrides_replace_parameters_and_names_tell_runs_apart(project: Path) -> None:
    usual = make("segmentation/siamese_unet-32")
    assert (usual.name, usual.levels, usual.minutes) == ("siamese_unet-32-published", (32,), None)
    other = make(
        "segmentation/siamese_unet-32 -S scales.paper.segmentation.recipe=fast --seed 5 --minutes 9 "
        "-S segmentation.recipes.siamese_unet.fast.segmentation.lr=1e-05 --test-scenes 20"
    )
    assert (other.name, other.levels, other.minutes) == ("siamese_unet-32-fast-seed-5", (32,), 9.0)
    assert other.training.settings["trainings"]["segmentation"]["lr"] == 1e-5
    assert other.n_test_scenes == 20
    assert make("segmentation/siamese_unet-joint").levels == (4, 8, 16, 32, 64, 128, 256)
    assert make("classification/own").name == "own"
    assert make("classification/own -S scales.paper.classification.base=koch_small").name == "own-koch_small"
    assert make("classification/protonet --seed 2").name == "protonet-seed-2"
    assert make("classification/own --name other").name == "other"
    assert usual.identity != make("segmentation/siamese_unet-32 -S lr=0.1").identity


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("own", "'own' is no TASK/NETWORK"),
        ("segmentation/alexnet", "there is no network 'alexnet' for segmentation"),
        ("classification/pairs_30000 --scale laptop", "pairs_30000 is not trained at scale laptop"),
        (
            "classification/own --scale mini",
            "scale is 'mini', but input should be 'smoke', 'laptop' or 'paper'",
        ),
        ("classification/own -S classification.recipes.own.lr=-1", "lr is -1, but"),
        ("classification/own -S classification.recipes.own.lrs=1", "own.lrs is not a known parameter"),
        ("classification/own --minutes 0", "--minutes is 0.0"),
        ("classification/own --stop-after -1", "--stop-after is -1.0"),
        ("classification/own --seed -1", "--seed is -1"),
        ("classification/own --name a/b", "--name is 'a/b'"),
        ("classification/own --start-from x", "starts from no others"),
        ("segmentation/siamese_unet-4 --test-scenes 1", "--test-scenes is 1"),
    ],
)
def test_impossible_options_are_named_in_one_sentence(command: str, complaint: str, project: Path) -> None:
    with pytest.raises(ParameterError, match=complaint) as caught:
        make(command)
    assert "\n" not in str(caught.value)


def release_for_masknets() -> None:
    """Put what MaskNets start from in its place, as far as a plan reads it."""
    for level in (4, 8, 16, 32, 64, 128, 256, "joint"):
        for recipe in ("fast", "published", "fast-24"):
            path = Path(f"recorded/segmentation/siamese_unet-{level}-{recipe}") / WEIGHTS
            save_tensors(path, {}, {"training": {"n_seen": 500, "n_seen_before": 20}})


def test_a_masknet_starts_from_the_recorded_siamese_unet(project: Path) -> None:
    with pytest.raises(WeightsError, match=r"none at recorded/segmentation/siamese_unet-32-published/"):
        make("segmentation/masknet-32")
    release_for_masknets()
    planned = make("segmentation/masknet-32")
    assert planned.start == Path("recorded/segmentation/siamese_unet-32-published") / WEIGHTS
    assert planned.start_from is not None
    assert planned.start_from.n_seen == 520


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_every_wanted_run_is_planned_under_a_name_of_its_own(device: str, project: Path) -> None:
    shutil.copytree(ROOT / "recorded", project / "recorded")
    release_for_masknets()
    plans = [make(shlex.join(words)) for words in plan.read_wanted(device)]
    names = [(planned.training.task, planned.name) for planned in plans]
    assert len(set(names)) == len(names) >= 5
    assert all(planned.minutes and planned.training.scale == "paper" for planned in plans)


def test_the_next_run_is_the_topmost_without_a_complete_record(
    mine: Path, published: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"run": "classification/own", "set": {"seed": 1803}, "minutes": 9, "name": name}
             for name in ("first", "second")]  # fmt: skip
    Path("recorded").mkdir()
    Path("recorded/wanted.yaml").write_text(json.dumps({"cpu": lines, "gpu": []}))
    assert main.parse(["--next", "--device", "cpu", "--allow-dirty"]).name == "first"
    record_as(mine, "first", n_steps_planned=99)
    assert main.parse(["--next", "--device", "cpu"]).name == "first"
    record_as(mine, "first")
    arguments = main.parse(["--next", "--device", "cpu", "--allow-dirty"])
    assert (arguments.name, arguments.minutes, arguments.overrides) == ("second", 9.0, ["seed=1803"])
    assert (arguments.device, arguments.allow_dirty) == ("cpu", True)
    record_as(mine, "second")
    with pytest.raises(ParameterError, match=r"every run that .* wants on a cpu has a complete record"):
        main.parse(["--next", "--device", "cpu"])
    with pytest.raises(ParameterError, match="either a TASK/NETWORK or --next"):
        main.parse(["classification/own", "--next"])
    gone = [{"run": "segmentation/gone", "set": {}}, {"run": "clasification/own", "set": {}}]
    Path("recorded/wanted.yaml").write_text(json.dumps({"cpu": gone[:1], "gpu": gone[1:]}))
    capsys.readouterr()
    with pytest.raises(
        ParameterError, match=r"every run .* has a complete record, or is refused by params\.yaml"
    ):
        main.parse(["--next", "--device", "cpu"])
    assert "left out: segmentation/gone" in capsys.readouterr().err
    with pytest.raises(ParameterError, match="wants 'clasification/own', which is no TASK/NETWORK"):
        plan.find_next("gpu")


def test_the_list_is_that_of_the_device_in_params_yaml(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    lists: list[str] = []
    monkeypatch.setattr(main, "find_next", lambda device: lists.append(device) or ["classification/own"])
    main.parse(["--next"])
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("\ndevice: auto", "\ndevice: cpu"))
    main.parse(["--next"])
    main.parse(["--next", "--device", "cuda"])
    assert lists == ["gpu", "cpu", "gpu"]


def record_as(folder: Path, name: str, **changes: Any) -> None:
    run = load_run(folder / "classification")
    training = run.trainings[0].model_copy(update=changes)
    save_run(
        Path("recorded/classification") / name,
        Run.model_validate(run.model_dump() | {"name": name, "trainings": [training.model_dump()]}),
    )


# ----------------------------------------------------------------------------------------- on real Omniglot


@pytest.mark.omniglot
def test_the_test_sets_are_compared_with_the_published_ones(drawings: Drawings) -> None:
    test_sets, as_published = render_test_sets(drawings, 4, 5)
    assert as_published == dict.fromkeys((*TEST_SPLITS, *COVERED_SPLITS), "yes")
    assert {name: len(scenes) for name, scenes in test_sets.scenes.items()} == dict.fromkeys(as_published, 5)
    bits = drawings.bits.copy()
    changed = np.flatnonzero(drawings.character_sets == "test")
    bits[changed] = bits[changed[::-1]]
    turned = replace(drawings, bits=bits)
    assert render_test_sets(turned, 4, 5)[1] == {
        "test-train": "yes", "test-one-shot": "no", "covered-train": "yes", "covered-one-shot": "no",
    }  # fmt: skip


@pytest.mark.omniglot
def test_of_covered_targets_there_are_two_thousand_scenes_less_those_without_a_visible_pixel(
    drawings: Drawings,
) -> None:
    test_sets, as_published = render_test_sets(drawings, 256, 2500)
    assert set(as_published.values()) == {"yes"}
    for split in COVERED_SPLITS:
        found = test_sets.scenes[split]
        recipe = split_recipe(find_split(split), 256)
        whole = load_scenes(split, 256, drawings=drawings)
        shown = (whole.masks & (whole.labels == recipe.clutter_level)).any((1, 2))
        assert len(found) == shown.sum() < 2000
        assert ((found.labels == 256) == found.masks).all()


@pytest.mark.omniglot
def test_what_is_not_available_is_not_computed_and_said(
    drawings: Drawings, project: Path, mirror: Path
) -> None:
    protocols = find_protocols(drawings, load_params(ROOT / "params.yaml").other_images)
    outside, not_computed = read_outside(protocols)
    assert (outside, not_computed.keys()) == ({}, {"all_runs", "mnist"})
    outside, not_computed = read_outside(protocols, mirror / "all_runs.zip")
    assert (outside.keys(), not_computed.keys()) == ({"all_runs"}, {"mnist"})
    for all_runs, mnist in ((project / "runs.zip", None), (None, project)):
        with pytest.raises(OneshotError, match="is missing"):
            read_outside(protocols, all_runs, mnist)
    (project / "runs.zip").write_bytes((mirror / "all_runs.zip").read_bytes() + b"more")
    with pytest.raises(OneshotError, match=r"runs\.zip is not Lake's published|is no whole zip"):
        read_outside(protocols, project / "runs.zip")


@pytest.mark.omniglot
@pytest.mark.mnist
def test_trials_on_mnist_and_lakes_runs_are_described_as_adoption_wants_them(mirror: Path) -> None:
    if not (mirror.parent / "mnist").is_dir():
        pytest.skip("there is no folder mnist beside OMNIGLOT_MIRROR")
    facts = read_facts("episodes")
    digits = describe_lists([read_digits(mirror.parent / "mnist").episodes])
    assert digits["sha256"] == facts["mnist"]["picked_sha256"]
    _, runs = read_all_runs(mirror / "all_runs.zip")
    assert describe_lists([runs])["sha256"] == facts["all_runs"]["sha256"]


def test_progress_is_told_now_and_then(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ongoing = under_way.OngoingRun(
        plan=None, folder=tmp_path, files=tmp_path, speed=None, world=World(), started=time.monotonic(),
        net=None, train=None, trainings=["pairs"], n_steps_before={"pairs": 2},
    )  # type: ignore[arg-type]  # fmt: skip
    ongoing.spoken -= 2 * under_way.SPOKEN_SECONDS
    ongoing.note("pairs", LogPoint(2, 20, 0.5, 0.1, 1.0, 0.25))
    assert capsys.readouterr().err == ""  # an earlier command's
    ongoing.note("pairs", LogPoint(4, 40, 0.25, 0.1, 2.0))
    assert "pairs: step 4, 40 seen, 20 a second, loss 0.2500, best validation error 25.0 %" in (
        capsys.readouterr().err
    )
    assert (tmp_path / CURVE).read_text().count("\n") == 3
