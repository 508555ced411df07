"""Recording a run and adopting it, in a folder without the pipeline, on invented alphabets."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot import library
from oneshot.errors import DrawingsError, OneshotError, ParameterError
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import Params, load_params
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.release import evaluate_file
from oneshot.records.run import RecordError, load_record, save_record
from oneshot.records.scene_scores import load_scores, save_scores
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.feed import Phase
from oneshot.segment.metrics import has_same_class_distractor
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.weights import WeightsInfo, load_weights, save_weights
from oneshot.training import fit
from oneshot.training.tensors import WeightsError
from stages import adopt, record, record_run
from stages.record_data import render_levels, render_test_sets
from stages.record_plan import build_parser, make_plan
from stages.revision import recorded_revision
from tests.archives import flip_bit
from tests.conftest import ROOT

# What a machine that only computes may lack.
ABSENT = ("dvc", "zarr", "numcodecs", "pooch", "beartype", "matplotlib", "pandas", "joblib")
REVISION = "0123456789abcdef0123456789abcdef01234567"
SMALL = f"4 --recipe fast --scale smoke --scenes 40 --test-scenes 6 --device cpu --revision {REVISION}"
FLAT = (".json", ".curve.csv", ".scores.safetensors", ".weights.safetensors")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project without Git, as far as recording needs one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, synthetic_drawings: Drawings) -> Path:
    """A small run in a folder `out`, its drawings beside that."""
    project = tmp_path_factory.mktemp("recorded")
    shutil.copy(ROOT / "params.yaml", project)
    save_drawings(project / "drawings.npz", synthetic_drawings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run(f"{SMALL} --drawings drawings.npz --out out")
    return project


def run(command: str) -> None:
    record.main(shlex.split(command))


@pytest.fixture
def mine(recorded: Path, project: Path) -> Path:
    """A copy of the small run, to be tampered with."""
    shutil.copytree(recorded, project, dirs_exist_ok=True)
    return project


def stem(folder: Path, ending: str) -> Path:
    return folder / f"out/siamese_unet-fast-4{ending}"


# ----------------------------------------------------------------------------------------- a run as a whole


def test_a_run_needs_nothing_of_the_pipeline_and_is_adopted(project: Path) -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"
    words = shlex.split(f"{SMALL} --out out --allow-dirty")
    code = f"{block}; from stages import record; record.main({words!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "test-one-shot IoU" in done.stderr
    assert sorted(path.name for path in (project / "out").iterdir()) == sorted(
        f"siamese_unet-fast-4{ending}" for ending in FLAT
    )
    adopt.main(["out", "--any-scenes"])

    found = load_record(project / "results/siamese_unet/fast/4.json")
    assert (found.n_scenes_seen, found.training[0].n_steps, found.complete) == (40, 5, True)
    assert found.git_revision == f"{REVISION}-dirty"
    assert found.test_sets_as_published == {"4": {"test-train": "synthetic", "test-one-shot": "synthetic"}}
    curve = (project / "results/siamese_unet/fast/4.curve.csv").read_text().splitlines()
    assert curve[0] == "training,step,n_scenes,loss,lr,seconds"
    assert curve[1].startswith("segmentation,5,40,0.")
    net, info = load_weights(project / "weights/siamese_unet/fast/4.safetensors")
    assert (info.recipe, info.n_scenes_seen) == ("fast", 40)
    assert found.n_parameters == sum(p.numel() for p in net.parameters())
    assert list((project / "runs/record").iterdir()) == []


def test_what_is_recorded_are_the_scores_of_the_released_file(
    recorded: Path, synthetic_drawings: Drawings
) -> None:
    found, scores = load_record(stem(recorded, ".json")), load_scores(stem(recorded, ".scores.safetensors"))
    test_sets, _ = render_levels(synthetic_drawings, [4], 6)
    again = evaluate_file(stem(recorded, ".weights.safetensors"), test_sets, "cpu", 6)["4"]["answer"]
    assert list(found.scores["4"]) == list(scores["4"]) == ["answer"]
    for split, evaluation in again.items():
        said, kept = found.scores["4"]["answer"][split], scores["4"]["answer"][split]
        np.testing.assert_allclose(kept.iou, evaluation.iou, atol=1e-6)
        np.testing.assert_array_equal(kept.hits, evaluation.hits)
        assert said.iou == pytest.approx(evaluation.iou.mean())
        assert said.n == 6
        same_class = has_same_class_distractor(test_sets[4].scenes[split])
        groups = {True: said.with_same_class, False: said.without_same_class}
        for has_one, group in groups.items():
            assert (group is None) == (not (same_class == has_one).any())
            if group is not None:
                assert group.iou == pytest.approx(evaluation.iou[same_class == has_one].mean())


def test_a_joint_network_is_trained_on_all_levels_and_evaluated_at_each(mine: Path) -> None:
    joint = SMALL.replace("4 ", "joint ", 1).replace("--scenes 40", "--scenes 560")
    run(f"{joint} --drawings drawings.npz --out joint")
    found = load_record(mine / "joint/siamese_unet-fast-joint.json")
    levels = ["4", "8", "16", "32", "64", "128", "256"]
    assert (found.clutter_level, found.name, found.complete) == ("joint", "joint", True)
    phases = [phase.clutter_levels for phase in found.training[0].phases]
    assert (len(phases), phases[0], phases[-1]) == (7, (4,), tuple(map(int, levels)))
    assert list(found.scores) == list(found.test_sets_as_published) == levels
    assert set(load_scores(mine / "joint/siamese_unet-fast-joint.scores.safetensors")) == set(levels)
    adopt.adopt(mine / "joint", any_scenes=True)
    assert (mine / "weights/siamese_unet/fast/joint.safetensors").is_file()


def test_options_and_parameters_in_force_are_recorded(recorded: Path) -> None:
    found = load_record(stem(recorded, ".json"))
    (training,) = found.training
    assert (found.recipe, training.name) == ("fast", "segmentation")
    assert (training.lr, training.batch_size, training.matching_weight) == (0.002, 8, 0.1)
    assert (found.feature_maps, found.seed, found.scale, found.n_jobs) == (2, 1803, "smoke", 20)
    assert [phase.model_dump() for phase in training.phases] == [{"clutter_levels": (4,), "n_scenes": 40}]
    assert found.start_from is None
    assert found.versions["torch"] == torch.__version__
    assert 0 < found.seconds.training < found.seconds.total
    assert found.weights is not None
    assert found.weights.file == "weights/siamese_unet/fast/4.safetensors"


# --------------------------------------------------------------------------------- killed, and gone on with


def kill_at_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal during that step, as timeout(1) sends it: twice."""
    n_steps = 0
    step = fit.train_step

    def step_and_be_killed(*arguments: object) -> torch.Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == number:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(fit, "train_step", step_and_be_killed)


def test_a_killed_run_leaves_weights_and_the_same_command_goes_on(
    recorded: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{SMALL} --drawings drawings.npz --out again"
    with monkeypatch.context() as patch:
        kill_at_step(3, patch)
        with pytest.raises(KeyboardInterrupt):
            run(command)
    unfinished = load_record(mine / "again/siamese_unet-fast-4.json")
    steps = unfinished.training[0]
    assert (steps.n_steps, steps.n_steps_planned, unfinished.complete) == (3, 5, False)
    assert unfinished.scores == {}
    assert load_weights(mine / "again/siamese_unet-fast-4.weights.safetensors")[1].n_scenes_seen == 24
    with pytest.raises(RecordError, match="interrupted before its evaluation"):
        adopt.adopt(mine / "again", any_scenes=True)

    run(command)
    found = load_record(mine / "again/siamese_unet-fast-4.json")
    whole = load_record(stem(recorded, ".json"))
    assert (found.training[0].n_steps, found.complete, found.weights) == (5, True, whole.weights)
    assert list((mine / "runs/record").iterdir()) == []


def test_another_machines_checkpoint_is_refused_and_another_commands_not_met(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{SMALL} --drawings drawings.npz --out again"
    with monkeypatch.context() as patch:
        kill_at_step(2, patch)
        with pytest.raises(KeyboardInterrupt):
            run(command)
    (conditions,) = mine.glob("runs/record/*/conditions.json")
    kept = json.loads(conditions.read_text())
    conditions.write_text(json.dumps(kept | {"torch": "1.0"}))
    with pytest.raises(RecordError, match=r"is of another run \(torch 1\.0, now .*to go on nevertheless"):
        run(command)
    run(f"{command} --lr 0.001")
    assert load_record(mine / "again/siamese_unet-fast-4.json").training[0].lr == 0.001
    assert conditions.exists()


def test_weights_are_kept_while_training_goes_on(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCutError(Exception):
        pass

    def keep_and_be_cut(ongoing: record.Run, n_scenes_seen: int) -> None:
        keep(ongoing, n_scenes_seen)
        raise PowerCutError

    keep = record.Run.keep
    monkeypatch.setattr(record.Run, "keep", keep_and_be_cut)
    monkeypatch.setattr(record_run, "WEIGHTS_SECONDS", 0)
    monkeypatch.setattr(record, "load_params", load_params_with_frequent_points)
    with pytest.raises(PowerCutError):
        run(f"{SMALL} --drawings drawings.npz --out again")
    assert load_weights(mine / "again/siamese_unet-fast-4.weights.safetensors")[1].n_scenes_seen == 16
    curve = (mine / "again/siamese_unet-fast-4.curve.csv").read_text().splitlines()
    assert curve[1].startswith("segmentation,2,16,")
    assert not (mine / "again/siamese_unet-fast-4.json").exists()


# -------------------------------------------------------------------------------------------------- MaskNet

MASKNET = SMALL.replace("--scenes 40", "--net masknet --scenes 20 --discriminator-batch-size 4")
ANSWERS = ["answer", "top_1", "top_4", "top_16", "location_given", "candidates_given", "choice_given"]


@pytest.fixture
def masknet_command(mine: Path) -> str:
    """Of a small MaskNet that starts from the small run's Siamese-U-Net."""
    start = "out/siamese_unet-fast-4.weights.safetensors"
    return f"{MASKNET} --drawings drawings.npz --start-from {start} --out masknets"


def test_a_masknet_is_trained_in_two_steps_and_recorded_with_all_its_answers(
    mine: Path, masknet_command: str
) -> None:
    run(masknet_command)
    found = load_record(mine / "masknets/masknet-fast-4.json")
    assert (found.net, found.complete, found.n_scenes_seen, found.n_scenes_before) == (
        "masknet",
        True,
        40,
        40,
    )
    assert [training.name for training in found.training] == ["proposals", "discriminator"]
    assert [(training.batch_size, training.n_steps) for training in found.training] == [(8, 3), (4, 5)]
    assert list(found.scores["4"]) == ANSWERS
    scores = load_scores(mine / "masknets/masknet-fast-4.scores.safetensors")["4"]
    assert set(scores) == set(ANSWERS)
    net, info = load_weights(mine / "masknets/masknet-fast-4.weights.safetensors")
    assert isinstance(net, MaskNet)
    assert (info.n_scenes_seen, info.n_scenes_before) == (40, 40)
    curve = (mine / "masknets/masknet-fast-4.curve.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in curve[1:]] == [
        ["proposals", "3", "20"], ["discriminator", "5", "20"]
    ]  # fmt: skip
    adopt.adopt(mine / "masknets", any_scenes=True)
    assert load_record(mine / "results/masknet/fast/4.json") == found


def test_a_masknet_whose_time_is_up_before_its_discriminator_is_no_result_and_can_go_on(
    mine: Path, masknet_command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(record, "deadline_of", lambda *_: time.monotonic() - 1)
        patch.setattr(record, "load_params", load_params_with_frequent_points)
        run(masknet_command)
    assert "before discriminator began: call the same command again" in capsys.readouterr().err
    found = load_record(mine / "masknets/masknet-fast-4.json")
    assert ([training.name for training in found.training], found.scores) == (["proposals"], {})
    with pytest.raises(OneshotError, match="interrupted before its evaluation"):
        adopt.adopt(mine / "masknets", any_scenes=True)
    run(masknet_command)
    assert load_record(mine / "masknets/masknet-fast-4.json").complete


def test_what_earlier_commands_have_trained_is_taken_from_the_minutes(
    mine: Path, masknet_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def reach(*_: object, **options: object) -> None:
        given.update(options, now=time.monotonic())
        raise ReachedError

    monkeypatch.setattr(record, "train_steps", reach)
    monkeypatch.setattr(record, "find_reserve", lambda *_: 0.0)
    monkeypatch.setattr(record, "STARTED", time.monotonic())
    for before, left in ((0.0, 600.0), (200.0, 400.0), (599.0, record.LEAST_SECONDS)):
        monkeypatch.setattr(record_run.Run, "look_back", lambda _, before=before: before)
        with pytest.raises(ReachedError):
            run(f"{masknet_command} --minutes 10")
        elapsed = given["now"] - record.STARTED
        assert given["seconds"] == pytest.approx(max(left - elapsed, record.LEAST_SECONDS), abs=0.5)


@pytest.mark.parametrize("n_steps", [2, 5])
def test_a_masknet_that_was_killed_in_either_step_goes_on(
    n_steps: int, mine: Path, masknet_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(masknet_command)
    whole = load_weights(mine / "masknets/masknet-fast-4.weights.safetensors")[0]
    with monkeypatch.context() as patch:
        kill_at_step(n_steps, patch)
        with pytest.raises(KeyboardInterrupt):
            run(f"{masknet_command} --out again")
    unfinished = load_record(mine / "again/masknet-fast-4.json")
    assert (len(unfinished.training), unfinished.complete) == (1 if n_steps == 2 else 2, False)
    run(f"{masknet_command} --out again")
    assert load_record(mine / "again/masknet-fast-4.json").complete
    resumed = load_weights(mine / "again/masknet-fast-4.weights.safetensors")[0]
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), atol=0, rtol=0)


# ----------------------------------------------------------------------------------------------- the budget


class ReachedError(Exception):
    """Stands for a training that would begin now."""


def give_training(command: str, monkeypatch: pytest.MonkeyPatch, level: str = "4") -> dict:
    """What a command hands to the training, at a second an evaluated batch."""
    found = {}

    def reach(*_: object, **options: object) -> None:
        found.update(options, now=time.monotonic())
        raise ReachedError

    monkeypatch.setattr(record, "STARTED", time.monotonic() - 5)
    monkeypatch.setattr(record, "measure_evaluation", lambda *_, **options: 1 / options["batch_size"])
    monkeypatch.setattr(record, "train_steps", reach)
    with pytest.raises(ReachedError):
        run(f"{level} {SMALL.partition(' ')[2]} --drawings drawings.npz --out brief {command}")
    return found


def test_training_gets_what_evaluation_and_the_start_leave_of_the_minutes(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two test sets of 100 scenes, twice, in batches of 20: 20 s.
    given = give_training("--minutes 10 --test-scenes 100", monkeypatch)
    assert given["deadline"] == pytest.approx(record.STARTED + 600 - 1.25 * 20 - 5)
    assert given["seconds"] == pytest.approx(given["deadline"] - given["now"], abs=0.5)
    assert given["seconds"] < 565


def test_a_joint_network_leaves_time_to_evaluate_it_at_every_level(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = give_training("--minutes 10 --test-scenes 20", monkeypatch, "joint")
    assert given["deadline"] == pytest.approx(record.STARTED + 600 - 1.25 * 7 * 4 - 5)


def test_a_command_can_end_before_the_schedule_does(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = give_training("--minutes 20 --stop-after 9 --test-scenes 100", monkeypatch)
    assert given["deadline"] == pytest.approx(record.STARTED + 540 - 1.25 * 20 - 5)
    assert given["seconds"] == pytest.approx(record.STARTED + 1200 - 1.25 * 20 - 5 - given["now"], abs=0.5)
    given = give_training("--stop-after 9 --test-scenes 100", monkeypatch)
    assert given["deadline"] == pytest.approx(record.STARTED + 540 - 1.25 * 20 - 5)
    assert given["seconds"] is None


def test_without_minutes_there_is_no_end(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = give_training("", monkeypatch)
    assert (given["seconds"], given["deadline"]) == (None, float("inf"))


def test_minutes_that_do_not_even_suffice_to_evaluate(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "STARTED", time.monotonic())
    monkeypatch.setattr(record, "train_steps", None)  # not reached
    with pytest.raises(ParameterError, match=r"0\.05 minutes leave nothing to train in: .*--test-scenes"):
        run(f"{SMALL} --drawings drawings.npz --out brief --minutes 0.05")


def test_a_run_whose_time_is_up_is_recorded_as_it_is_and_can_go_on(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{SMALL} --drawings drawings.npz --out brief"
    with monkeypatch.context() as patch:
        patch.setattr(record, "deadline_of", lambda *_: time.monotonic() - 1)
        patch.setattr(record, "load_params", load_params_with_frequent_points)
        run(command)
    found = load_record(mine / "brief/siamese_unet-fast-4.json")
    steps = found.training[0]
    assert (steps.n_steps, steps.n_steps_planned, found.complete) == (2, 5, False)
    assert found.scores["4"]["answer"]["test-one-shot"].n == 6
    assert len(list(mine.glob("runs/record/*/segmentation.safetensors"))) == 1
    run(command)
    assert list((mine / "runs/record").iterdir()) == []
    assert load_record(mine / "brief/siamese_unet-fast-4.json").complete


def load_params_with_frequent_points() -> Params:
    params = load_params()
    often = params.siamese_unet.model_copy(update={"log_every": 2})
    return params.model_copy(update={"siamese_unet": often})


# --------------------------------------------------------------------------------------- from other weights


def test_a_run_that_starts_from_other_weights_says_so_and_keeps_them(
    recorded: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "out/siamese_unet-fast-4.weights.safetensors"
    run(f"{SMALL} --drawings drawings.npz --out further --start-from {start} --lr 1e-12")
    found = load_record(mine / "further/siamese_unet-fast-4.json")
    before = load_record(stem(recorded, ".json"))
    assert found.start_from is not None
    assert before.weights is not None
    assert (found.start_from.file, found.start_from.sha256) == (start, before.weights.sha256)
    assert (found.n_scenes_seen, found.n_scenes_before, found.start_from.n_scenes_seen) == (40, 40, 40)
    net, info = load_weights(mine / "further/siamese_unet-fast-4.weights.safetensors")
    assert (info.n_scenes_seen, info.n_scenes_before) == (40, 40)
    # At such a rate nothing moves, unless the weights were prepared as if they were new.
    torch.testing.assert_close(
        net.state_dict(), load_weights(mine / start)[0].state_dict(), atol=1e-6, rtol=0
    )

    monkeypatch.setattr(record, "finish", None)  # not reached
    with pytest.raises(
        WeightsError, match="siamese_unet of 2 feature maps, which cannot be the start of one of 3"
    ):
        run(f"{SMALL} --feature-maps 3 --drawings drawings.npz --out further --start-from {start}")


# ------------------------------------------------------------------------------------------------- adoption


def test_invented_alphabets_are_no_result_to_keep(mine: Path) -> None:
    with pytest.raises(RecordError, match="these drawings do not give the published test sets"):
        run(f"{SMALL} --drawings drawings.npz")
    with pytest.raises(RecordError, match="was evaluated on other scenes than the published ones"):
        adopt.adopt(mine / "out")
    assert not (mine / "results").exists()


def test_a_complete_record_is_replaced_only_when_told(mine: Path) -> None:
    adopt.adopt(mine / "out", any_scenes=True)
    there = mine / "results/siamese_unet/fast/4.json"
    before = there.read_bytes()
    change_record(mine, date="2030-01-01")
    said = r"4\.json is there already \(2 feature maps, 40 scenes\): say --replace"
    with pytest.raises(RecordError, match=said):
        adopt.adopt(mine / "out", any_scenes=True)
    with pytest.raises(RecordError, match=said):
        run(f"{SMALL} --drawings drawings.npz")
    assert there.read_bytes() == before
    adopt.adopt(mine / "out", any_scenes=True, replace=True)
    assert json.loads(there.read_text())["date"] == "2030-01-01"


def test_an_incomplete_record_makes_way(mine: Path) -> None:
    change_training(mine, n_steps=4)
    adopt.adopt(mine / "out", any_scenes=True)
    assert not load_record(mine / "results/siamese_unet/fast/4.json").complete
    change_training(mine, n_steps=5)
    adopt.adopt(mine / "out", any_scenes=True)
    assert load_record(mine / "results/siamese_unet/fast/4.json").complete


def test_a_folder_that_cannot_be_written_into_is_found_before_training(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "train_steps", None)  # not reached
    (mine / "taken").write_text("a file")
    with pytest.raises(RecordError, match="cannot write into taken"):
        run(f"{SMALL} --drawings drawings.npz --out taken")


def test_few_test_scenes_are_no_result_to_keep(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "train_steps", None)  # not reached
    with pytest.raises(RecordError, match="evaluated on all 10,000 scenes of a test set, not on 6"):
        run(f"{SMALL} --scale paper --drawings drawings.npz")


def test_a_folder_without_records(project: Path) -> None:
    with pytest.raises(RecordError, match="there is no recorded run in out"):
        adopt.adopt(Path("out"))


def change_record(folder: Path, **changes: object) -> None:
    path = stem(folder, ".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_training(folder: Path, **changes: object) -> None:
    (training,) = json.loads(stem(folder, ".json").read_text())["training"]
    change_record(folder, training=[training | changes])


def move_record(folder: Path) -> None:
    stem(folder, ".json").rename(folder / "out/siamese_unet-fast-8.json")


def change_scores(folder: Path) -> None:
    path = stem(folder, ".scores.safetensors")
    scores = load_scores(path)
    answers = scores["4"]["answer"]
    known = answers["test-train"]
    answers["test-train"] = replace(known, iou=known.iou + np.float32(0.001))
    save_scores(path, scores)


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (lambda folder: flip_bit(stem(folder, ".weights.safetensors"), 5000), "damaged, or is of another"),
        (lambda folder: stem(folder, ".weights.safetensors").unlink(), "there are no weights at"),
        (change_scores, "says IoU .* on test-train at 4 .* its scenes' scores have the means"),
        (lambda folder: stem(folder, ".scores.safetensors").unlink(), "the scores .* are missing"),
        (lambda folder: stem(folder, ".curve.csv").unlink(), "the training curve .* is missing"),
        (lambda folder: change_record(folder, git_revision="unknown"), "'unknown' is no Git revision"),
        (lambda folder: change_training(folder, n_scenes_seen=41), "n_scenes_seen 41, its weights say 40"),
        (lambda folder: change_record(folder, clutter_level=8), "calls itself '4', but is of .* 8"),
        (lambda folder: change_record(folder, weights=None), "does not say that its weights belong at"),
        (move_record, "is the record of another run than it is named after"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(
    mine: Path, tamper: Callable[[Path], None], complaint: str
) -> None:
    tamper(mine)
    with pytest.raises(OneshotError, match=complaint):
        adopt.adopt(mine / "out", any_scenes=True)
    assert not (mine / "results").exists()


def test_one_wrong_run_keeps_all_of_a_folder_out(mine: Path) -> None:
    for net, recipe in (("siamese_unet", "published"), ("masknet", "fast")):
        other = load_record(stem(mine, ".json")).model_copy(update={"net": net, "recipe": recipe})
        path = mine / f"out/{net}-{recipe}-4.json"
        save_record(path, other)
        with pytest.raises(OneshotError, match=path.stem):
            adopt.adopt(mine / "out", any_scenes=True)
        assert not (mine / "results").exists()
        path.unlink()


# --------------------------------------------------------------------------------------------- the revision


def git(*words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    named = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *named, *words], env=environment, check=True, capture_output=True)


@pytest.fixture
def checkout(project: Path) -> Path:
    (project / "results").mkdir()
    (project / "results/kept.json").write_text("{}")
    (project / "metrics").mkdir()
    (project / "metrics/4.json").write_text("{}")
    (project / "dvc.lock").write_text("outs: []")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return project


def test_the_revision_of_a_clean_checkout(checkout: Path) -> None:
    revision = recorded_revision(None, allow_dirty=False)
    assert len(revision) == 40
    assert recorded_revision(revision[:9], allow_dirty=True) == revision
    with pytest.raises(RecordError, match=f"--revision says 0123abc, but this checkout is at {revision}"):
        recorded_revision("0123abc", allow_dirty=False)


def test_earlier_records_and_untracked_files_leave_a_checkout_clean(checkout: Path) -> None:
    (checkout / "results/kept.json").write_text("{ }")
    (checkout / "notes.txt").write_text("untracked")
    (checkout / "dvc.lock").write_text("outs: [another]")
    (checkout / "metrics/4.json").write_text("{ }")
    assert recorded_revision(None, allow_dirty=False).isalnum()


def test_a_changed_file_is_refused_unless_told(checkout: Path) -> None:
    (checkout / "params.yaml").write_text("seed: 7\n")
    with pytest.raises(RecordError, match=r"1 tracked files differ from the commit \(params\.yaml is one\)"):
        recorded_revision(None, allow_dirty=False)
    assert recorded_revision(None, allow_dirty=True).endswith("-dirty")


def test_a_copy_without_git_must_be_told_its_revision(project: Path) -> None:
    with pytest.raises(RecordError, match=r"is no Git checkout: name the commit .* by --revision"):
        recorded_revision(None, allow_dirty=False)
    assert recorded_revision("0123abc", allow_dirty=False) == "0123abc"
    assert recorded_revision("0123abc", allow_dirty=True) == "0123abc-dirty"


def test_drawings_that_cannot_be_fetched_are_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr(library, "PIPELINE_DRAWINGS", project / "absent.npz")
    with pytest.raises(
        DrawingsError, match=r"without the package pooch none can be fetched: .* by --drawings"
    ):
        run(f"4 --recipe fast --device cpu --revision {REVISION}")


# ------------------------------------------------------------------------------------- options and the list


def plan(command: str):
    return make_plan(build_parser().parse_args(shlex.split(command)), load_params(ROOT / "params.yaml"))


def test_options_override_the_parameters(project: Path) -> None:
    usual = plan("32 --recipe published")
    (step,) = usual.steps
    assert (step.recipe.lr, step.recipe.batch_size, usual.feature_maps) == (0.0005, 250, 24)
    assert sum(phase.n_scenes for phase in step.phases) == 40_000_000
    assert (usual.n_epochs, usual.n_test_scenes, usual.n_jobs, usual.minutes) == (20, 10_000, 1000, None)
    other = plan(
        "32 --recipe published --lr 0.001 --batch-size 50 --feature-maps 8 --scenes 700 --lower-levels 0.3 "
        "--minutes 9 --test-scenes 20 --seed 5"
    )
    (step,) = other.steps
    assert (step.recipe.lr, step.recipe.batch_size, other.feature_maps) == (0.001, 50, 8)
    assert [phase.clutter_levels for phase in step.phases] == [(4,), (8,), (16,), (32,)]
    assert sum(phase.n_scenes for phase in step.phases) == 700
    assert (other.n_epochs, other.n_test_scenes, other.minutes, other.seed) == (None, 20, 9.0, 5)
    assert (usual.name, other.name) == ("32", "32-seed-5")


def test_a_joint_plan_climbs_through_growing_mixes_of_levels(project: Path) -> None:
    usual = plan("joint --recipe published")
    assert [phase.clutter_levels for phase in usual.steps[0].phases] == [(4, 8, 16, 32, 64, 128, 256)]
    assert sum(phase.n_scenes for phase in usual.steps[0].phases) == 40_000_000
    other = plan("joint --recipe fast --scenes 4000 --seed 5")
    assert [len(phase.clutter_levels) for phase in other.steps[0].phases] == [1, 2, 3, 4, 5, 6, 7]
    assert [phase.n_scenes for phase in other.steps[0].phases] == 6 * [200] + [2800]
    assert (usual.name, other.name, usual.levels) == ("joint", "joint-seed-5", CLUTTER_LEVELS)


def release_siamese_unet(level: int | str, feature_maps: int = 2, recipe: str = "fast") -> None:
    """A Siamese-U-Net for MaskNets to start from, in its place."""
    net = SiameseUNet(feature_maps).initialise(torch.Generator().manual_seed(0))
    info = WeightsInfo("siamese_unet", feature_maps, recipe, PixelStatistics(10.0, 50.0), 500)
    save_weights(Path(f"weights/siamese_unet/{recipe}/{level}.safetensors"), net, info)


def test_a_masknet_is_planned_from_the_released_siamese_unet(project: Path) -> None:
    with pytest.raises(WeightsError, match=r"none is released at weights/siamese_unet/fast/32\.safetensors"):
        plan("32 --net masknet --recipe fast")
    release_siamese_unet(32, 3)
    with pytest.raises(WeightsError, match="3 feature maps, which cannot be the start of one of 24: say"):
        plan("32 --net masknet --recipe fast")
    usual = plan("32 --net masknet --recipe fast --feature-maps 3")
    assert [step.name for step in usual.steps] == ["proposals", "discriminator"]
    assert [step.phases for step in usual.steps] == [(Phase((32,), 10_000_000),)] * 2
    assert (usual.net, usual.feature_maps, usual.n_epochs, usual.n_test_scenes) == ("masknet", 3, 5, 10_000)
    assert usual.start_from is not None
    assert (usual.start_from.n_scenes_seen, usual.n_scenes_before) == (500, 500)
    other = plan(
        "32 --net masknet --recipe fast --lr 0.1 --batch-size 5 --discriminator-lr 0.2 --scenes 60 "
        "--discriminator-batch-size 7 --lower-levels 0.5 "
        "--start-from weights/siamese_unet/fast/32.safetensors --feature-maps 3"
    )
    assert [(step.recipe.lr, step.recipe.batch_size) for step in other.steps] == [(0.1, 5), (0.2, 7)]
    assert [sum(phase.n_scenes for phase in step.phases) for step in other.steps] == [60, 60]
    assert [step.phases[-1].clutter_levels for step in other.steps] == [(32,), (32,)]
    assert other.n_epochs is None
    assert other.identity != usual.identity
    published = plan(
        f"32 --net masknet --recipe published --start-from {usual.start_from.file} --feature-maps 3"
    )
    numbers = [(step.recipe.lr, step.recipe.batch_size) for step in published.steps]
    assert numbers == [(5e-5, 50), (2.5e-4, 250)]
    release_siamese_unet("joint", 24)
    with pytest.raises(ParameterError, match="trains no network for level joint"):
        plan("joint --net masknet --recipe fast")


@pytest.mark.parametrize("level", ["5", "all", "level_4"])
def test_a_level_that_there_is_not_is_refused(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([level, "--recipe", "fast"])
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--scale mini", "--scale is 'mini', which is none of smoke, laptop, paper"),
        ("--scale smoke", "scale 'smoke' trains no network for level 32: say on how many scenes"),
        ("--lr -1", "the learning rate is -1.0"),
        ("--minutes 0", "--minutes is 0.0"),
        ("--stop-after -1", "--stop-after is -1.0"),
        ("--scenes -5", "--scenes is -5"),
        ("--test-scenes 0", "--test-scenes is 0"),
        ("--feature-maps 0", "--feature-maps is 0"),
        ("--seed -1", "--seed is -1"),
        ("--lower-levels 1", "lower_levels is 1.0"),
        ("--discriminator-lr 0.1", "only MaskNet has a discriminator"),
    ],
)
def test_impossible_options_are_named(options: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        plan(f"32 --recipe fast {options}")


def list_commands() -> list[str]:
    """The commands of the run list in results/README.md."""
    text = (ROOT / "results/README.md").read_text().split("### The run list")[1]
    blocks = text.split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("python -m ")]


def test_every_command_of_the_run_list_is_one_in_order_of_value(project: Path) -> None:
    for level in CLUTTER_LEVELS:  # as they will be by the time that the MaskNets' turn has come
        release_siamese_unet(level, 24)
        release_siamese_unet(level, 24, "published")
    runs = [line for line in list_commands() if line.startswith("python -m stages.record ")]
    plans = [plan(line.removeprefix("python -m stages.record ")) for line in runs]
    usual = [(p.net, p.clutter_level, p.recipe) for p in plans if p.seed == 1803]
    firsts = [(level, recipe) for level in (32, 4, 256) for recipe in ("fast", "published")]
    assert usual == [
        *(("siamese_unet", *first) for first in firsts),
        *(("masknet", level, "fast") for level in (32, 256, 4)),
        *(("siamese_unet", level, "fast") for level in (16, 64, 8, 128)),
        *(("masknet", level, "fast") for level in (64, 128, 16, 8)),
        ("siamese_unet", "joint", "fast"),
        *(("masknet", level, "published") for level in (32, 256, 4)),
    ]
    assert len({(p.net, p.clutter_level, p.recipe, p.seed) for p in plans}) == len(plans) > len(usual)
    assert all(p.scale == "paper" and p.minutes is not None and p.minutes <= 9 for p in plans)


def test_the_run_list_begins_with_a_quick_check() -> None:
    first = list_commands()[0]
    assert first.startswith("python -m bench.training --device cuda")


# ----------------------------------------------------------------------------------------- on real Omniglot


@pytest.mark.omniglot
def test_the_test_sets_are_compared_with_the_published_ones(drawings: Drawings) -> None:
    test_sets, as_published = render_test_sets(drawings, 4, 5)
    assert as_published == {"test-train": "yes", "test-one-shot": "yes"}
    assert [len(scenes) for scenes in test_sets.scenes.values()] == [5, 5]
    bits = drawings.bits.copy()
    changed = np.flatnonzero(drawings.character_sets == "test")
    bits[changed] = bits[changed[::-1]]
    turned = replace(drawings, bits=bits)
    assert render_test_sets(turned, 4, 5)[1] == {"test-train": "yes", "test-one-shot": "no"}
