"""Recording a classifier and adopting it, in a folder without the pipeline, on invented alphabets."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oneshot.classify import training as koch_training
from oneshot.classify.classifiers import make_scorer, validation_error
from oneshot.classify.episode_scores import score_episodes
from oneshot.classify.nets.bases import BASES
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scoring import summarise_hits
from oneshot.classify.training import LogPoint
from oneshot.classify.weights import load_scorer, save_scorer
from oneshot.errors import OneshotError, ParameterError
from oneshot.omniglot.drawings import Drawings, save_drawings, unpack_rows
from oneshot.params import Params, load_params
from oneshot.records import classification_release
from oneshot.records.classification_answers import load_answers, save_answers
from oneshot.records.classification_release import (
    answer,
    is_as_good,
    measure_evaluation,
    pairs_to_judge,
    release,
)
from oneshot.records.classification_run import load_record, save_record
from oneshot.records.run import RecordError
from oneshot.training.tensors import WeightsError, file_sha256, load_tensors
from stages import adopt_classifier, classifier_run, record_classifier, slices
from stages.classifier_form import save_curve
from stages.classifier_plan import build_parser, make_plan
from stages.slices import read_whole, slice_file
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_classifiers import Tiny

# What a machine that only computes may lack.
ABSENT = ("dvc", "zarr", "numcodecs", "pooch", "beartype", "matplotlib", "joblib")
REVISION = "0123456789abcdef0123456789abcdef01234567"
SMALL = f"own --base tiny --scale smoke --device cpu --drawings drawings.npz --revision {REVISION}"
FLAT = (".json", ".curve.csv", ".scores.safetensors", ".weights.safetensors")
STEM = "classifier-own-tiny"


def small_params(path: Path = Path("params.yaml")) -> Params:
    """With few trials, and a point of the curve after every other step."""
    params = load_params(path)
    few = params.other_images.model_copy(update={"n_episodes": 8, "n_verification_pairs": 40})
    often = params.classification.model_copy(update={"log_every": 2})
    return params.model_copy(update={"other_images": few, "classification": often})


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BASES, "tiny", Tiny)
        patch.setattr(record_classifier, "load_params", small_params)
        yield


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
        run(f"{SMALL} --out out")
    return project


@pytest.fixture
def mine(recorded: Path, project: Path) -> Path:
    """A copy of the small run, to be tampered with."""
    shutil.copytree(recorded, project, dirs_exist_ok=True)
    return project


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented alphabets count as the published ones."""
    monkeypatch.setattr(adopt_classifier, "check_published", lambda record, name: None)


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    return find_protocols(synthetic_drawings, small_params(ROOT / "params.yaml").other_images)


def run(command: str) -> None:
    record_classifier.main(shlex.split(command))


def stem(folder: Path, ending: str, out: str = "out") -> Path:
    return folder / out / f"{STEM}{ending}"


def change_record(folder: Path, **changes: Any) -> None:
    path = stem(folder, ".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ----------------------------------------------------------------------------------------- a run as a whole


def test_a_run_needs_nothing_of_the_pipeline(project: Path, synthetic_drawings: Drawings) -> None:
    save_drawings(project / "drawings.npz", synthetic_drawings)
    words = shlex.split(
        f"{SMALL.replace('own --base tiny', 'protonet')} --out out --allow-dirty --minutes 9 --n-way 5"
    )
    code = f"""
import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))
from tests.test_record_classifier import small_params
from stages import record_classifier
record_classifier.load_params = small_params
record_classifier.main({words!r})"""
    code = code.replace("from tests.test_record_classifier import small_params", SMALL_PARAMS)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "evaluation will take about" in done.stderr
    assert "validation" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in (project / "out").iterdir()) == sorted(
        f"classifier-protonet{ending}" for ending in FLAT
    )
    found = load_record(project / "out/classifier-protonet.json")
    assert (found.net, found.base, found.recipe, found.complete) == ("protonet", None, "protonet", True)
    assert found.git_revision == f"{REVISION}-dirty"
    assert (found.n_seen, found.n_steps, found.n_episodes, found.n_epochs) == (12, 12, 6, 2.0)
    assert found.verification is None
    assert found.budget_minutes == 9
    assert list((project / "runs/record").iterdir()) == []


# The same in a process that has no pytest.
SMALL_PARAMS = """
from oneshot.params import load_params
def small_params():
    params = load_params()
    few = params.other_images.model_copy(update={"n_episodes": 8, "n_verification_pairs": 40})
    return params.model_copy(update={"other_images": few})
"""


def test_what_is_recorded_are_the_answers_of_the_released_file(recorded: Path, protocols: Protocols) -> None:
    found, kept = load_record(stem(recorded, ".json")), load_answers(stem(recorded, ".scores.safetensors"))
    net, info = load_scorer(stem(recorded, ".weights.safetensors"))
    pairs = pairs_to_judge(protocols, "own")
    names = [*protocols.lists, "validation", "selection", "verification"]
    again = answer(make_scorer(net), protocols, {}, pairs, names)
    assert set(kept) == set(found.protocols) == set(names)
    assert all(np.array_equal(kept[name], again[name]) for name in names)
    assert found.accuracy.keys() == {"mixed-5-way-1-shot", "within-alphabet", "selection"}
    for name, share in found.accuracy.items():
        assert share.model_dump() == summarise_hits(again[name].ravel().astype(bool))
    assert found.validation.value == pytest.approx(1 - validation_error(make_scorer(net), protocols, "own"))
    assert found.verification is not None
    assert found.verification.n == 40
    assert [(row.characters, row.n_way) for row in found.rising_ways] == [
        *(("evaluation", n_way) for n_way in range(2, 13)), *(("training", n_way) for n_way in range(2, 19))
    ]  # fmt: skip
    assert {row.scorer for row in found.rising_ways} == {"own-tiny"}
    assert info.training["n_steps"] == found.n_steps == 12


def test_options_and_parameters_in_force_are_recorded(recorded: Path) -> None:
    found = load_record(stem(recorded, ".json"))
    assert (found.net_name, found.name, found.base, found.recipe) == ("own", "own-tiny", "tiny", "own")
    assert found.numbers == {
        "lr": 0.0012, "weight_decay": 0.01, "n_way": 20, "n_shot": 1, "n_query": 1, "within_alphabets": True,
        "turned": True, "distorted": True,
    }  # fmt: skip
    assert (found.seed, found.scale, found.n_episodes, found.n_epochs_asked) == (1803, "smoke", 6, 2)
    assert (found.n_pairs, found.n_copies, found.budget_minutes) == (None, None, None)
    assert found.n_parameters == sum(parameter.numel() for parameter in load_any(recorded).parameters())
    assert found.versions["torch"] == torch.__version__
    assert 0 < found.seconds.training < found.seconds.total
    assert found.weights.file == "weights/classification/own-tiny.safetensors"
    assert found.weights.sha256 == file_sha256(stem(recorded, ".weights.safetensors"))
    assert {"validation", "within-alphabet", "verification"} <= found.weights.lost_points.keys()
    curve = stem(recorded, ".curve.csv").read_text().splitlines()
    assert curve[0] == "step,n_seen,loss,error,seconds"
    assert [line.split(",")[0] for line in curve[1:]] == ["2", "4", "6", "8", "10", "12"]
    assert [line.split(",")[3] != "" for line in curve[1:]] == [False, False, True, False, False, True]


def load_any(folder: Path) -> torch.nn.Module:
    return load_scorer(stem(folder, ".weights.safetensors"))[0]


def test_the_background_recipe_is_judged_on_its_own_pairs_too(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.classify.classifiers.read_facts", lambda name: {"n_verification_pairs": 30})
    run(f"{SMALL.replace('own', 'background', 1)} --n-epochs 1 --batch-size 64 --out pairs")
    found = load_record(mine / "pairs/classifier-background-tiny.json")
    assert (found.n_pairs, found.n_copies, found.n_episodes, found.n_seen) == (256, 0, None, 256)
    assert found.background_verification is not None
    assert {split: share.n for split, share in found.background_verification.items()} == {
        "validation": 30,
        "test": 30,
    }
    assert found.protocols["background-verification/test"].n_pairs == 30
    assert found.best_step == found.n_steps == 4


# -------------------------------------------------------------------------------- the form that is released


@pytest.mark.parametrize(("bad", "chosen"), [(0, "int4"), (1, "int8"), (2, "float16"), (3, "float32")])
def test_the_smallest_form_that_loses_little_is_released(
    bad: int, chosen: str, mine: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def judge(whole: Any, smaller: Any) -> bool:
        asked.append(set(smaller))
        return len(asked) > bad

    monkeypatch.setattr(classification_release, "is_as_good", judge)
    net, path = load_any(mine), mine / "released"
    pairs = pairs_to_judge(protocols, "own")
    released = release(net, {}, path, protocols, {}, pairs, device="cpu")
    assert released.precision == chosen
    save_scorer(mine / "same", net, {}, chosen)
    assert path.read_bytes() == (mine / "same").read_bytes()
    assert [file.name for file in mine.glob("released*")] == ["released"]
    assert asked[0] == {"selection"}
    assert set(released.answers) == {*protocols.lists, "validation", "selection", "verification"}


def test_no_form_larger_than_git_bears_is_released_however_much_better_it_is(
    mine: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path = load_any(mine), mine / "released"
    save_scorer(mine / "eight", net, {}, "int8")
    monkeypatch.setattr(classification_release, "LARGEST_BYTES", (mine / "eight").stat().st_size)
    monkeypatch.setattr(classification_release, "is_as_good", lambda *_: False)
    released = release(net, {}, path, protocols, {}, pairs_to_judge(protocols, "own"), device="cpu")
    assert released.precision == "int8"
    assert path.read_bytes() == (mine / "eight").read_bytes()
    assert [file.name for file in mine.glob("released*")] == ["released"]


@pytest.mark.parametrize(
    ("n", "n_more", "good"),
    [(320, 0, True), (320, -1, True), (320, 1, True), (320, -2, False), (320, 2, False),
     (10_000, -20, True), (10_000, 20, True), (10_000, -21, False), (10_000, 21, False)],
)  # fmt: skip
def test_a_form_is_as_good_if_it_moves_a_protocol_by_one_answer_or_little(
    n: int, n_more: int, good: bool
) -> None:
    whole = {"one": (np.arange(n) < n // 2).astype(np.uint8), "other": np.ones((20, 20), np.uint8)}
    smaller = {**whole, "one": (np.arange(n)[::-1] < n // 2 + n_more).astype(np.uint8)}
    assert is_as_good(whole, smaller) == good


def test_answers_and_lost_points_are_of_the_released_file(
    mine: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_worse(path: Path, net: Any, about: Any, precision: str = "float32") -> None:
        """The smaller forms prefer what is least alike."""
        whole = net.output.weight.data.clone()
        net.output.weight.data *= 1 if precision == "float32" else -1
        save_scorer(path, net, about, precision)
        net.output.weight.data = whole

    monkeypatch.setattr(classification_release, "save_scorer", save_worse)
    monkeypatch.setattr(classification_release, "is_as_good", lambda *_: True)
    net, pairs = load_any(mine), pairs_to_judge(protocols, "own")
    released = release(net, {}, mine / "released", protocols, {}, pairs, device="cpu")
    whole = answer(make_scorer(net), protocols, {}, pairs, released.answers)
    of_file = answer(make_scorer(load_scorer(mine / "released")[0]), protocols, {}, pairs, released.answers)
    assert not np.array_equal(of_file["validation"], whole["validation"])
    assert all(np.array_equal(released.answers[name], of_file[name]) for name in whole)
    assert released.lost_points.keys() == {"within-alphabet", "validation", "selection", "verification"}
    for name, points in released.lost_points.items():
        assert points == pytest.approx(100 * (whole[name].mean() - of_file[name].mean()))


def test_answers_lie_in_the_order_of_their_lists(mine: Path, protocols: Protocols) -> None:
    scorer = make_scorer(load_any(mine))
    found = answer(scorer, protocols, {}, {}, [*protocols.lists, "validation"])
    images = unpack_rows(protocols.bits)
    for name, draw in protocols.lists.items():
        one_by_one = [score_episodes(scorer, images, episodes) for episodes in draw()]
        expected = np.stack([hits.ravel() for hits in one_by_one]) if len(one_by_one) > 1 else one_by_one[0]
        np.testing.assert_array_equal(found[name], expected)
    assert found["rising-ways"].shape == (11, 8)
    np.testing.assert_array_equal(found["validation"], score_episodes(scorer, images, protocols.validation))


def test_long_curves_are_drawn_together_without_losing_steps_or_errors(tmp_path: Path) -> None:
    points = [LogPoint(2 * k, 20 * k, float(k), k / 2, 1 / k if k % 3 == 0 else None) for k in range(1, 2002)]
    save_curve(tmp_path / "curve.csv", points)
    lines = [line.split(",") for line in (tmp_path / "curve.csv").read_text().splitlines()]
    assert lines[0] == ["step", "n_seen", "loss", "error", "seconds"]
    assert lines[1] == ["6", "60", "2", "0.333333", "1.50"]  # three points in one
    assert (len(lines), lines[-1][:2]) == (1 + 667, ["4002", "40020"])
    save_curve(tmp_path / "short.csv", points[:4])
    short = [line.split(",") for line in (tmp_path / "short.csv").read_text().splitlines()]
    assert [line[3] for line in short[1:]] == ["", "", "0.333333", ""]


# --------------------------------------------------------------------------------- killed, and gone on with


def kill_at_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal during that step, as timeout(1) sends it: twice."""
    n_steps = 0
    step = koch_training.train_step

    def step_and_be_killed(*arguments: Any) -> torch.Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == number:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(koch_training, "train_step", step_and_be_killed)


@pytest.mark.parametrize("n_steps", [3, 8])
def test_a_killed_run_keeps_its_best_weights_and_the_same_command_goes_on(
    n_steps: int, recorded: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_step(n_steps, patch)
        with pytest.raises(KeyboardInterrupt):
            run(f"{SMALL} --out again")
    assert not stem(mine, ".json", "again").exists()
    (checkpoint,) = mine.glob("runs/record/*/checkpoint.safetensors")
    tensors, _ = load_tensors(checkpoint)
    kind = "best" if n_steps == 8 else "net"  # no epoch is over after three steps
    _, info = load_scorer(stem(mine, ".weights.safetensors", "again"))
    kept = load_scorer(stem(mine, ".weights.safetensors", "again"))[0].state_dict()
    bias = "base.connected.bias"  # which 4 bits leave alone
    assert torch.equal(kept[bias], tensors[f"{kind}.{bias}"])
    assert info.training["n_steps"] == n_steps
    with pytest.raises(RecordError, match=r"there is no recorded classifier in .*again: python -m"):
        adopt_classifier.adopt(mine / "again")

    run(f"{SMALL} --out again")
    found, whole = load_record(stem(mine, ".json", "again")), load_record(stem(recorded, ".json"))
    assert (found.n_steps, found.complete, found.weights) == (12, True, whole.weights)
    assert found.accuracy == whole.accuracy
    assert list((mine / "runs/record").iterdir()) == []


def test_a_run_whose_time_is_up_is_recorded_as_it_is_and_can_go_on(
    recorded: Path, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(record_classifier, "deadline_of", lambda *_: time.monotonic() - 1)
        run(f"{SMALL} --out brief")
    assert "the time was up before training ended: call the same command" in capsys.readouterr().err
    found = load_record(stem(mine, ".json", "brief"))
    assert (found.n_steps, found.n_steps_planned, found.complete) == (2, 12, False)
    assert found.validation.n == load_record(stem(recorded, ".json")).validation.n
    run(f"{SMALL} --out brief")
    assert load_record(stem(mine, ".json", "brief")).weights == load_record(stem(recorded, ".json")).weights
    assert list((mine / "runs/record").iterdir()) == []


def test_a_run_that_was_cut_off_while_evaluating_goes_on_there(
    recorded: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def be_cut(*_: Any, **__: Any) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(record_classifier, "release", be_cut)
        with pytest.raises(PowerCutError):
            run(f"{SMALL} --out cut")
    assert load_scorer(stem(mine, ".weights.safetensors", "cut"))[1].training["n_steps"] == 12
    assert stem(mine, ".curve.csv", "cut").read_text() == "".join(stem(mine, ".curve.csv", "cut").read_text())
    monkeypatch.setattr(koch_training, "train_step", None)  # not reached
    run(f"{SMALL} --out cut")
    assert load_record(stem(mine, ".json", "cut")).weights == load_record(stem(recorded, ".json")).weights


def test_another_machines_checkpoint_is_refused_and_another_commands_not_met(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_step(2, patch)
        with pytest.raises(KeyboardInterrupt):
            run(f"{SMALL} --out again")
    (conditions,) = mine.glob("runs/record/*/conditions.json")
    kept = json.loads(conditions.read_text())
    conditions.write_text(json.dumps(kept | {"torch": "1.0"}))
    with pytest.raises(RecordError, match=r"is of another run \(torch 1\.0, now .*to go on nevertheless"):
        run(f"{SMALL} --out again")
    run(f"{SMALL} --out again --lr 0.002")
    assert load_record(stem(mine, ".json", "again")).numbers["lr"] == 0.002
    assert conditions.exists()


# ----------------------------------------------------------------------------------------------- the budget


class ReachedError(Exception):
    """Stands for a training that would begin now."""


def give_training(command: str, monkeypatch: pytest.MonkeyPatch, before: float = 0.0) -> dict[str, Any]:
    """What a command hands to the training, where evaluation takes 20 s."""
    found: dict[str, Any] = {}

    def reach(*_: Any, **options: Any) -> None:
        found.update(options, now=time.monotonic())
        raise ReachedError

    def look_back(ongoing: classifier_run.Run) -> None:
        ongoing.seconds_before = before

    monkeypatch.setattr(record_classifier, "STARTED", time.monotonic() - 5)
    monkeypatch.setattr(record_classifier, "measure_evaluation", lambda *_: 20.0)
    monkeypatch.setattr(classifier_run, "fit_pairs", reach)
    monkeypatch.setattr(classifier_run.Run, "look_back", look_back)
    with pytest.raises(ReachedError):
        run(f"{SMALL} --out brief {command}")
    return found


@pytest.mark.parametrize(
    ("command", "before", "until", "left"),
    [
        ("--minutes 10", 0.0, 565.0, 565.0),  # 1.25 times 20 s, and 10 s
        ("--minutes 10", 200.0, 565.0, 365.0),
        ("--minutes 10", 599.0, 565.0, None),
        ("--minutes 20 --stop-after 9", 0.0, 505.0, 1165.0),
    ],
)
def test_training_gets_what_evaluation_and_the_start_leave_of_the_minutes(
    command: str, before: float, until: float, left: float | None, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = give_training(command, monkeypatch, before)
    started = record_classifier.STARTED
    assert given["deadline"] == pytest.approx(started + until)
    expected = record_classifier.LEAST_SECONDS if left is None else started + left - given["now"]
    assert given["seconds"] == pytest.approx(expected, abs=0.5)


def test_without_minutes_there_is_no_end(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = give_training("", monkeypatch)
    assert (given["seconds"], given["deadline"]) == (None, float("inf"))
    given = give_training("--stop-after 9", monkeypatch)
    assert (given["seconds"], given["deadline"]) == (None, pytest.approx(record_classifier.STARTED + 505))


def test_minutes_that_do_not_even_suffice_to_evaluate(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_classifier, "STARTED", time.monotonic())
    monkeypatch.setattr(classifier_run, "fit_pairs", None)  # not reached
    with pytest.raises(ParameterError, match=r"0\.05 minutes leave nothing to train in: .* give more"):
        run(f"{SMALL} --out brief --minutes 0.05")


def test_evaluation_is_estimated_from_images_and_episodes(
    mine: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a second an image, and none for comparing: every image of every protocol, as often as it may be."""
    readings = iter([float(classification_release.MEASURED_IMAGES)])
    monkeypatch.setattr(classification_release, "fastest", lambda work: next(readings, 0.0))
    pairs = pairs_to_judge(protocols, "own")

    def n_images(*names: str) -> int:
        of_names = [episodes.needed() for name in names for episodes in protocols.lists[name]()]
        return len(np.unique(np.concatenate(of_names)))

    n_validation = len(protocols.validation.needed())
    n_judged = len(np.unique(protocols.verification.drawings))
    trials = 2 * n_validation  # to validate and to select by are the same here
    expected = n_images(*protocols.lists) + trials + n_judged  # the released file
    expected += n_images("within-alphabet") + trials + n_judged  # as float32
    expected += 4 * n_validation  # to choose among four
    assert measure_evaluation(make_scorer(load_any(mine)), protocols, {}, pairs) == pytest.approx(expected)


# -------------------------------------------------------------------------------------------------- slices


def test_slices_travel_in_place_of_a_large_file_and_are_joined(tmp_path: Path) -> None:
    path, content = tmp_path / "weights", bytes(range(250))
    path.write_bytes(content)
    (tmp_path / "weights.7-of-9").write_bytes(b"older")
    slice_file(path, 100)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["weights.1-of-3", "weights.2-of-3", "weights.3-of-3"]
    assert read_whole(path) == content
    path.write_bytes(content[:100])
    with pytest.raises(RecordError, match="lies there whole and in slices"):
        read_whole(path)
    slice_file(path, 100)
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]
    assert read_whole(path) == content[:100]


def test_ten_slices_and_more_are_joined_in_their_order(tmp_path: Path) -> None:
    path, content = tmp_path / "weights", bytes(range(121))
    path.write_bytes(content)
    slice_file(path, 10)
    assert len(list(tmp_path.iterdir())) == 13
    assert read_whole(path) == content


def test_a_missing_or_a_strange_slice_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with pytest.raises(RecordError, match="weights is missing"):
        read_whole(path)
    path.write_bytes(bytes(250))
    slice_file(path, 100)
    (tmp_path / "weights.1-of-2").write_bytes(b"")
    with pytest.raises(RecordError, match=r"are not [23] of one file"):
        read_whole(path)
    (tmp_path / "weights.1-of-2").unlink()
    (tmp_path / "weights.2-of-3").unlink()
    with pytest.raises(RecordError, match=r"are not 3 of one file: weights\.2-of-3 is missing"):
        read_whole(path)


def test_weights_in_slices_are_adopted_whole_and_a_flipped_bit_is_noticed(
    mine: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices.slice_file, "__defaults__", (1000,))
    whole = stem(mine, ".weights.safetensors").read_bytes()
    run(f"{SMALL} --out sliced")
    found = sorted((mine / "sliced").glob("*.weights.safetensors*"))
    assert len(found) == -(-len(whole) // 1000) > 1
    flip_bit(found[-1], 100)
    with pytest.raises(RecordError, match=r"have the SHA-256 .* they were damaged, or are of another run"):
        adopt_classifier.adopt(mine / "sliced")
    assert not (mine / "weights").exists()
    flip_bit(found[-1], 100)
    adopt_classifier.adopt(mine / "sliced")
    assert (mine / "weights/classification/own-tiny.safetensors").read_bytes() == whole


# ------------------------------------------------------------------------------------------------- adoption


def test_a_run_is_adopted_its_record_last(
    recorded: Path, mine: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    replacing = adopt_classifier.replacing
    monkeypatch.setattr(
        adopt_classifier, "replacing", lambda path: written.append(path.as_posix()) or replacing(path)
    )
    adopt_classifier.main(["out"])
    assert written == [
        "weights/classification/own-tiny.safetensors",
        "results/classification/own-tiny.scores.safetensors",
        "results/classification/own-tiny.curve.csv",
        "results/classification/own-tiny.json",
    ]
    for path, ending in zip(written, (*FLAT[::-1][:2], *FLAT[1::-1]), strict=True):
        assert (mine / path).read_bytes() == stem(recorded, ending).read_bytes()


def test_invented_alphabets_are_no_result_to_keep(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordError, match=r"is of drawings with the SHA-256 .*: it is no result to keep"):
        adopt_classifier.adopt(mine / "out")
    monkeypatch.setattr(record_classifier, "begin", None)  # not reached
    with pytest.raises(RecordError, match=r"these are not Omniglot's drawings; .* by --out"):
        run(SMALL)
    assert not (mine / "results").exists()


def test_a_complete_record_is_replaced_only_when_told(mine: Path, published: None) -> None:
    adopt_classifier.adopt(mine / "out")
    there = mine / "results/classification/own-tiny.json"
    change_record(mine, date="2030-01-01")
    with pytest.raises(RecordError, match=r"own-tiny\.json is there already \(tiny, 12 pairs or episodes"):
        adopt_classifier.adopt(mine / "out")
    adopt_classifier.main(["out", "--replace"])
    assert load_record(there).date == "2030-01-01"


def test_an_incomplete_record_makes_way(mine: Path, published: None) -> None:
    change_record(mine, n_steps_planned=99)
    adopt_classifier.adopt(mine / "out")
    change_record(mine, n_steps_planned=12)
    adopt_classifier.adopt(mine / "out")
    assert load_record(mine / "results/classification/own-tiny.json").complete


def tamper_scores(folder: Path) -> None:
    answers = load_answers(stem(folder, ".scores.safetensors"))
    answers["rising-ways"].flat[5] ^= 1
    save_answers(stem(folder, ".scores.safetensors"), answers)


def tamper_weights(folder: Path) -> None:
    """Another run's, under the record's checksum."""
    path = stem(folder, ".weights.safetensors")
    net, info = load_scorer(path)
    save_scorer(path, net, info.training | {"n_seen": 13})
    found = load_record(stem(folder, ".json"))
    weights = found.weights.model_copy(update={"sha256": file_sha256(path)})
    save_record(stem(folder, ".json"), found.model_copy(update={"weights": weights}))


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (lambda mine: change_record(mine, git_revision="main"), "'main' is no Git revision"),
        (lambda mine: change_record(mine, seed=5), "says seed 5, its weights say 1803"),
        (lambda mine: stem(mine, ".json").rename(mine / "out/classifier-a.json"), "is the record of another"),
        (lambda mine: stem(mine, ".curve.csv").unlink(), r"the training curve .* is missing"),
        (lambda mine: stem(mine, ".scores.safetensors").unlink(), r"the answers .* are missing"),
        (lambda mine: flip_bit(stem(mine, ".scores.safetensors"), -9), "says other means of|is damaged"),
        (tamper_scores, "says other means of rising_ways than its answers have"),
        (lambda mine: stem(mine, ".weights.safetensors").unlink(), r"weights\.safetensors is missing"),
        (lambda mine: flip_bit(stem(mine, ".weights.safetensors"), -9), "damaged, or are of another"),
        (tamper_weights, "says n_seen 12, its weights say 13"),
        (lambda mine: shutil.rmtree(mine / "out"), "there is no recorded classifier in .*out"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_not_adopted(
    tamper: Callable[[Path], Any], complaint: str, mine: Path, published: None
) -> None:
    tamper(mine)
    with pytest.raises((RecordError, WeightsError), match=complaint) as caught:
        adopt_classifier.adopt(mine / "out")
    assert "\n" not in str(caught.value)
    assert not (mine / "results").exists()
    assert not (mine / "weights").exists()


def test_weights_that_belong_elsewhere_are_noticed(mine: Path, published: None) -> None:
    weights = json.loads(stem(mine, ".json").read_text())["weights"]
    change_record(mine, weights=weights | {"file": "weights/classification/own.safetensors"})
    with pytest.raises(RecordError, match="does not say that its weights belong at weights/classification"):
        adopt_classifier.adopt(mine / "out")


def test_without_a_folder_to_write_into_nothing_is_trained(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_classifier, "begin", None)  # not reached
    (mine / "taken").write_text("a file")
    with pytest.raises(RecordError, match="cannot write into taken"):
        run(f"{SMALL} --out taken")


# ------------------------------------------------------------------------------------- options and the list


def plan(command: str) -> Any:
    return make_plan(build_parser().parse_args(shlex.split(command)), load_params(ROOT / "params.yaml"))


def test_options_override_the_parameters() -> None:
    usual = plan("own")
    assert (usual.name, usual.scale, usual.classifier.base, usual.minutes) == ("own", "paper", "koch", None)
    assert usual.classifier.training.model_dump() == {"n_episodes": 500, "n_epochs": 100}
    other = plan(
        "own --base koch_small --seed 5 --lr 0.002 --weight-decay 0 --n-way 8 --n-shot 2 --n-query 3 "
        "--no-within-alphabets --no-turned --no-distorted --n-episodes 7 --n-epochs 9 --minutes 9"
    )
    assert (other.name, other.classifier.base, other.minutes) == ("own-koch_small-seed-5", "koch_small", 9.0)
    assert other.numbers == {
        "lr": 0.002, "weight_decay": 0, "n_way": 8, "n_shot": 2, "n_query": 3, "within_alphabets": False,
        "turned": False, "distorted": False,
    }  # fmt: skip
    assert other.classifier.training.model_dump() == {"n_episodes": 7, "n_epochs": 9}
    published = plan("pairs_90000_affine --lrs 0.02 --momenta 0.5 0.6 0.7 0.8 0.9 0.9 --batch-size 64")
    assert published.numbers["lrs"] == [0.02] * 6
    assert published.numbers["momenta"] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.9]
    assert published.numbers["l2s"] == [0.0001] * 6
    assert published.classifier.training.model_dump() == {"n_pairs": 90000, "n_copies": 8, "n_epochs": 200}
    assert published.classifier.recipes.own == usual.classifier.recipes.own
    assert plan("protonet --seed 2").name == "protonet-seed-2"
    assert usual.identity != plan("own --lr 0.002").identity != plan("own --lr 0.002 --seed 2").identity


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("own --scale mini", "--scale is 'mini', which is none of smoke, laptop, paper"),
        ("pairs_30000 --scale laptop", "scale 'laptop' does not train pairs_30000, but own, protonet"),
        ("own --base resnet", "--base is 'resnet'; there are koch, koch_small"),
        ("protonet --base koch", "a protonet is built on no base: leave --base out"),
        ("own --minutes 0", "--minutes is 0.0"),
        ("own --stop-after -1", "--stop-after is -1.0"),
        ("own --seed -1", "--seed is -1"),
        ("own --lr -1", "impossible numbers: lr is -1.0, but input should be greater than 0"),
        ("own --lrs 0.1", "recipe own has no --lrs; it has --lr, .*--weight-decay, --n-episodes"),
        ("own --batch-size 5", "recipe own has no --batch-size"),
        ("pairs_30000 --lr 0.1", "recipe published has no --lr; it has --batch-size, --lrs"),
        ("pairs_30000 --turned", "recipe published has no --turned"),
        ("pairs_30000 --n-episodes 5", "recipe published has no --n-episodes; .*--n-epochs"),
        ("background --weight-decay 0", "recipe background has no --weight-decay"),
        ("protonet --weight-decay 0", "recipe protonet has no --weight-decay"),
        ("own --n-epochs 0", "impossible numbers: n_epochs is 0"),
    ],
)
def test_impossible_options_are_named_in_one_sentence(command: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint) as caught:
        plan(command)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--lr 2", "the learning rate is 2"),
        ("--n-shot 20", r"20 \+ 1 images of a class need"),
        ("--drawings absent.npz", r"absent\.npz is missing"),
    ],
)
def test_numbers_that_do_not_fit_the_drawings_end_the_command_before_training(
    options: str, complaint: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_run, "fit_pairs", None)  # not reached
    with pytest.raises(OneshotError, match=complaint):
        run(f"{SMALL} --out other {options}")


def test_rates_for_other_layers_end_the_command_before_training(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_run, "fit_pairs", None)  # not reached
    command = SMALL.replace("own", "pairs_30000_affine", 1)
    with pytest.raises(ParameterError, match=r"has 5 rates, 6 momenta .* one entry a layer is needed"):
        run(f"{command} --out other --lrs 0.01 0.01 0.01 0.01 0.01")


def list_commands() -> list[str]:
    """The commands of the classification half's run list in results/README.md."""
    text = (ROOT / "results/README.md").read_text().split("### The run list of the classification half")[1]
    lines = [line for block in text.split("```sh\n")[1:] for line in block.split("```")[0].splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("python -m ")]


def test_every_command_of_the_run_list_is_one_in_order_of_value() -> None:
    command = "python -m stages.record_classifier "
    first, *runs = [line for line in list_commands() if line.startswith(command)]
    assert plan(first.removeprefix(command)).minutes == 2  # a trial, to throw away
    assert first.endswith(" --out OUT")
    plans = [plan(line.removeprefix(command)) for line in runs]
    table = [f"pairs_{n}{copies}" for copies in ("", "_affine") for n in (30000, 90000, 150000)]
    names = [one.name for one in plans]
    assert names[:3] == ["own", "own-seed-1", "own-seed-2"]
    assert sorted(names[3:9]) == sorted(table)
    assert names[9:11] == ["protonet", "background"]
    assert len(set(names)) == len(names)
    assert all(one.scale == "paper" and one.minutes == 9 for one in plans)


# ----------------------------------------------------------------------------------------- on real Omniglot


@pytest.mark.omniglot
def test_what_is_not_at_hand_is_not_computed_and_said(
    drawings: Drawings, project: Path, mirror: Path
) -> None:
    protocols = find_protocols(drawings, small_params().other_images)
    outside, not_computed = record_classifier.find_outside(None, None, protocols)
    assert outside == {}
    assert not_computed.keys() == {"all_runs", "mnist"}
    outside, not_computed = record_classifier.find_outside(mirror / "all_runs.zip", None, protocols)
    assert outside.keys() == {"all_runs"}
    assert not_computed.keys() == {"mnist"}
    with pytest.raises(OneshotError, match=r"runs\.zip is missing"):
        record_classifier.find_outside(project / "runs.zip", None, protocols)
    with pytest.raises(OneshotError, match="is missing"):
        record_classifier.find_outside(None, project, protocols)
    shutil.copy(mirror / "all_runs.zip", project / "runs.zip")
    with (project / "runs.zip").open("ab") as file:
        file.write(b"more")
    with pytest.raises(OneshotError, match=r"runs\.zip is not Lake's published|is no whole zip"):
        record_classifier.find_outside(project / "runs.zip", None, protocols)
