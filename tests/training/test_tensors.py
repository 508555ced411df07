"""Weights come back as they were saved, or with one sentence about why not."""

import hashlib
import json

import pytest
import safetensors.torch
import torch

from oneshot.segment.batches import PixelStatistics
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.weights import WeightsInfo, load_weights, save_weights
from oneshot.training.tensors import WeightsError, file_sha256

INFO = WeightsInfo("siamese_unet", 2, "fast", PixelStatistics(4.5, 27.5), 9600)


@pytest.fixture
def saved(tmp_path):
    net = SiameseUNet(2).initialise(torch.Generator().manual_seed(0))
    save_weights(tmp_path / "net.safetensors", net, INFO)
    return tmp_path / "net.safetensors", net


def test_weights_come_back_with_what_is_known_of_them(saved):
    path, net = saved
    loaded, info = load_weights(path)
    assert info == INFO
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)


def test_nothing_else_is_left_beside_the_file(saved):
    path, _ = saved
    assert list(path.parent.iterdir()) == [path]


def test_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights at .*absent.safetensors"):
        load_weights(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("n_bytes", [0, 5, 1000])
def test_cut_off_weights(saved, n_bytes):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(path)


def test_another_projects_safetensors(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not this project's"):
        load_weights(tmp_path / "other.safetensors")


@pytest.mark.parametrize("change", [{"feature_maps": 3}, {"net": "unknown"}, {"surplus": 1}])
def test_weights_of_another_network_than_named(saved, change):
    path, net = saved
    about = {
        "net": "siamese_unet", "feature_maps": 2, "recipe": "fast", "n_scenes_seen": 1,
        "statistics": {"mean": 1.0, "std": 1.0},
    } | change  # fmt: skip
    safetensors.torch.save_file(net.state_dict(), path, {"about": json.dumps(about)})
    with pytest.raises(WeightsError, match="do not fit the network they name"):
        load_weights(path)


def test_half_precision_halves_the_file_and_comes_back_in_single_precision(saved):
    path, net = saved
    whole = path.stat().st_size
    save_weights(path, net, INFO, torch.float16)
    assert path.stat().st_size < 0.65 * whole
    loaded, info = load_weights(path)
    assert info == INFO
    expected = {name: tensor.half().float() for name, tensor in net.state_dict().items()}
    torch.testing.assert_close(loaded.state_dict(), expected, atol=0, rtol=0)


def test_weights_that_began_from_others_say_so(saved):
    path, net = saved
    info = WeightsInfo("siamese_unet", 2, "fast", INFO.statistics, 9600, n_scenes_before=400)
    save_weights(path, net, info)
    assert load_weights(path)[1] == info


def test_weights_that_do_not_know_of_others_began_from_none(saved):
    path, net = saved
    about = {
        "net": "siamese_unet", "feature_maps": 2, "recipe": "fast", "n_scenes_seen": 1,
        "statistics": {"mean": 1.0, "std": 1.0},
    }  # fmt: skip
    safetensors.torch.save_file(net.state_dict(), path, {"about": json.dumps(about)})
    assert load_weights(path)[1].n_scenes_before == 0


def test_the_checksum_of_a_file(saved, tmp_path):
    path, _ = saved
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=r"no weights at .*absent"):
        file_sha256(tmp_path / "absent")
