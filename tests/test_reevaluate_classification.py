"""The stage that scores released classifiers again, on invented alphabets that count as Omniglot's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oneshot.classify.classifiers import make_scorer
from oneshot.classify.nets.bases import BASES
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.omniglot.drawings import Drawings
from oneshot.params import load_params
from oneshot.records.classification_answers import Answers
from oneshot.records.classification_release import answer, pairs_to_judge
from oneshot.records.classification_run import released_files
from oneshot.records.run import RecordError
from oneshot.training.tensors import WeightsError
from stages import images, reevaluate_classification
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_classifiers import Tiny, release_classifier

NAMES = ("all_runs", "within-alphabet", "verification")
FILES = released_files(Path("results"), Path("weights"), "own")


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    sizes = load_params(ROOT / "params.yaml").other_images
    few = sizes.model_copy(update={"n_episodes": 40, "n_verification_pairs": 60})
    return replace(find_protocols(synthetic_drawings, few), source="omniglot")


@pytest.fixture(scope="module")
def answers(protocols: Protocols) -> Iterator[dict[str, np.ndarray]]:
    """Those of the net that `release_classifier` releases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BASES, "tiny", Tiny)
        net = SiamesePair(Tiny()).initialise(torch.Generator().manual_seed(0))
        pairs = pairs_to_judge(protocols, "own")
        names = [*protocols.lists, "validation", "verification"]
        yield answer(make_scorer(net), protocols, {}, pairs, names)


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, protocols: Protocols, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    set_source(monkeypatch, "omniglot")
    monkeypatch.setattr(images, "read_protocols", lambda params: protocols)
    monkeypatch.setattr(images, "read_outside", lambda protocols: ({}, {}))
    return tmp_path


def set_source(monkeypatch: pytest.MonkeyPatch, source: str, names: tuple[str, ...] = NAMES) -> None:
    scale = SimpleNamespace(source=source, classification=SimpleNamespace(reevaluate=names))
    omniglot = SimpleNamespace(source="data/drawings")
    params = SimpleNamespace(scale_name="tiny", scale=scale, device="cpu", omniglot=omniglot)
    monkeypatch.setattr(reevaluate_classification, "load_params", lambda: params)


def run_stage() -> dict[str, Any]:
    reevaluate_classification.main()
    return json.loads(Path("metrics/reclassified.json").read_text())


def release(answers: Answers, **changes: Any) -> None:
    release_classifier(Path(), dict(answers), **changes)


def test_every_released_net_agrees_with_its_record(answers: Answers) -> None:
    release(answers)
    release(answers, seed=7)
    metrics = run_stage()
    assert (metrics["scale"], metrics["source"], list(metrics["nets"])) == (
        "tiny",
        "omniglot",
        ["own-seed-7", "own"],
    )
    entry = metrics["nets"]["own"]
    assert list(entry["accuracy"]) == ["within-alphabet"]
    for name, found in {"verification": entry["verification"], **entry["accuracy"]}.items():
        n = answers[name].size
        assert found["value"] == pytest.approx(answers[name].mean())
        assert found["low"] < found["value"] < found["high"]
        assert found["n"] == n
        assert found["agreement"] == {
            "agrees": True,
            "recorded": pytest.approx(answers[name].mean()),
            "share_of_equal_answers": 1.0,
            "n": n,
        }
    assert metrics["nets"]["own-seed-7"] == entry


def test_other_answers_than_the_recorded_ones_show_in_the_metrics_and_stop_nothing(answers: Answers) -> None:
    release({**answers, "within-alphabet": 1 - answers["within-alphabet"]})
    entry = run_stage()["nets"]["own"]
    assert entry["verification"]["agreement"]["agrees"]
    agreement = entry["accuracy"]["within-alphabet"]["agreement"]
    assert not agreement["agrees"]
    assert agreement["share_of_equal_answers"] == 0


def test_what_was_not_computed_when_recorded_is_not_compared(answers: Answers) -> None:
    release({name: found for name, found in answers.items() if name != "within-alphabet"})
    found = run_stage()["nets"]["own"]["accuracy"]["within-alphabet"]
    assert found["value"] == pytest.approx(answers["within-alphabet"].mean())
    assert "agreement" not in found


def test_protocols_that_are_not_named_are_left_alone(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_source(monkeypatch, "omniglot", ("mixed-5-way-1-shot",))
    release(answers)
    entry = run_stage()["nets"]["own"]
    assert list(entry) == ["accuracy"]
    assert list(entry["accuracy"]) == ["mixed-5-way-1-shot"]


@pytest.mark.parametrize("source", ["synthetic", "own images"])
def test_other_drawings_than_omniglots_say_nothing_of_a_record(
    source: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_source(monkeypatch, source)
    release(answers)
    assert run_stage() == {"scale": "tiny", "source": source, "nets": {}}


def test_without_records_the_metrics_are_empty_and_pytorch_is_not_loaded(checkout: Path) -> None:
    (checkout / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from stages.reevaluate_classification import main
main()
assert 'torch' not in sys.modules"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no network is released yet" in done.stdout
    assert json.loads(Path("metrics/reclassified.json").read_text()) == {
        "scale": "laptop", "source": "omniglot", "nets": {}
    }  # fmt: skip


def test_weights_that_are_not_the_recorded_ones_end_the_stage(answers: Answers) -> None:
    release(answers)
    flip_bit(FILES.weights, FILES.weights.stat().st_size - 1)
    with pytest.raises(WeightsError, match=rf"{FILES.weights} does not have the SHA-256 in {FILES.record}"):
        run_stage()
    FILES.weights.unlink()
    with pytest.raises(WeightsError, match=f"the weights of {FILES.record} are missing: fetch them by git"):
        run_stage()


def test_a_record_that_contradicts_its_answers_ends_the_stage(answers: Answers) -> None:
    release(answers)
    content = json.loads(FILES.record.read_text())
    content["accuracy"]["within-alphabet"]["value"] += 0.01
    FILES.record.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"{FILES.record} says other means of accuracy than its answers"):
        run_stage()


def test_a_second_run_writes_the_same_bytes(answers: Answers) -> None:
    release(answers)
    run_stage()
    first = Path("metrics/reclassified.json").read_bytes()
    run_stage()
    assert Path("metrics/reclassified.json").read_bytes() == first
