"""Trained scorers come back as they were saved, or with one sentence about why not."""

import json

import pytest
import safetensors.torch
import torch

from oneshot.koch_weights import load_scorer, quantise, restore, save_scorer
from oneshot.nets.koch import Base, KochSmall, SiamesePair
from oneshot.nets.protonet import ProtoNet
from oneshot.weights import WeightsError, load_tensors

TRAINING = {"recipe": "own", "n_pairs": 90_000, "validation_error": 0.125}


def make(kind: str):
    generator = torch.Generator().manual_seed(0)
    net = SiamesePair(KochSmall((2, 3, 3, 4), 8)) if kind == "siamese_pair" else ProtoNet(4)
    return net.initialise(generator)


@pytest.mark.parametrize("kind", ["siamese_pair", "protonet"])
def test_weights_come_back_with_what_is_known_of_them(kind, tmp_path):
    net = make(kind)
    save_scorer(tmp_path / "net", net, TRAINING)
    loaded, info = load_scorer(tmp_path / "net")
    assert (info.net, info.n_code, info.training) == (kind, 8 if kind == "siamese_pair" else 4, TRAINING)
    assert info.base == ("koch_small" if kind == "siamese_pair" else None)
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)


def test_half_precision_comes_back_in_single_precision(tmp_path):
    net = make("protonet")
    save_scorer(tmp_path / "net", net, precision="float16")
    expected = {n: t.half().float() if t.is_floating_point() else t for n, t in net.state_dict().items()}
    torch.testing.assert_close(load_scorer(tmp_path / "net")[0].state_dict(), expected, atol=0, rtol=0)


def test_eight_bits_are_off_by_half_a_step_of_their_channel_at_most(tmp_path):
    """Half of 1/127 of the channel's largest weight: 0.4 %."""
    net = SiamesePair(KochSmall()).initialise(torch.Generator().manual_seed(0))
    save_scorer(tmp_path / "whole", net)
    save_scorer(tmp_path / "net", net, TRAINING, "int8")
    assert (tmp_path / "net").stat().st_size < 0.27 * (tmp_path / "whole").stat().st_size
    loaded = load_scorer(tmp_path / "net")[0].state_dict()
    for name, weight in net.state_dict().items():
        assert loaded[name].dtype == torch.float32
        if weight.ndim < 2:
            assert torch.equal(loaded[name], weight)
            continue
        rows = weight.flatten(1)
        off = (loaded[name].flatten(1) - rows).abs().amax(1) / rows.abs().amax(1)
        assert 0.5 / 127 * 0.8 < off.max() <= 0.5 / 127 * 1.001
    steps = load_tensors(tmp_path / "net")[0]["base.connected.weight"]
    assert steps.dtype == torch.int8
    assert steps.amin() >= -127


def test_zeros_survive_eight_bits():
    weight = torch.zeros(2, 3)
    assert torch.equal(restore(*quantise(weight)), weight)


def test_a_base_without_a_name_is_one_sentence(tmp_path):
    class Mine(Base):
        n_code, settings = 3, {}

    with pytest.raises(WeightsError, match=r"Mine has no name: add it to oneshot/nets/bases\.py"):
        save_scorer(tmp_path / "net", SiamesePair(Mine()))


@pytest.mark.parametrize("change", [{"base": "unknown"}, {"settings": {"n_code": 9}}, {"surplus": 1}])
def test_weights_of_another_network_than_named(change, tmp_path):
    save_scorer(tmp_path / "net", make("siamese_pair"))
    tensors, about = load_tensors(tmp_path / "net")
    safetensors.torch.save_file(tensors, tmp_path / "net", {"about": json.dumps(about | change)})
    with pytest.raises(WeightsError, match="do not fit the network they name"):
        load_scorer(tmp_path / "net")
