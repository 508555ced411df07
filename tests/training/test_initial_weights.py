"""Initial weights: of the right distribution, and the same whatever PyTorch draws."""

import numpy as np
import pytest
import torch

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.segment.nets import NETS as SEGMENTERS
from oneshot.training.initial_weights import fill_he, fill_normal, fill_truncated_normal, fill_uniform

DRAWING = [name for name in SEGMENTERS if name != "masknet"]  # which starts from a Siamese-U-Net


def drawn(draw, *numbers) -> torch.Tensor:
    weight = torch.empty(200, 50, 3, 3)
    draw(weight, *numbers, np.random.default_rng(0))
    return weight


def test_normal_numbers_have_the_mean_and_deviation():
    weight = torch.empty(200, 50, 3, 3)
    fill_normal(weight, 0.2, np.random.default_rng(0), 0.5)
    assert weight.mean() == pytest.approx(0.5, abs=0.003)
    assert weight.std() == pytest.approx(0.2, abs=0.003)


def test_he_weights_have_twice_the_variance_of_one_over_fan_in():
    assert drawn(fill_he).var() == pytest.approx(2 / (50 * 3 * 3), rel=0.03)


def test_truncated_weights_end_at_two_sigma_and_keep_their_shape_within():
    weight = drawn(fill_truncated_normal, 0.1)
    assert weight.abs().max() <= 0.2
    assert weight.std() == pytest.approx(0.0880, abs=0.001)  # of a normal cut at two sigma
    assert (weight.abs() > 0.19).any()


def test_even_weights_fill_their_reach():
    weight = drawn(fill_uniform, 0.3)
    assert weight.min() == pytest.approx(-0.3, abs=0.001)
    assert weight.max() == pytest.approx(0.3, abs=0.001)
    assert weight.std() == pytest.approx(0.3 / 3**0.5, abs=0.002)


@pytest.mark.parametrize(
    ("nets", "name"), [(CLASSIFIERS, name) for name in CLASSIFIERS] + [(SEGMENTERS, name) for name in DRAWING]
)
def test_pytorch_draws_none_of_them(nets, name, monkeypatch):
    """Every PyTorch function that fills a tensor at random is taken away."""

    def refuse(*args, **kwargs):
        raise AssertionError("drawn by PyTorch")

    net = nets[name]()
    for function in ("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(torch.nn.init, function, refuse)
    for method in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, method, refuse)
    net.initialise(np.random.default_rng(0))
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_seed_0_gives_these_weights():
    """A seed's weights are part of what a run is repeated by: they change only on purpose."""
    weight = CLASSIFIERS["cosine_net"]().initialise(np.random.default_rng(0)).convolutions[0].weight
    assert weight.flatten()[:3].tolist() == pytest.approx([0.52685207, -0.65389693, -0.20108779])
