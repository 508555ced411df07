"""Weights come back as they were saved, or with one sentence about why not."""

import json

import pytest
import safetensors.torch
import torch

from oneshot.batches import PixelStatistics
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.weights import WeightsError, WeightsInfo, load_weights, save_weights

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
