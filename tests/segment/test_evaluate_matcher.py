"""Answers of the colour matcher beside a choice made scene by scene, group by group."""

import numpy as np
import pytest
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.library import load_scenes
from oneshot.segment import evaluate_matcher
from oneshot.segment.answers import COSINE, EVERY_CHARACTER, LARGEST_COLOUR, OWN, OWN_NUMBER
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.evaluate_matcher import rank_groups
from oneshot.segment.groups import crop_groups, crop_targets, group_colours
from oneshot.segment.nets import NETS
from oneshot.segment.nets.colour_matcher import ColourMatcher
from tests.fake_scenes import fake_scenes

UNUSED = PixelStatistics(0.0, 1.0)
NAMES = [name for name in NETS if name.startswith("colour_matcher")]


def some_scenes() -> Scenes:
    """Scenes of 9 characters, one of which is empty altogether."""
    scenes = fake_scenes(12, 9, seed=5)
    scenes.labels[7] = 0
    scenes.masks[7] = False
    return scenes


def make_net(name: str = "colour_matcher") -> ColourMatcher:
    net = NETS[name](4)
    assert isinstance(net, ColourMatcher)
    return net.initialise(np.random.default_rng(1)).eval()


@torch.no_grad()
def choose_obviously(net: ColourMatcher, scenes: Scenes, n_looked_at: int = 48) -> dict[str, np.ndarray]:
    """The masks of every answer, one scene and one group after another."""
    masks = {name: np.zeros(scenes.masks.shape, bool) for name in (OWN, COSINE, OWN_NUMBER, LARGEST_COLOUR)}
    groups = group_colours(scenes.images())
    targets = crop_targets(scenes.targets(), net.framing)
    for scene in range(len(scenes)):
        pixels, shapes = torch.from_numpy(targets.pixels), torch.from_numpy(targets.shapes)
        target = [net.whole.targets, net.glance.targets]
        codes = [encoder(pixels[scene, None] / 4, shapes[scene, None])[0] for encoder in target]
        scores: dict[str, list[float]] = {name: [] for name in masks}
        glances = []
        for number in range(1, groups.counts[scene] + 1):
            crop = crop_groups(groups, np.array([scene]), np.array([number]), net.framing)
            group = torch.from_numpy(crop.pixels) / 4, torch.from_numpy(crop.shapes)
            (code, own), (coarse_code, coarse) = net.whole.groups(*group), net.glance.groups(*group)
            glance = torch.cosine_similarity(coarse_code, codes[1]).item()
            glances.append(net.glance.log_scale.exp().item() * glance + coarse.item())
            cosine = torch.cosine_similarity(code, codes[0]).item()
            scores[OWN].append(net.whole.log_scale.exp().item() * cosine + own.item())
            scores[COSINE].append(cosine)
            scores[OWN_NUMBER].append(own.item())
            scores[LARGEST_COLOUR].append((groups.maps[scene] == number).sum())
        for place in np.argsort(glances)[:-n_looked_at]:
            scores[OWN][place] = -np.inf
        for name, values in scores.items():
            if values:
                masks[name][scene] = groups.maps[scene] == 1 + np.argmax(values)
    return masks | {EVERY_CHARACTER: groups.maps > 0}


def iou_of(predicted: np.ndarray, true: np.ndarray) -> list[float]:
    unions = (predicted | true).sum((1, 2))
    return [i / u if u else 1.0 for i, u in zip((predicted & true).sum((1, 2)), unions, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_size", [1, 5, 50])
def test_every_answer_is_the_group_that_scores_best(name: str, batch_size: int) -> None:
    net, scenes = make_net(name), some_scenes()
    expected = choose_obviously(net, scenes)
    found = evaluate_answers(net, scenes, UNUSED, batch_size=batch_size)
    assert found.keys() == expected.keys()
    for answer, masks in expected.items():
        assert found[answer].iou == pytest.approx(iou_of(masks, scenes.masks), abs=1e-6)
    assert np.array_equal(segment(net, scenes, UNUSED, batch_size=batch_size), expected[OWN])


@pytest.mark.parametrize("n_looked_at", [1, 3])
def test_only_groups_that_score_well_at_a_glance_are_looked_at(
    n_looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, scenes = make_net(), some_scenes()
    monkeypatch.setattr(evaluate_matcher, "N_LOOKED_AT", n_looked_at)
    expected = choose_obviously(net, scenes, n_looked_at)
    assert not np.array_equal(expected[OWN], choose_obviously(net, scenes)[OWN])
    assert np.array_equal(segment(net, scenes, UNUSED), expected[OWN])
    found = evaluate_answers(net, scenes, UNUSED)
    for answer in (OWN, COSINE, OWN_NUMBER):
        assert found[answer].iou == pytest.approx(iou_of(expected[answer], scenes.masks), abs=1e-6)


def test_answers_differ_and_the_networks_depends_on_the_target(synthetic_drawings) -> None:
    net, scenes = make_net(), load_scenes("test-one-shot", 9, 20, synthetic_drawings)
    masks = choose_obviously(net, scenes)
    assert len({found.tobytes() for found in masks.values()}) == len(masks)
    torch.nn.init.constant_(net.whole.log_scale, 10.0)  # before, the groups' own numbers decide
    assert np.array_equal(segment(net, scenes, UNUSED), masks[COSINE])
    scenes.target_inks[:] = scenes.target_inks[::-1].copy()
    assert not np.array_equal(segment(net, scenes, UNUSED), masks[COSINE])


def test_only_the_image_is_read() -> None:
    """Neither the label map nor the true mask: labels may be numbered in any way."""
    net, scenes = make_net(), some_scenes()
    expected = segment(net, scenes, UNUSED)
    order = np.array([0, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    scenes.labels[:] = order[scenes.labels]
    scenes.palette[:] = scenes.palette[:, order]
    scenes.masks[:] = False
    scenes.characters[:] = 0
    assert np.array_equal(segment(net, scenes, UNUSED), expected)


def test_variants_do_not_see_what_they_are_to_do_without() -> None:
    pixels, shapes = torch.rand(3, 2, 28, 28), torch.zeros(3, 4)
    blind = pixels.clone()
    blind[:, 1] = 0
    with torch.no_grad():
        for name in NAMES:
            for pair in (make_net(name).whole, make_net(name).glance):
                equal = torch.equal(pair.groups(pixels, shapes)[0], pair.groups(blind, shapes)[0])
                assert equal == (name == "colour_matcher_without_others")


@pytest.mark.parametrize("scene", [0, 3, 7])
def test_ranked_groups_are_those_that_score_best_and_the_targets(scene: int) -> None:
    net, scenes = make_net(), some_scenes()[scene : scene + 1]
    groups = group_colours(scenes.images())
    n_groups = int(groups.counts[0])
    ranked = rank_groups(net, scenes, n_most=100)
    assert len(ranked["scores"]) == len(ranked["crops"]) == n_groups
    assert (np.diff(ranked["scores"]) <= 0).all()
    if scene == 7:  # an empty one
        assert n_groups == 0
        return
    answer = segment(net, scenes, UNUSED)[0]
    every = np.arange(1, n_groups + 1)
    crops = crop_groups(groups, np.zeros_like(every), every).pixels
    same = (ranked["crops"][:, None] == crops.astype(int)[None] * 255 // 4).all((2, 3, 4))
    assert same.any(1).all()  # small groups may look the same
    assert any(np.array_equal(groups.maps[0] == number, answer) for number in every[same[0]])
    (place,) = np.flatnonzero(ranked["is_target"])
    target = max(every, key=lambda number: (groups.maps[0][scenes.masks[0]] == number).sum())
    assert target in every[same[place]]
    few = rank_groups(net, scenes, n_most=2)
    assert few["scores"].tolist() == [ranked["scores"][0], ranked["scores"][max(1, place)]]
    assert few["is_target"].tolist() == [place == 0, place > 0]
