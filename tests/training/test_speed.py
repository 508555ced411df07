"""Every part of the overlay, alone and together, gives what the plain float32 path gives."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oneshot.errors import TrainingError
from oneshot.segment.batches import CodedScenes, PixelStatistics, code, decode, with_others
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets import siamese_unet
from oneshot.segment.nets.siamese_unet import SiameseUNet, layer_norm, pixelwise_layer_norm
from oneshot.segment.recipes import SegmentationRecipe, learning
from oneshot.training.fit import train_step
from oneshot.training.speed import Speed, choose_speed, evaluation_speed
from oneshot.training.tensors import NetworkInfo, save_network
from tests.conftest import ROOT
from tests.fake_scenes import fake_scenes, fake_targets
from tests.first_masknet_steps import LOSSES, batch_for, masknet_figures, trained_masknet
from tests.first_steps import MATCHING_WEIGHTS, RATES, SCENES, STATISTICS, figures, train

# Of every loss of the first steps; bfloat16 has three digits.
LOSS_TOLERANCES = {"float32": 2e-4, "bf16": 1e-2}
IOU_TOLERANCE = 0.3  # points
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
EAGER_PARTS = ["fused", "channels_last", "bf16", "bf16,channels_last,fused"]
COMPILED_PARTS = {
    "cpu": ["compiled"],
    "cuda": ["compiled", "auto", "bf16,channels_last,compiled,cuda_graphs,fused"],
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Of a network that finds most of its training targets."""
    net, _ = train("fast", Speed(), feature_maps=4, n_steps=200)
    path = tmp_path_factory.mktemp("speed") / "weights.safetensors"
    save_network(path, net, NetworkInfo("segmentation", "siamese_unet", {"feature_maps": 4}))
    return path


@pytest.fixture(scope="module")
def plain(weights) -> dict[str, dict]:
    """By device."""
    found = {}

    def measure(device: str) -> dict:
        if device not in found:
            found[device] = figures(weights, Speed(device))
        return found[device]

    return measure


def check(found: dict, expected: dict, bf16: bool) -> None:
    assert expected["iou"] > 80  # else all might agree on nothing
    tolerance = LOSS_TOLERANCES["bf16" if bf16 else "float32"]
    for name in found.keys() & RATES.keys():
        assert found[name] == pytest.approx(expected[name], abs=tolerance), name
        if bf16:
            assert found[name] != pytest.approx(expected[name], abs=1e-5), "no trace of bfloat16"
    assert found["iou"] == pytest.approx(expected["iou"], abs=IOU_TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("parts", EAGER_PARTS)
def test_first_losses_and_iou_are_those_of_the_plain_path(device, parts, weights, plain):
    speed = choose_speed(device, parts)
    check(figures(weights, speed), plain(device), speed.bf16)


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_code_follows_the_plain_path(device, weights, plain):
    run = subprocess.run(
        [sys.executable, "-m", "tests.first_steps", device, weights, *COMPILED_PARTS[device]],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    for parts, found in json.loads(run.stdout.splitlines()[-1]).items():
        # One graph a recipe, one to evaluate: whatever else is compiled is compiled again and again.
        assert found["n_graphs"] == len(found) - 1
        check(found, plain(device), choose_speed(device, parts).bf16)


@pytest.fixture(scope="module")
def plain_masknet():
    """By device."""
    return cache(lambda device: masknet_figures(Speed(device)))


def check_masknet(found: dict, expected: dict, bf16: bool) -> None:
    assert expected["iou"] > 10  # of all locations, most of which are to be blank
    losses, scores = (2e-2, 5e-2) if bf16 else (5e-4, 2e-3)
    for name in found.keys() & LOSSES.keys():
        # In bfloat16 some pixels fall on the other side of a mask's threshold, which moves the
        # discriminator's gradient: it is compared on the same masks below.
        n_compared = 1 if bf16 and "discriminator" in name else 2
        assert found[name][:n_compared] == pytest.approx(expected[name][:n_compared], rel=losses), name
    apart = np.abs(np.subtract(found["scores"], expected["scores"])) > scores
    # A mask of few pixels may lose them all in bfloat16, and then looks like another one.
    assert apart.mean() <= (0.03 if bf16 else 0.0)
    assert found["iou"] == pytest.approx(expected["iou"], abs=IOU_TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("parts", ["channels_last", "bf16", "bf16,channels_last,fused"])
def test_masknets_losses_gradients_and_answers_are_those_of_the_plain_path(device, parts, plain_masknet):
    speed = choose_speed(device, parts)
    check_masknet(masknet_figures(speed), plain_masknet(device), speed.bf16)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["discriminator", "corrected discriminator"])
def test_the_discriminators_gradient_on_the_same_masks_is_that_of_the_plain_path(device, name):
    net = trained_masknet()
    plain, short = Speed(device), Speed(device, bf16=True)
    loss = plain.place(LOSSES[name](net))
    batch = batch_for(plain, loss.n_locations)
    with torch.no_grad(), plain.running():
        proposed = loss.propose(batch)
    loss.propose = lambda _: proposed
    gradients = []
    for speed in (plain, short):
        with speed.running():
            loss(batch).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in learning(loss)]))
        net.zero_grad()
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999
    assert gradients[1].norm().item() == pytest.approx(gradients[0].norm().item(), rel=1e-2)
    assert not torch.equal(*gradients)


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_masknet_follows_the_plain_path(device, plain_masknet):
    run = subprocess.run(
        [sys.executable, "-m", "tests.first_masknet_steps", device, *COMPILED_PARTS[device]],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    for parts, found in json.loads(run.stdout.splitlines()[-1]).items():
        n_losses = len(found.keys() & LOSSES.keys())
        assert found["n_graphs"] == n_losses + 3  # to encode, to propose, to score
        check_masknet(found, plain_masknet(device), choose_speed(device, parts).bf16)


@pytest.mark.parametrize("shift", [True, False])
def test_layer_norm_by_pixels_is_the_same_and_keeps_channels_side_by_side(shift):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 4, 6, generator=generator) + 2
    shifts = torch.randn(5, generator=generator) if shift else None
    outputs, gradients = [], []
    for norm, order in [(layer_norm, torch.contiguous_format), (pixelwise_layer_norm, torch.channels_last)]:
        leaves = [x.clone(memory_format=order).requires_grad_()]
        if shifts is not None:
            leaves.append(shifts.clone().requires_grad_())
        y = norm(*leaves)
        assert y.is_contiguous(memory_format=order)
        (y**3).sum().backward()
        outputs.append(y)
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-4)


class Convolutions(TorchDispatchMode):
    """Notes the order of memory of the maps and gradients that convolutions read."""

    def __init__(self) -> None:
        super().__init__()
        self.turned: list[bool] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        n_maps = {"convolution": 1, "convolution_backward": 2}.get(function.overloadpacket.__name__, 0)
        for maps in args[:n_maps]:
            self.turned.append(maps.is_contiguous(memory_format=torch.channels_last))
        return function(*args, **(kwargs or {}))


def coded_with_others() -> CodedScenes:
    ones = np.ones((len(SCENES), 1), int)
    return with_others(code(SCENES), 4, ones, fake_targets(4, ones, seed=0))


@pytest.mark.parametrize("matching_weight", [0.0, 0.1])
def test_channels_stay_side_by_side_through_all_layers_and_back(matching_weight, monkeypatch):
    """As on a GPU, where PyTorch's own layer norm would undo it."""

    def layer_norm_of_gpus(x, shift=None):
        return layer_norm(x, shift) if x.is_contiguous() else pixelwise_layer_norm(x, shift)

    monkeypatch.setattr(siamese_unet, "layer_norm", layer_norm_of_gpus)
    batch = decode(coded_with_others(), torch.arange(2), STATISTICS, torch.channels_last)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    convolutions = Convolutions()
    with convolutions:
        SegmentationLoss(net, matching_weight)(batch).backward()
    assert len(convolutions.turned) == 18 * 3
    assert all(convolutions.turned)


def test_autocast_keeps_no_weights_that_an_update_leaves_behind():
    layer = torch.nn.Linear(1, 1, bias=False)
    with Speed(bf16=True).running():
        before = layer(torch.ones(1, 1))
        assert before.dtype == torch.bfloat16
        with torch.no_grad():
            layer.weight += 1
        assert (layer(torch.ones(1, 1)) - before).item() == pytest.approx(1, abs=0.02)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("part", ["", "bf16", "tf32"])
def test_float32_is_float32_on_a_gpu_unless_less_is_asked_for(part, monkeypatch):
    monkeypatch.setattr(Speed, "autocast", lambda speed: torch.autocast("cpu", enabled=False))
    cudnn = torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, torch.get_float32_matmul_precision())

    def look_and_fail() -> None:
        assert (cudnn.allow_tf32, cudnn.benchmark) == (bool(part), True)
        assert torch.get_float32_matmul_precision() == ("high" if part else "highest")
        raise KeyError

    with pytest.raises(KeyError), Speed("cuda", **({part: True} if part else {})).running():
        look_and_fail()
    after = (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, torch.get_float32_matmul_precision())
    assert after == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_convolutions_in_float32_keep_its_digits_on_a_gpu():
    generator = torch.Generator().manual_seed(0)
    maps, weight = (torch.randn(shape, generator=generator) for shape in [(4, 64, 32, 32), (64, 64, 3, 3)])
    expected = torch.nn.functional.conv2d(maps.double(), weight.double())
    with Speed("cuda").running():
        found = torch.nn.functional.conv2d(maps.cuda(), weight.cuda()).cpu()
    assert ((found - expected).norm() / expected.norm()).item() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", RATES)
def test_a_step_reads_nothing_back_from_a_gpu(name):
    speed = choose_speed("cuda", "bf16,channels_last,fused")
    recipe = SegmentationRecipe(name, RATES[name], 8, MATCHING_WEIGHTS[name])
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    loss = speed.place(SegmentationLoss(net, recipe.matching_weight))
    optimizers = recipe.optimizers(loss, speed.fused)
    coded, which = coded_with_others().to("cuda"), torch.arange(8, device="cuda")
    with speed.running():
        for mode in ("default", "error"):
            torch.cuda.set_sync_debug_mode(mode)
            try:
                batch = decode(coded, which, STATISTICS, speed.memory_format)
                train_step(loss, batch, optimizers, speed)
            finally:
                torch.cuda.set_sync_debug_mode("default")


def test_automatic_choice_depends_on_the_device(monkeypatch):
    for units in ("avx512_bf16", "amx_bf16", None):
        found = {"avx2": True, "avx512_bf16": False} | ({units: True} if units else {})
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert choose_speed("cpu") == Speed("cpu", bf16=units is not None, channels_last=True, fused=True)
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as PyTorch 2.9
    assert choose_speed("cpu") == Speed("cpu", channels_last=True, fused=True)
    assert choose_speed("cpu", "plain") == Speed("cpu")
    assert choose_speed("cpu", "channels_last,bf16") == Speed("cpu", channels_last=True, bf16=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    automatic = Speed("cuda", bf16=True, channels_last=True, compiled=True, fused=True, auto=True)
    assert choose_speed() == choose_speed("cuda") == automatic
    assert choose_speed("cuda:1", "compiled,cuda_graphs").parts == ("compiled", "cuda_graphs")


def test_stages_evaluate_in_single_precision(monkeypatch):
    assert evaluation_speed("cpu") == Speed("cpu", channels_last=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert evaluation_speed("auto") == Speed("cuda")


@pytest.mark.parametrize(
    ("device", "parts", "message"),
    [
        ("gpu", "auto", "device is 'gpu'; choose auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", "auto", "device is 'cuda:x'; choose"),
        ("cpu:", "auto", "device is 'cpu:'; choose"),
        ("mps", "auto", "device is 'mps', but PyTorch finds no Apple GPU here"),
        ("cuda", "auto", "device is 'cuda', but PyTorch finds no GPU here"),
        ("cpu", "fast", "speed is 'fast', but there is no 'fast'; choose auto, plain, or some of bf16,"),
        ("cpu", "fused,", "speed is 'fused,', but there is no ''"),
        ("cpu", "compiled,cuda_graphs", "speed is 'compiled,cuda_graphs' on device 'cpu'; cuda_graphs needs"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_sentence(device, parts, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=message):
        choose_speed(device, parts)


def test_cuda_graphs_without_compilation_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(TrainingError, match="cuda_graphs needs a GPU, and compiled beside it"):
        choose_speed("cuda", "cuda_graphs")


def test_a_network_can_be_trained_after_it_was_evaluated_elsewhere(monkeypatch):
    def move(speed, module):
        """Stands for a move to another device, which makes parameters anew."""
        for part in module.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                setattr(part, name, torch.nn.Parameter(parameter.detach().clone()))
        return module

    monkeypatch.setattr(Speed, "place", move)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    evaluate_answers(net, fake_scenes(3, 4, seed=0), PixelStatistics(20.0, 50.0))
    assert not any(parameter.is_inference() for parameter in net.parameters())
