"""The colour matcher alone: sizes, codes, initial weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oneshot.segment.nets.colour_matcher import CoarseMeans, ColourMatcher


def make_net(seed: int = 0) -> ColourMatcher:
    return ColourMatcher(4).initialise(np.random.default_rng(seed))


def test_initial_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    one = make_net()
    torch.manual_seed(2)
    other = make_net()
    torch.testing.assert_close(one.state_dict(), other.state_dict(), atol=0, rtol=0)
    assert not torch.equal(one.whole.targets.hidden.weight, make_net(1).whole.targets.hidden.weight)
    assert not torch.equal(one.whole.targets.hidden.weight, one.whole.groups.hidden.weight)


@pytest.mark.parametrize(("pair", "n_code"), [("whole", 128), ("glance", 32)])
def test_codes_have_length_one_and_belong_to_their_crop_alone(pair: str, n_code: int) -> None:
    encoder = getattr(make_net().eval(), pair).groups
    pixels, shapes = torch.rand(5, 2, 28, 28), torch.randn(5, 4)
    with torch.no_grad():
        codes, numbers = encoder(pixels, shapes)
        alone, number = encoder(pixels[3:4], shapes[3:4])
    assert codes.shape == (5, n_code)
    assert numbers.shape == (5,)
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(5))
    torch.testing.assert_close((alone[0], number[0]), (codes[3], numbers[3]))


def test_the_number_of_parameters_is_known() -> None:
    assert sum(parameter.numel() for parameter in ColourMatcher().parameters()) == 853_734


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_glances_means_are_those_of_an_average_pool(order: torch.memory_format) -> None:
    shares = (torch.randint(5, (7, 2, 28, 28)) / 4).contiguous(memory_format=order)
    torch.testing.assert_close(CoarseMeans()(shares), F.avg_pool2d(shares, 4).flatten(1), atol=0, rtol=0)
