"""Trained scorers come back as they were saved, or with one sentence about why not."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from oneshot.classify.nets.koch import Base, KochSmall, SiamesePair
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.weights import (
    load_scorer,
    quantise,
    quantise_in_groups,
    restore,
    restore_groups,
    save_scorer,
)
from oneshot.training.tensors import WeightsError, load_tensors

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

    with pytest.raises(WeightsError, match=r"Mine has no name: add it to classify/nets/bases\.py"):
        save_scorer(tmp_path / "net", SiamesePair(Mine()))


@pytest.mark.parametrize("change", [{"base": "unknown"}, {"settings": {"n_code": 9}}, {"surplus": 1}])
def test_weights_of_another_network_than_named(change, tmp_path):
    save_scorer(tmp_path / "net", make("siamese_pair"))
    tensors, about = load_tensors(tmp_path / "net")
    safetensors.torch.save_file(tensors, tmp_path / "net", {"about": json.dumps(about | change)})
    with pytest.raises(WeightsError, match="do not fit the network they name"):
        load_scorer(tmp_path / "net")


def quantise_in_groups_slowly(weight):
    """Weights as 4 bits give them back, one after another."""
    rows = weight.flatten(1).double().numpy()
    restored = np.zeros_like(rows)
    for r, row in enumerate(rows):
        for first in range(0, len(row), 64):
            group = row[first : first + 64]
            step = float(np.float16(max(abs(group).max() / 7, 2.0**-24)))
            for k, value in enumerate(group, first):
                restored[r, k] = min(7, max(-7, round(value / step))) * step
    return torch.from_numpy(restored).float().view(weight.shape)


@pytest.mark.parametrize("shape", [(3, 1, 10, 10), (4, 65), (5, 1), (2, 63), (1, 128), (2, 3, 4, 4)])
@pytest.mark.parametrize("size", [1e-3, 1.0, 40.0])
def test_four_bits_are_those_written_out_weight_by_weight(shape, size):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * size
    packed, scale = quantise_in_groups(weight)
    n = weight[0].numel()
    assert packed.shape == (shape[0], -(-n // 2))
    assert scale.shape == (shape[0], -(-n // 64))
    restored = restore_groups(packed, scale, weight.shape)
    torch.testing.assert_close(restored, quantise_in_groups_slowly(weight), atol=1e-9 * size, rtol=1e-6)


def test_four_bits_are_off_by_half_a_step_of_their_group_at_most(tmp_path):
    """Half of 1/7 of the largest of 64 weights, and what half precision rounds of it: 7.2 %."""
    net = SiamesePair(KochSmall()).initialise(torch.Generator().manual_seed(0))
    save_scorer(tmp_path / "whole", net)
    save_scorer(tmp_path / "net", net, TRAINING, "int4")
    assert (tmp_path / "net").stat().st_size < 0.145 * (tmp_path / "whole").stat().st_size
    loaded = load_scorer(tmp_path / "net")[0].state_dict()
    for name, weight in net.state_dict().items():
        assert loaded[name].dtype == torch.float32
        if weight.ndim < 2:
            assert torch.equal(loaded[name], weight)
            continue
        groups = weight.flatten(1).split(64, 1)
        off = (loaded[name] - weight).flatten(1).split(64, 1)
        worst = max(
            (o.abs().amax(1) / g.abs().amax(1)).max().item() for o, g in zip(off, groups, strict=True)
        )
        assert 0.5 / 7 * 0.8 < worst <= 0.5 / 7 * 1.001


def test_four_bits_keep_zeros_and_weights_too_small_for_half_precision():
    weight = torch.tensor([[0.0, 0.0, 0.0], [1e-9, -1e-9, 2e-7]])
    restored = restore_groups(*quantise_in_groups(weight), weight.shape)
    assert torch.equal(restored[0], weight[0])
    assert (restored - weight).abs().max() <= 2.0**-25


def test_four_bits_for_another_shape_are_refused(tmp_path):
    net = make("siamese_pair")
    save_scorer(tmp_path / "net", net, precision="int4")
    tensors, about = load_tensors(tmp_path / "net")
    tensors["base.connected.weight"] = tensors["base.connected.weight"][:, :-1].contiguous()
    safetensors.torch.save_file(tensors, tmp_path / "net", {"about": json.dumps(about)})
    with pytest.raises(WeightsError, match="do not fit the network they name"):
        load_scorer(tmp_path / "net")
