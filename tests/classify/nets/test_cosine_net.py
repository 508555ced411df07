"""The network of cosines: its size, its input, its scores, and that it is rebuilt from its settings."""

import numpy as np
import torch
import torch.nn.functional as F

from oneshot.classify.nets.cosine_net import FIRST_SCALE, CosineNet
from oneshot.classify.nets.ink_box import crop_to_ink, even_shares
from oneshot.classify.nets.network import set_order


def make_net(**settings) -> CosineNet:
    small = {"channels": (4, 6, 8), "side": 16, "n_code": 5} | settings
    return CosineNet(**small).initialise(np.random.default_rng(0))


def test_sizes_and_weights_before_and_after_they_are_drawn():
    net = CosineNet((4, 6, 8), 16, 5)
    convolutions, norms = 9 * (1 * 4 + 4 * 6 + 6 * 8), 2 * (4 + 6 + 8)
    assert sum(parameter.numel() for parameter in net.parameters()) == (
        convolutions + norms + (8 * 4 * 4 + 1) * 5 + 1
    )
    images = torch.zeros(2, 105, 105)
    assert net.eval()(images).isnan().all()
    assert net.initialise(np.random.default_rng(0))(images).isfinite().all()
    assert CosineNet(**net.settings).settings == net.settings


def test_scores_are_scaled_cosines(synthetic_drawings):
    net = make_net().eval()
    with torch.no_grad():
        codes = net(torch.from_numpy(synthetic_drawings.unpack()[:4, 0]).float())
        found = net.compare(codes[:1], 3 * codes)
    lengths = codes.double().norm(dim=1)
    expected = FIRST_SCALE * (codes.double() @ codes[0].double()) / (lengths * lengths[0])
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    assert found[0].std() > 1e-3


def test_blocks_are_those_written_out(synthetic_drawings):
    net = make_net().eval()
    images = torch.from_numpy(synthetic_drawings.unpack()[:3, 0]).float()
    x = crop_to_ink(images, 16)[:, None]
    for n, (convolution, norm) in enumerate(zip(net.convolutions, net.norms, strict=True)):
        x = F.conv2d(x, convolution.weight, padding=1)
        x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
        x = F.relu(x)
        if n < 2:
            x = F.max_pool2d(x, 2)
    codes = net.code(x.flatten(1))
    torch.testing.assert_close(net(images), codes, atol=1e-5, rtol=1e-5)
    set_order(net, torch.channels_last)
    torch.testing.assert_close(net(images), codes, atol=1e-5, rtol=1e-5)


def test_whole_drawings_are_resampled_where_they_are_not_normalised():
    image = torch.zeros(1, 105, 105)
    image[0, 70:90, 10:20] = 1
    shares = even_shares(105, 16)
    torch.testing.assert_close(make_net(normalised=False).resample(image), shares @ image @ shares.T)
    assert make_net(normalised=False).resample(image).sum() < 0.2 * make_net().resample(image).sum()


@torch.no_grad()
def test_whitened_codes_of_a_class_vary_alike_in_every_direction(synthetic_drawings):
    net = make_net().eval()
    images = torch.from_numpy(synthetic_drawings.unpack()[:6, :10].reshape(60, 105, 105)).float()
    within = within_classes(net(images))
    before = torch.linalg.eigvalsh(within)
    net.whiten(within, 0.5)
    after = torch.linalg.eigvalsh(within_classes(net(images)))
    expected = before / (before + 0.5 * before.mean())
    np.testing.assert_allclose(after, expected.sort().values, rtol=1e-3)
    assert before[-1] / before[0] > 2 * after[-1] / after[0]


def within_classes(codes):
    deviations = codes.double().unflatten(0, (6, 10))
    deviations = (deviations - deviations.mean(1, keepdim=True)).flatten(0, 1)
    return deviations.T @ deviations / 60
