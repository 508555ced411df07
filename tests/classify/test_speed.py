"""Every part of the overlay gives what the plain path gives, on pairs and on episodes."""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.nets.network import set_order
from oneshot.training.speed import Speed, choose_speed
from tests.conftest import ROOT
from tests.first_pair_steps import KINDS, pair_figures

plain_figures = cache(lambda device, kind: pair_figures(Speed(device), kind))
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def check(found, expected, bf16):
    assert np.std(expected["scores"]) > 0.01  # else all might agree on nothing
    assert found["losses"] == pytest.approx(expected["losses"], abs=3e-2 if bf16 else 1e-4)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=5e-2 if bf16 else 5e-4)
    if bf16:
        assert found["losses"] != pytest.approx(expected["losses"], abs=1e-6), "no trace of bfloat16"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", ["fused", "channels_last", "bf16", "bf16,channels_last,fused"])
def test_first_losses_and_scores_are_those_of_the_plain_path(device, kind, parts):
    speed = choose_speed(device, parts)
    check(pair_figures(speed, kind), plain_figures(device, kind), speed.bf16)


@pytest.mark.parametrize("channels_last", [True, False])
def test_channels_lie_as_asked(channels_last):
    net = KochSmall((2, 2, 2, 4), 8).initialise(np.random.default_rng(0))
    set_order(net, Speed(channels_last=channels_last).memory_format)
    orders = []
    net.base.convolutions[2].register_forward_hook(
        lambda module, inputs, output: orders.append(
            [x.is_contiguous(memory_format=torch.channels_last) for x in (*inputs, output)]
        )
    )
    net.base(torch.zeros(2, 105, 105))
    assert orders == [[channels_last] * 2]


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_code_follows_the_plain_path(device):
    settings = ["compiled", "bf16,channels_last,compiled,fused"]
    command = [sys.executable, "-m", "tests.first_pair_steps", device, *settings]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    for parts, kinds in json.loads(ran.stdout.splitlines()[-1]).items():
        for kind, found in kinds.items():
            assert found["n_graphs"] == 2  # to train, to encode
            check(found, plain_figures(device, kind), "bf16" in parts)
