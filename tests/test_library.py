"""Published scenes and released networks in one call each."""

import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot import library
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.errors import ParameterError
from oneshot.library import list_classifiers, list_networks, load_classifier, load_network, load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.records.run import WEIGHTS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import WeightsError
from tests.archives import flip_bit
from tests.conftest import refusing
from tests.fake_runs import fake_answers, fake_classification_run, fake_run, fake_scores, put_run


def test_scenes_do_not_depend_on_how_many_threads_draw_them(synthetic_drawings: Drawings) -> None:
    alone = load_scenes("test-one-shot", 3, 4100, synthetic_drawings)
    together = load_scenes("test-one-shot", 3, 4100, synthetic_drawings, n_threads=3)
    for field in fields(alone):
        assert np.array_equal(getattr(alone, field.name), getattr(together, field.name))


def test_scenes_of_covered_targets_hold_as_many_characters_half_of_them_above(
    synthetic_drawings: Drawings,
) -> None:
    scenes = load_scenes("covered-one-shot", 8, drawings=synthetic_drawings)
    assert (len(scenes), scenes.characters.shape[1]) == (2000, 8)
    assert (scenes.characters[:, 3] == scenes.target_characters).all()
    assert (scenes.masks & (scenes.labels > 4)).any()
    assert not (scenes.masks & (scenes.labels < 4)).any()
    with pytest.raises(ParameterError, match="covered-one-shot has 2,000 scenes at every clutter level"):
        load_scenes("covered-one-shot", 8, 2001, synthetic_drawings)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recorded runs that the library reads in place of the project's."""
    monkeypatch.setenv("ONESHOT_RECORDED", str(tmp_path))
    return tmp_path


def test_the_default_network_is_one_that_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONESHOT_RECORDED", raising=False)
    net, info = load_network()
    assert library.DEFAULT_NETWORK in list_networks()
    assert (info.training["name"], info.training["recipe"]) == ("siamese_unet-4", "fast")
    assert not net.training


def test_a_released_network_is_loaded_by_its_name_and_others_are_refused_with_those_that_are(
    recorded: Path,
) -> None:
    with pytest.raises(WeightsError, match=r"no network siamese_unet-4-fast is released .* has none yet"):
        load_network()
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    for name in ("siamese_unet-32", "siamese_unet-joint"):
        put_run(recorded, fake_run(name), fake_scores([32], 0.6), net, {"feature_maps": 2})
    assert list_networks() == ["siamese_unet-32-fast", "siamese_unet-joint-fast"]
    loaded, info = load_network("siamese_unet-joint-fast")
    halves = {name: tensor.half().float() for name, tensor in net.state_dict().items()}
    torch.testing.assert_close(loaded.state_dict(), halves, atol=0, rtol=0)
    assert (info.net, info.training["n_seen"]) == ("siamese_unet", 4_000_000)
    with pytest.raises(WeightsError, match="has siamese_unet-32-fast, siamese_unet-joint-fast "):
        load_network()


def test_a_released_classifier_is_loaded_ready_to_score(recorded: Path, synthetic_drawings: Drawings) -> None:
    with pytest.raises(WeightsError, match=r"no network contrastive-long is released .* has none yet"):
        load_classifier()
    net = ProtoNet(4).initialise(np.random.default_rng(0)).eval()
    scores = fake_answers(0.9, ["validation"])
    run = fake_classification_run("protonet", "protonet", scores, recipe="protonet")
    put_run(recorded, run, scores, net, {"n_filters": 4})
    assert list_classifiers() == ["protonet"]
    with pytest.raises(WeightsError, match="has protonet "):  # not the first that there is
        load_classifier()
    scorer, info = load_classifier("protonet")
    assert info.training["name"] == "protonet"
    images = synthetic_drawings.unpack()[0, :3]
    with torch.no_grad():
        torch.testing.assert_close(
            scorer.encode(images), net(torch.from_numpy(images).float()), atol=0.01, rtol=0.01
        )


def test_weights_too_large_for_the_package_are_named_with_their_checksum(recorded: Path) -> None:
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    run = put_run(recorded, fake_run(), fake_scores([32], 0.6), net, {"feature_maps": 2})
    (recorded / "segmentation" / run.name / WEIGHTS).unlink()
    assert run.weights is not None
    with pytest.raises(WeightsError, match=f"SHA-256 {run.weights.sha256}.* ONESHOT_RECORDED"):
        load_network(run.name)


@pytest.mark.parametrize("how", ["of another record", "with its record", "a bit flipped", "a folder"])
def test_weights_are_those_of_the_record(how: str, recorded: Path) -> None:
    runs = []
    for seed, name in enumerate(("siamese_unet-32", "siamese_unet-joint")):
        net = SiameseUNet(2).initialise(np.random.default_rng(seed))
        runs.append(put_run(recorded, fake_run(name), fake_scores([32], 0.6), net, {"feature_maps": 2}))
    path, other = (recorded / "segmentation" / run.name / WEIGHTS for run in runs)
    if how == "of another record":
        path.write_bytes(other.read_bytes())
    elif how == "with its record":
        shutil.copytree(other.parent, path.parent, dirs_exist_ok=True)
    elif how == "a bit flipped":
        flip_bit(path, path.stat().st_size - 2)
    else:
        path.unlink()
        path.mkdir()
    with refusing(WeightsError, r"(weights\.safetensors|run\.json) is .* fetch recorded/ again"):
        load_network(runs[0].name)
    load_network(runs[1].name)
