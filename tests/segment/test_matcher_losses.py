"""The colour matcher's loss, against the same written out; and that it learns."""

import math

import numpy as np
import pytest
import torch

from oneshot.library import load_scenes
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.feed import SceneFeed
from oneshot.segment.group_batches import decode_groups
from oneshot.segment.matcher_losses import MatcherLoss, choice_loss
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.phases import Phase
from tests.fake_scenes import fake_scenes


def obvious_loss(scores: torch.Tensor, characters: torch.Tensor, targets: torch.Tensor) -> float:
    b, k = characters.shape
    losses = []
    for scene in range(b):
        if characters[scene, 0] < 0:
            continue
        row = scores[scene].view(b, k)
        own = [row[scene, place].item() for place in range(k) if characters[scene, place] >= 0]
        every = list(own)
        for other in range(b):
            for place in range(k):
                if (
                    other != scene
                    and characters[other, place] >= 0
                    and characters[other, place] != targets[scene]
                ):
                    every.append(row[other, place].item())
        losses += [math.log(sum(math.exp(s) for s in some)) - own[0] for some in (own, every)]
    return sum(losses) / (len(losses) / 2)


def test_the_loss_is_the_two_choices_of_every_scene_with_its_target() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 20, generator=generator)
    characters = torch.randint(0, 4, (5, 4), generator=generator)
    characters[1, 2:] = -1
    characters[3, 0] = -1
    targets = torch.randint(0, 4, (5,), generator=generator)
    assert choice_loss(scores, characters, targets).item() == pytest.approx(
        obvious_loss(scores, characters, targets), rel=1e-5
    )


def test_scenes_without_a_target_have_no_gradient_and_a_batch_of_them_no_loss() -> None:
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    characters = torch.tensor([[-1, 2], [0, 1], [-1, -1]])
    loss = choice_loss(scores, characters, torch.tensor([0, 0, 1]))
    loss.backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert not scores.grad[[0, 2]].any()
    assert scores.grad[1].any()
    nothing = choice_loss(scores, torch.full((3, 2), -1), torch.tensor([0, 0, 1]))
    assert nothing.item() == 0


def test_one_batch_is_overfitted(synthetic_drawings) -> None:
    net = ColourMatcher(8).initialise(np.random.default_rng(0))
    loss = MatcherLoss(net)
    coded = loss.code(load_scenes("train", 6, 16, synthetic_drawings))
    batch = decode_groups(coded, torch.arange(16))
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(150):
        losses.append(loss(batch))
        losses[-1].backward()
        adam.step()
        adam.zero_grad()
    assert losses[-1] < 0.3 < 2 < losses[0]


def test_the_feed_gives_groups_from_any_step_on(open_stock) -> None:
    loss = MatcherLoss(ColourMatcher(2).initialise(np.random.default_rng(0)))
    stock = open_stock(lambda level, job: fake_scenes(12, level, seed=100 * level + job), code=loss.code)
    feed = SceneFeed(
        stock, [Phase((4, 8), 60)], PixelStatistics(0.0, 1.0), batch_size=5, seed=3, n_jobs=4,
        n_job_scenes=12, n_window_jobs=2, decode=loss.decode,
    )  # fmt: skip
    whole, rest = list(feed.batches()), list(feed.batches(4))
    assert [len(batch) for batch in rest] == [len(batch) for batch in whole[4:]]
    for found, expected in zip(rest, whole[4:], strict=True):
        assert torch.equal(found.pixels, expected.pixels)
        assert torch.equal(found.target_characters, expected.target_characters)
    assert loss(feed.sample(7)).isfinite()
