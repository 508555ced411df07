"""Schedules, starts and optimisers of the two recipes."""

import math

import numpy as np
import pytest
import torch

from oneshot.segment.batches import Batch
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets.siamese_unet import SiameseUNet, layer_norm
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.training.muon import Muon, orthogonalised, orthogonalised_together
from tests.segment.nets.test_siamese_unet import generator


def random_batch(n: int) -> Batch:
    images = torch.randn(n, 3, 32, 32, generator=generator(1))
    targets = torch.randn(n, 3, 32, 32, generator=generator(2))
    return Batch(images, targets, images[:, 0] > 1, torch.zeros(len(images)), torch.ones(len(images)))


def test_published_recipe_is_as_published():
    recipe = SegmentationRecipe("published", 5e-4, 250, 0.0)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    (adam,) = recipe.optimizers(SegmentationLoss(net))
    assert isinstance(adam, torch.optim.Adam)
    defaults = {name: adam.defaults[name] for name in ("lr", "betas", "eps", "weight_decay")}
    assert defaults == {"lr": 5e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}
    assert not recipe.method.prepared


def test_fast_recipe_gives_every_parameter_to_one_optimiser():
    recipe = SegmentationRecipe("fast", 1e-3, 8, 0.1)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    loss = SegmentationLoss(net, recipe.matching_weight)
    adam, muon = recipe.optimizers(loss)
    names = {id(parameter): name for name, parameter in loss.named_parameters()}
    of_adam, of_muon = (
        {names[id(parameter)] for parameter in optimizer.param_groups[0]["params"]}
        for optimizer in (adam, muon)
    )
    assert of_adam | of_muon == set(names.values())
    assert not of_adam & of_muon
    assert {name for name in of_adam if not name.endswith("shift")} == {
        "matching.log_scale",
        "net.target_encoder.layers.0.weight",
        "net.scene_encoder.layers.0.weight",
        "net.decoder.layers.5.weight",
    }
    assert (adam.defaults["lr"], adam.defaults["betas"], adam.defaults["eps"]) == (1e-3, (0.9, 0.95), 1e-15)
    assert muon.defaults["lr"] == pytest.approx(1e-2)


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (16, 2, 2, 2), (6, 6, 1, 1)])
def test_muon_equals_torchs_on_weights_seen_as_matrices(shape):
    """To the precision of bfloat16, in which torch's does its Newton-Schulz steps."""
    weight = torch.nn.Parameter(torch.randn(shape, generator=generator()))
    matrix = torch.nn.Parameter(weight.detach().flatten(1).clone())
    start = weight.detach().clone()
    ours = Muon([weight], lr=0.02)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        weight.grad = torch.randn(shape, generator=generator(step))
        matrix.grad = weight.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    moved, expected = (weight - start).flatten(1), matrix - start.flatten(1)
    assert ((moved - expected).norm() / expected.norm()).item() < 0.03


def test_orthogonalised_keeps_singular_vectors_and_evens_values_out():
    left, _, right = np.linalg.svd(np.random.default_rng(0).normal(size=(5, 8)), full_matrices=False)
    matrix = left @ np.diag([10, 5, 3, 2, 1]) @ right
    turned = left.T @ orthogonalised(torch.from_numpy(matrix)).numpy() @ right.T
    assert ((np.diag(turned) > 0.6) & (np.diag(turned) < 1.3)).all()
    np.testing.assert_allclose(turned - np.diag(np.diag(turned)), 0, atol=1e-10)


@pytest.mark.parametrize("shapes", [[(4, 6), (4, 6), (4, 9), (7, 9)], [(6, 4), (6, 9)]], ids=["wide", "tall"])
def test_orthogonalised_together_equals_one_after_the_other(shapes):
    """Zeros that fill up narrow matrices change nothing."""
    matrices = [torch.randn(shape, generator=generator(seed)) for seed, shape in enumerate(shapes)]
    together = orthogonalised_together(matrices)
    for matrix, turned in zip(matrices, together, strict=True):
        torch.testing.assert_close(turned, orthogonalised(matrix), atol=1e-5, rtol=1e-5)


def test_muon_leaves_out_what_has_no_gradient_and_keeps_float32_where_losses_are_shorter():
    weights = [torch.nn.Parameter(torch.randn(4, 3, 2, 2, generator=generator(seed))) for seed in range(3)]
    others = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    for seed in range(2):
        for pair in (weights, others):
            pair[seed].grad = torch.randn(4, 3, 2, 2, generator=generator(10 + seed))
    before = weights[2].detach().clone()
    Muon(weights, lr=0.02).step()
    with torch.autocast("cpu", torch.bfloat16):
        Muon(others, lr=0.02).step()
    torch.testing.assert_close(weights, others, atol=0, rtol=0)
    torch.testing.assert_close(weights[2].detach(), before, atol=0, rtol=0)
    assert (weights[0].detach() - before).abs().max() > 0


def test_fast_start_gives_both_encoders_the_same_weights():
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    SegmentationLoss(net).prepare(random_batch(6))
    pairs = zip(net.target_encoder.blocks(), net.scene_encoder.blocks(), strict=True)
    assert all(torch.equal(target.weight, scene.weight) for target, scene in pairs)


@pytest.mark.parametrize("encoder", ["target_encoder", "scene_encoder"])
def test_fast_start_centres_every_layer(encoder):
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    batch = random_batch(6)
    SegmentationLoss(net).prepare(batch)
    x = batch.targets if encoder == "target_encoder" else batch.images
    for step, layer in enumerate(getattr(net, encoder).layers):
        centred = layer_norm(layer.convolve(x), layer.shift)
        torch.testing.assert_close(centred.mean((0, 2, 3)), torch.zeros(len(layer.shift)), atol=1e-5, rtol=0)
        x = getattr(net, encoder).pool(step, layer(x))


def test_fast_start_puts_the_logits_at_the_backgrounds_share():
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    batch = random_batch(2)
    SegmentationLoss(net).prepare(batch)
    background, foreground = net(batch.images, batch.targets).mean((0, 2, 3)).tolist()
    assert background + foreground == pytest.approx(0, abs=1e-4)
    assert net.decoder.layers[-1].shift.tolist() == pytest.approx([2.3, -2.3])
    assert 1 / (1 + math.exp(4.6)) == pytest.approx(0.01, abs=2e-3)
