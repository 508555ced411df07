"""Recorded cosine nets as an ensemble, recorded in its turn."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneshot.classify.nets import NETS
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.protocols import find_protocols
from oneshot.classify.scoring import NetworkScorer, score_list
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import WITH_VALIDATION, load_params
from oneshot.records.check import load_checked
from oneshot.records.run import CURVE, ClassificationBody, RecordError, Run, load_run
from oneshot.training.tensors import load_network
from stages.record import combine
from tests.conftest import ROOT, refusing
from tests.fake_runs import Tiny, fake_answers, fake_classification_run, put_run

REVISION = "0123456789abcdef0123456789abcdef01234567"
SETTINGS: dict[str, Any] = {"channels": [4, 6], "side": 16, "n_code": 8, "normalised": True}


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> list[Run]:
    """Two recorded networks in a folder of a project without Git, the drawings beside them."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    save_drawings(Path("drawings.npz"), synthetic_drawings)
    return [
        record(name, CosineNet(**SETTINGS), "cosine_net", SETTINGS, seed) for seed, name in enumerate("ab")
    ]


def record(
    name: str,
    net: CosineNet | Tiny,
    kind: str,
    settings: dict[str, Any],
    seed: int = 0,
    recipe: str = "contrastive",
) -> Run:
    seen = recipe == WITH_VALIDATION  # the alphabets of the validation trials, in training
    scores = fake_answers(0.9, ("within-alphabet",) if seen else ("validation", "within-alphabet"))
    run = fake_classification_run(name, kind, scores, recipe=recipe, seed=seed)
    return put_run(Path("recorded"), run, scores, net.initialise(np.random.default_rng(seed)), settings)


def call(words: str) -> None:
    combine.main(
        [*shlex.split(words), "--drawings", "drawings.npz", "--revision", REVISION, "--device", "cpu"]
    )


@pytest.mark.slow
def test_an_ensemble_is_recorded_with_its_members(members: list[Run], synthetic_drawings: Drawings) -> None:
    call("both a b --copies 1 --out both")
    run, scores = load_checked(Path("both"))
    assert (run.name, run.network, run.net, run.seed) == ("both", "ensemble", "ensemble", 0)
    assert [member.sha256 for member in run.members] == [one.weights.sha256 for one in members if one.weights]
    assert [member.file for member in run.members] == [
        f"recorded/classification/{name}/weights.safetensors" for name in "ab"
    ]
    assert (run.n_seen, run.budget_minutes, len(run.trainings)) == (40_000, 60, 2)
    assert run.seconds.total == pytest.approx(2 * 1650 + run.seconds.evaluation, abs=0.1)
    assert run.settings == {"members": ["a", "b"], "n_copies": 1, "displacement": 0.08}
    assert Path("both", CURVE).read_text().count("\n") == 1
    net, info = load_network(Path("both/weights.safetensors"), NETS)
    assert info.training["n_seen"] == 40_000
    for member, name in zip(net.members, "ab", strict=True):
        there, _ = load_network(Path(f"recorded/classification/{name}/weights.safetensors"), NETS)
        np.testing.assert_allclose(member.code.weight.detach(), there.code.weight.detach(), atol=0.02)
    protocols = find_protocols(synthetic_drawings, load_params().other_images)
    again = score_list(NetworkScorer(net), protocols, protocols.selection)
    assert np.array_equal(scores["selection"].ravel(), again.ravel())


@pytest.mark.slow
def test_an_ensemble_is_scored_only_on_alphabets_that_its_members_have_not_seen(members: list[Run]) -> None:
    for seed, name in enumerate(("c", "d")):
        record(name, CosineNet(**SETTINGS), "cosine_net", SETTINGS, seed, recipe=WITH_VALIDATION)
    call("both c d --copies 0 --out both")
    run, scores = load_checked(Path("both"))
    assert run.recipe == WITH_VALIDATION
    assert isinstance(run.body, ClassificationBody)
    assert "within-alphabet" in scores
    unseen = {"validation", "selection"}
    assert not unseen & set(scores)
    assert {run.body.not_computed[name] for name in unseen} == {
        "the network was trained on alphabets that this needs"
    }


def test_only_cosine_nets_are_combined_and_no_record_is_lost(members: list[Run]) -> None:
    record("koch", Tiny(), "koch", {"channels": [2, 2, 2, 4], "n_code": 8})
    record("other", CosineNet(**SETTINGS), "cosine_net", SETTINGS, recipe="own")
    for words, sentence in {
        "new a koch": "koch is a koch: an ensemble is made of cosine nets.",
        "new a other": "other was trained by recipe own, a by contrastive: an ensemble is of one recipe.",
        "new a b": "these are not Omniglot's drawings",
        "new a c": "c/run.json",
        "a a b": "recorded/classification/a is there already",
    }.items():
        with refusing(RecordError, match=sentence):
            call(words)
    for words, sentence in {
        "'a new one' a b": "the name is 'a new one'; it may hold letters, digits",
        "new a b --copies -1": "--copies is -1; it must be at least 0",
        "new a b --copies 1 --displacement nan": "--displacement is nan; it must be at least 0 and below 1",
        "new a b --copies 1 --displacement -0.1": "--displacement is -0.1; it must be at least 0",
    }.items():
        with refusing(ParameterError, match=sentence):
            call(words)
    assert load_run(Path("recorded/classification/a")) == members[0]
    assert not Path("recorded/classification/new").exists()
