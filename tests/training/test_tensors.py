"""Weights come back as they were saved, or with one sentence about why not."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import (
    NetworkInfo,
    WeightsError,
    file_sha256,
    load_network,
    load_tensors,
    quantise,
    save_network,
)
from tests.archives import flip_bit

INFO = NetworkInfo(
    "segmentation", "siamese_unet", {"feature_maps": 2}, {"recipe": "fast", "n_seen": 9600},
    {"mean": 4.5, "std": 27.5},
)  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    save_network(tmp_path / "net.safetensors", net, INFO)
    return tmp_path / "net.safetensors", net


def test_weights_come_back_with_what_is_known_of_them(saved):
    path, net = saved
    loaded, info = load_network(path, NETS)
    assert info == INFO
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9999])
def test_a_bit_flipped_in_a_tensor_is_noticed(share, saved):
    path, _ = saved
    flip_bit(path, int(share * path.stat().st_size))
    with pytest.raises(WeightsError, match=r"is damaged \(its SHA-256 is another\)"):
        load_tensors(path)


def test_files_from_before_sums_were_kept_are_read(saved):
    path, net = saved
    tensors, about = load_tensors(path)
    path.write_bytes(safetensors.torch.save(tensors, {"about": json.dumps(about)}))
    torch.testing.assert_close(load_network(path, NETS)[0].state_dict(), net.state_dict())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_network_is_rebuilt_from_its_settings(name, tmp_path):
    net = CLASSIFIERS[name]().initialise(np.random.default_rng(0))
    save_network(tmp_path / "net", net, NetworkInfo("classification", name, net.settings))
    loaded, _ = load_network(tmp_path / "net", CLASSIFIERS)
    assert type(loaded) is type(net)
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), r"net\.safetensors is missing"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "damaged"),
        (lambda path: safetensors.torch.save_file({"a": torch.zeros(2)}, path), "does not say what it holds"),
    ],
)
def test_a_file_without_weights_is_one_sentence(saved, spoil, message):
    path, _ = saved
    spoil(path)
    with pytest.raises(WeightsError, match=message):
        load_network(path, NETS)


@pytest.mark.parametrize("change", [{"settings": {"feature_maps": 3}}, {"net": "unknown"}, {"surplus": 1}])
def test_weights_of_another_network_than_named(saved, change):
    path, net = saved
    _, about = load_tensors(path)
    safetensors.torch.save_file(net.state_dict(), path, {"about": json.dumps(about | change)})
    with pytest.raises(WeightsError, match="do not fit the network they name"):
        load_network(path, NETS)


def test_half_precision_halves_the_file_and_comes_back_in_single_precision(saved):
    path, net = saved
    whole = path.stat().st_size
    save_network(path, net, INFO, "float16")
    assert path.stat().st_size < 0.65 * whole
    loaded, info = load_network(path, NETS)
    assert info == INFO
    expected = {name: tensor.half().float() for name, tensor in net.state_dict().items()}
    torch.testing.assert_close(loaded.state_dict(), expected, atol=0, rtol=0)


def test_eight_bits_are_off_by_half_a_step_of_their_channel_at_most(tmp_path):
    """Half of 1/127 of the channel's largest weight: 0.4 %."""
    net = CLASSIFIERS["koch_small"]().initialise(np.random.default_rng(0))
    info = NetworkInfo("classification", "koch_small")
    save_network(tmp_path / "whole", net, info)
    save_network(tmp_path / "net", net, info, "int8")
    assert (tmp_path / "net").stat().st_size < 0.27 * (tmp_path / "whole").stat().st_size
    loaded = load_network(tmp_path / "net", CLASSIFIERS)[0].state_dict()
    for name, weight in net.state_dict().items():
        assert loaded[name].dtype == torch.float32
        if weight.ndim < 2:
            assert torch.equal(loaded[name], weight)
            continue
        rows = weight.flatten(1)
        off = (loaded[name].flatten(1) - rows).abs().amax(1) / rows.abs().amax(1)
        assert 0.5 / 127 * 0.8 < off.max() <= 0.5 / 127 * 1.001
    assert load_tensors(tmp_path / "net")[0]["base.connected.weight"].dtype == torch.int8


def test_zeros_survive_eight_bits():
    steps, scale = quantise(torch.zeros(2, 3))
    assert not steps.any()
    assert scale.isfinite().all()


def test_the_checksum_of_a_file(saved, tmp_path):
    path, _ = saved
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match="absent is missing"):
        file_sha256(tmp_path / "absent")
