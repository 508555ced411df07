"""MaskNet's two losses against plain NumPy, and what each of its training steps leaves alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot.segment.batches import Batch, pick_locations
from oneshot.segment.feed import SceneFeed
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss, score_loss
from oneshot.segment.nets import siamese_unet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe, learning
from oneshot.segment.render_ahead import Stock
from oneshot.training.fit import fit
from tests.fake_scenes import fake_scenes
from tests.oracle import masknet_numpy as oracle
from tests.oracle import siamese_unet_numpy as siamese_oracle
from tests.tiny_masknet import STATISTICS, descend, make_masknet, masknet_batch, tiny_masknet


def make_batch(n: int, n_locations: int, seed: int = 0) -> Batch:
    return masknet_batch(fake_scenes(n, 4, seed=seed), n_locations, seed)


def arrays(net: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in net.state_dict().items()}


def encode(batch: Batch, scene: int, weights):
    layers = siamese_oracle.encode(batch.images[scene].double().numpy(), weights, "scene_encoder")
    code = siamese_oracle.encode(batch.targets[scene].double().numpy(), weights, "target_encoder")[-1].ravel()
    return layers, code


def test_random_locations_do_not_repeat_within_a_scene_and_reach_everywhere():
    picked = pick_locations(500, 4, 144, np.random.default_rng(1))
    assert all(len(set(row)) == 4 for row in picked[:, :4].tolist())
    assert set(picked[:, :4].ravel()) == set(range(144))
    assert set(picked[:, 4]) == {0, 1, 2, 3}
    counts = np.bincount(picked[:, :4].ravel(), minlength=144)
    assert counts.std() < 2 * np.sqrt(500 * 4 / 144)


@pytest.mark.parametrize("corrected", [False, True])
def test_proposal_loss_equals_the_oracle(corrected: bool):
    net, batch = make_masknet(), make_batch(3, 4)
    weights = oracle.part(arrays(net), "siamese")
    losses, n_hits = [], 0
    for scene in range(3):
        mask = batch.masks[scene].numpy()
        near = oracle.near_locations(mask)
        layers, target_code = encode(batch, scene, weights)
        elsewhere = [divmod(location, 4) for location in batch.locations[scene].tolist()]
        n_hits += len(set(near) & set(elsewhere))
        for place, location in enumerate([*near, *elsewhere]):
            wanted = place < 4 or (corrected and location in near)
            logits = oracle.decode_proposal(layers, target_code, location, weights)
            losses.append(siamese_oracle.cross_entropy(logits, mask if wanted else np.zeros_like(mask)))
    assert n_hits > 0  # else the two would be one
    squares = sum((value**2).sum() for name, value in weights.items() if name.endswith("weight"))
    expected = np.mean(losses) + 1e-9 * squares / 2
    assert ProposalLoss(net, corrected=corrected)(batch).item() == pytest.approx(expected, abs=2e-5)


def test_discriminator_loss_equals_the_oracle():
    net, batch = make_masknet(), make_batch(3, 3)
    weights = arrays(net)
    siamese = oracle.part(weights, "siamese")
    scores, same = [], []
    for scene in range(3):
        layers, target_code = encode(batch, scene, siamese)
        near = oracle.near_locations(batch.masks[scene].numpy())
        elsewhere = [divmod(location, 4) for location in batch.locations[scene].tolist()]
        for place, location in enumerate([near[batch.corners[scene]], *elsewhere]):
            mask = oracle.foreground(oracle.decode_proposal(layers, target_code, location, siamese))
            scores.append(oracle.score(mask, target_code, weights, STATISTICS.mean, STATISTICS.std))
            same.append(place == 0)
    expected = oracle.discriminator_loss(scores, same, weights)
    assert DiscriminatorLoss(net)(batch).item() == pytest.approx(expected, abs=1e-4)


def test_score_loss_by_hand():
    scores = torch.tensor([[0.9, 0.2], [0.5, 0.0]])
    same = torch.tensor([[True, False], [False, False]])
    expected = -(np.log(0.9001) + np.log(0.8001) + np.log(0.5001) + np.log(1.0001)) / 4
    assert score_loss(scores, same).item() == pytest.approx(expected, abs=1e-6)


def test_corrected_discriminator_labels_go_by_overlap_with_the_true_mask():
    scenes = fake_scenes(6, 4, seed=1)
    net, batch = tiny_masknet(scenes), masknet_batch(scenes, 3)
    _, masks, first_only = DiscriminatorLoss(net).propose(batch)
    assert first_only.view(6, 4).tolist() == [[True, False, False, False]] * 6
    corrected = DiscriminatorLoss(net, corrected=True)
    _, masks_again, same = corrected.propose(batch)
    assert torch.equal(masks, masks_again)
    for mask, true, is_same in zip(masks, batch.masks.repeat_interleave(4, 0), same, strict=True):
        assert is_same == ((mask & true).sum() / (mask | true).sum() >= 0.5)
    assert 0 < same.sum() < len(same)
    assert not torch.equal(same, first_only)
    nothing = replace(batch, masks=torch.zeros_like(batch.masks))
    assert not corrected.propose(nothing)[2].any()


def test_batches_without_locations_are_refused():
    batch = replace(make_batch(2, 3), locations=None)
    with pytest.raises(ValueError, match="random locations"):
        DiscriminatorLoss(make_masknet())(batch)


def train_briefly(loss: ProposalLoss | DiscriminatorLoss, name: str, checkpoint: Path) -> None:
    recipe = SegmentationRecipe(name, 2e-3, 4, 0.0, trained_before=True)
    with Stock(
        lambda level, job: fake_scenes(12, level, seed=job), memory_bytes=10**8, n_ahead=4, n_threads=1
    ) as stock:
        feed = SceneFeed(
            stock, [Phase((4,), 16)], STATISTICS, batch_size=4, seed=1, n_jobs=4, n_job_scenes=12,
            n_window_jobs=2, n_locations=loss.n_locations,
        )  # fmt: skip
        fit(loss, feed, recipe, checkpoint=checkpoint)


@pytest.mark.parametrize("recipe", ["published", "fast"])
@pytest.mark.parametrize("make_loss", [ProposalLoss, DiscriminatorLoss])
def test_either_training_changes_its_own_part_alone(make_loss, recipe: str, tmp_path):
    net = make_masknet()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    train_briefly(make_loss(net), recipe, tmp_path / "run")
    for name, tensor in net.state_dict().items():
        learns = name.startswith("siamese.") == (make_loss is ProposalLoss)
        assert torch.equal(tensor, before[name]) is not learns, name


def test_one_batch_can_be_learnt_by_heart():
    """Step 1, then step 2 on what came of it: the target's proposals score higher than all others."""
    net, scenes = make_masknet(), fake_scenes(4, 4, seed=3)
    losses = descend(ProposalLoss(net), masknet_batch(scenes, 4), 150)
    assert losses[-1] < 0.2 * losses[0]
    loss = DiscriminatorLoss(net, corrected=True)
    loss.begin()
    assert descend(loss, masknet_batch(scenes, 3), 60)[-1] < 0.1


@pytest.mark.parametrize(
    ("make_loss", "part", "n_locations"),
    [(ProposalLoss, "siamese", 4), (DiscriminatorLoss, "discriminator", 3)],
)
def test_weight_decay_is_of_the_part_that_learns_and_nothing_else_learns(
    make_loss, part: str, n_locations: int, monkeypatch
):
    net, batch = make_masknet(), make_batch(2, n_locations)
    loss = make_loss(net)
    plain = loss(batch).item()
    monkeypatch.setattr(siamese_unet, "WEIGHT_DECAY", 2.0)
    weights = {name: value for name, value in arrays(getattr(net, part)).items() if name.endswith("weight")}
    squares = sum((value**2).sum() for value in weights.values())
    assert loss(batch).item() - plain == pytest.approx(squares, rel=1e-4)
    learning_here = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    own = {name for name, _ in net.named_parameters() if name.startswith(f"{part}.")}
    assert learning_here == own | ({"score_weights"} if part == "discriminator" else set())
    assert len(learning(loss)) == len(learning_here)
