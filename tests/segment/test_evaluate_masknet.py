"""MaskNet's answers and its oracles against decoding and scoring every proposal on its own."""

import numpy as np
import pytest
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import code, decode, read_labels
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.evaluate_masknet import (
    PROPOSALS_AT_ONCE,
    TOP_K,
    MaskJudge,
    evaluate_masknet,
    segment_masknet,
)
from oneshot.segment.metrics import foreground, iou, localised
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.proposals import crops_of
from oneshot.training.speed import Speed
from tests.fake_scenes import fake_scenes
from tests.segment.nets.test_masknet import decode_each
from tests.tiny_masknet import STATISTICS, tiny_masknet

LEVEL = 6
SCENES = fake_scenes(7, LEVEL, seed=0, size=40)
N_LOCATIONS = 25


@pytest.fixture(scope="module")
def net() -> MaskNet:
    return tiny_masknet(SCENES)


@pytest.fixture(scope="module")
def proposals(net: MaskNet):
    """Of every scene and location, one after the other: masks, scores and matching scores."""
    batch = decode(code(SCENES), slice(0, len(SCENES)), STATISTICS)
    with torch.no_grad():
        codes, skips = net.encode(batch.images, batch.targets)
        every = torch.arange(N_LOCATIONS).expand(len(SCENES), -1)
        masks = foreground(decode_each(net.siamese, codes, skips, every).flatten(0, 1))
        spread = [
            values.repeat_interleave(N_LOCATIONS, 0) for values in (batch.pixel_means, batch.pixel_stds)
        ]
        scores = net.score(crops_of(masks, *spread), codes.repeat_interleave(N_LOCATIONS, 0))
        correlation = torch.einsum("bc,bchw->bhw", codes, skips[-1]).flatten(1)
    shape = (len(SCENES), N_LOCATIONS)
    return masks.unflatten(0, shape).numpy(), scores.view(shape).numpy(), correlation.numpy()


def scores_of(masks: np.ndarray, scenes: Scenes = SCENES) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = torch.from_numpy(masks), torch.from_numpy(scenes.masks)
    return iou(predicted, true).numpy(), localised(predicted, true).numpy()


def test_the_net_that_all_is_compared_with_says_something(net, proposals):
    """Else all of these tests might agree on nothing."""
    masks, scores, _ = proposals
    blank = ~masks.any((2, 3))
    assert 0.1 < blank.mean() < 0.9
    assert len(np.unique(scores[~blank])) > 20  # neighbours may cut out the same pixels
    assert segment_masknet(net, SCENES, STATISTICS).any((1, 2)).mean() > 0.5
    found = evaluate_masknet(net, SCENES, STATISTICS)
    assert any((found["answer"].iou != found[f"top_{k}"].iou).any() for k in TOP_K)


@pytest.mark.parametrize("k", [None, *TOP_K])
def test_answer_is_the_mask_that_scores_best_among_those_that_match_best(net, proposals, k):
    masks, scores, correlation = proposals
    places = np.argsort(-correlation, axis=1)[:, : k or N_LOCATIONS]
    answers = segment_masknet(net, SCENES, STATISTICS, top_k=k)
    for n, answer in enumerate(answers):
        best = scores[n, places[n]].max()
        # Of two that score alike, rounding may choose either.
        alike = [place for place in places[n] if scores[n, place] > best - 1e-5]
        assert any((answer == masks[n, place]).all() for place in alike)
    found = evaluate_masknet(net, SCENES, STATISTICS)["answer" if k is None else f"top_{k}"]
    ious, hits = scores_of(answers)
    np.testing.assert_allclose(found.iou, ious, atol=1e-6)
    assert (found.hits == hits).all()


def test_snapped_takes_the_colour_that_the_chosen_proposal_finds_most_probable(net, proposals):
    _, scores, _ = proposals
    places = torch.from_numpy(scores.argmax(1))[:, None]
    batch = decode(code(SCENES), slice(0, len(SCENES)), STATISTICS)
    with torch.no_grad():
        codes, skips = net.encode(batch.images, batch.targets)
        chosen = decode_each(net.siamese, codes, skips, places)[:, 0].softmax(1)[:, 1].numpy()
    masks = np.zeros_like(SCENES.masks)
    for mask, labels, probabilities in zip(masks, SCENES.labels, chosen, strict=True):  # no colour is shared
        shown = [label for label in range(1, LEVEL + 1) if (labels == label).any()]
        mask[:] = labels == max(shown, key=lambda label: probabilities[labels == label].mean())
    found = evaluate_masknet(net, SCENES, STATISTICS)["snapped"]
    ious, hits = scores_of(masks)
    np.testing.assert_allclose(found.iou, ious, atol=1e-6)
    assert (found.hits == hits).all()


def test_location_given_decodes_the_location_of_the_true_centre(net, proposals):
    masks = proposals[0]
    places = []
    for mask in SCENES.masks:
        rows, columns = np.nonzero(mask)
        places.append(5 * (rows.sum() // len(rows) // 8) + columns.sum() // len(columns) // 8)
    found = evaluate_masknet(net, SCENES, STATISTICS)["location_given"]
    np.testing.assert_allclose(found.iou, scores_of(masks[np.arange(len(SCENES)), places])[0], atol=1e-6)


def test_choice_given_takes_the_best_of_all_masks(net, proposals):
    masks = proposals[0]
    all_ious = np.stack([scores_of(masks[:, place])[0] for place in range(N_LOCATIONS)], 1)
    found = evaluate_masknet(net, SCENES, STATISTICS)
    np.testing.assert_allclose(found["choice_given"].iou, all_ious.max(1), atol=1e-6)
    assert (found["choice_given"].iou >= found["answer"].iou).all()
    assert (found["choice_given"].iou > found["answer"].iou).any()


def test_candidates_given_takes_the_visible_pixels_of_the_character_that_scores_best(net):
    batch = decode(code(SCENES), slice(0, len(SCENES)), STATISTICS)
    with torch.no_grad():
        codes = net.siamese.encode_target(batch.targets)
    chosen = np.zeros_like(SCENES.masks)
    for n, labels in enumerate(SCENES.labels):
        visible = [labels == label for label in range(1, LEVEL + 1) if (labels == label).any()]
        with torch.no_grad():
            crops = [
                crops_of(torch.from_numpy(mask)[None], batch.pixel_means[:1], batch.pixel_stds[:1])
                for mask in visible
            ]
            scores = [net.score(crop, codes[n : n + 1]).item() for crop in crops]
        chosen[n] = visible[int(np.argmax(scores))]
    found = evaluate_masknet(net, SCENES, STATISTICS)["candidates_given"]
    ious, hits = scores_of(chosen)
    np.testing.assert_allclose(found.iou, ious, atol=1e-6)
    assert (found.hits == hits).all()
    assert 0 < (ious == 1).sum() < len(SCENES)  # right here and wrong there


def test_a_hidden_character_is_no_candidate(net):
    """Even where the discriminator likes a blank mask best."""
    hidden = fake_scenes(3, LEVEL, seed=1, size=40)
    hidden.labels[hidden.labels == 2] = 0
    seen = [[bool((labels == label).any()) for label in range(1, LEVEL + 1)] for labels in hidden.labels]
    judge = MaskJudge(net, Speed())
    batch = decode(code(hidden), slice(0, 3), STATISTICS)
    with torch.no_grad():
        _, codes = judge.encode(batch.images, batch.targets)
        judged = judge.candidates(batch, codes, read_labels(code(hidden), slice(0, 3))[0], LEVEL)
    assert judged.scores.isfinite().tolist() == seen
    assert not judged.scores.isfinite()[:, 1].any()


def test_every_answer_covers_all_scenes_in_order(net, monkeypatch):
    whole = evaluate_masknet(net, SCENES, STATISTICS)
    assert list(whole) == [
        "answer", "snapped", "top_1", "top_4", "top_16", "location_given", "candidates_given", "choice_given"
    ]  # fmt: skip
    for n_at_once in (1, 2 * N_LOCATIONS, 1000):  # 2 scenes at a time: the last batch reaches back
        monkeypatch.setitem(PROPOSALS_AT_ONCE, "cpu", n_at_once)
        for name, found in evaluate_masknet(net, SCENES[2:], STATISTICS).items():
            assert found.iou.shape == (5,)
            np.testing.assert_allclose(found.iou, whole[name].iou[2:], atol=1e-6)
        masks = segment_masknet(net, SCENES[2:], STATISTICS)
        np.testing.assert_allclose(scores_of(masks, SCENES[2:])[0], whole["answer"].iou[2:], atol=1e-6)


def test_evaluation_knows_a_masknet_when_it_sees_one(net):
    expected = evaluate_masknet(net, SCENES, STATISTICS)
    for name, found in evaluate_answers(net, SCENES, STATISTICS, batch_size=3).items():
        assert (found.iou == expected[name].iou).all()
    assert (segment(net, SCENES, STATISTICS) == segment_masknet(net, SCENES, STATISTICS)).all()
    assert list(evaluate_answers(net.siamese, SCENES, STATISTICS)) == ["answer", "snapped"]
