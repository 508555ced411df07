"""Answers on images of any size: those of scenes wherever scenes lie, by every kind of network."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oneshot.clutter.scenes import Scenes
from oneshot.errors import ParameterError
from oneshot.library import find, load_network, load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.segment import own_scenes
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import segment
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.own_scenes import (
    choose_colours,
    find_background,
    find_box,
    find_target,
    fit_target,
    flatten_colours,
    is_flat,
    measure_pixels,
)
from tests.conftest import refusing

MATCHER, UNET = "colour_matcher-long", "siamese_unet-4-fast"
ANYTHING = PixelStatistics(0.0, 1.0)  # of no account to a colour matcher


@pytest.fixture(scope="module")
def scenes(synthetic_drawings: Drawings) -> Scenes:
    return load_scenes("test-one-shot", 6, 8, synthetic_drawings)


def enlarge(pixels: np.ndarray, times: int) -> np.ndarray:
    return pixels.repeat(times, 0).repeat(times, 1)


def test_a_scene_is_answered_as_in_evaluation(scenes: Scenes) -> None:
    masks = segment(load_network(MATCHER)[0], scenes, ANYTHING)
    for scene, target, mask in zip(scenes.images(), scenes.targets(), masks, strict=True):
        assert (find(scene, target, MATCHER).mask == mask).all()


def test_tiles_of_one_scene_give_its_evaluation(scenes: Scenes) -> None:
    net = load_network(UNET)[0]
    for k, (scene, target) in enumerate(zip(scenes.images()[:3], scenes.targets(), strict=False)):
        expected = segment(net, scenes[k : k + 1], measure_pixels(scene))[0]
        found = find(scene, target, UNET)
        assert expected.any()
        assert (found.mask != expected).mean() < 0.001
        assert 0.3 < found.score <= 1


@pytest.mark.parametrize("change", ["white", "canvas", "enlarged", "cropped"])
def test_flat_colours_are_found_on_any_background_at_any_place_and_size(scenes: Scenes, change: str) -> None:
    for scene, target in zip(scenes.images()[:4], scenes.targets(), strict=False):
        plain = find(scene, target).mask
        if change == "white":
            found = find(np.where(scene.any(2, keepdims=True), scene, 255).astype(np.uint8), target)
            assert (found.mask == plain).all()
        elif change == "canvas":
            canvas = np.zeros((130, 201, 3), np.uint8)
            canvas[20:116, 70:166] = scene
            found = find(canvas, target)
            assert (found.mask[20:116, 70:166] == plain).all()
            assert found.mask.sum() == plain.sum()
        elif change == "enlarged":
            found = find(enlarge(scene, 2), enlarge(target, 3))
            assert found.mask.shape == (192, 192)
            assert found.mask.any()
        else:
            left, top, right, bottom = find_box(scene.any(2)) or (0, 0, 1, 1)
            found = find(scene[top:bottom, left:right], target)
            assert (found.mask == plain[top:bottom, left:right]).all()
        assert found.box == find_box(found.mask)


@pytest.mark.parametrize(("paper", "ink"), [(0, (200, 0, 0)), (255, (0, 0, 0))])
def test_the_box_is_left_top_right_bottom_with_the_ends_excluded(paper: int, ink: tuple[int, ...]) -> None:
    scene, target = np.full((50, 70, 3), paper, np.uint8), np.zeros((20, 20, 3), np.uint8)
    scene[10:30, 5:11] = ink
    target[4:16, 8:12] = 255
    assert find(scene, target).box == (5, 10, 11, 30)


@pytest.mark.parametrize("size", [(1, 1), (40, 300), (100, 100), (97, 145)])
@pytest.mark.parametrize("kind", [SiameseUNet, MaskNet])
def test_networks_that_read_tiles_answer_at_any_size(kind: type, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    siamese = SiameseUNet(1).initialise(rng)
    net = siamese if kind is SiameseUNet else MaskNet(1).start_from(siamese, rng)
    image, target = np.zeros((*size, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    image[size[0] // 3 :, size[1] // 3 :], target[8:20, 8:12] = 200, 90
    found = find_target(net.eval(), "some", image, target)
    assert found.mask.shape == size
    assert 0 <= found.score <= 1
    assert (found.box is None) == (not found.mask.any())


def test_nothing_is_found_where_nothing_is(scenes: Scenes) -> None:
    found = find(np.full((120, 90, 3), 7, np.uint8), scenes.targets()[0])
    assert (found.box, found.score, found.mask.any()) == (None, 0.0, False)


def test_a_scenes_target_stays_as_it_is_and_others_are_brought_to_its_size(scenes: Scenes) -> None:
    target = scenes.targets()[0]
    assert (fit_target(target) == target).all()
    fitted = fit_target(255 - enlarge(target, 4))  # dark on light
    left, top, right, bottom = find_box(fitted.any(2)) or (0, 0, 0, 0)
    assert max(right - left, bottom - top) == 20
    with refusing(ParameterError, "the target is blank"):
        fit_target(np.full((40, 40, 3), 3, np.uint8))


def test_scenes_are_flat_and_smoothed_ones_are_made_flat_again(scenes: Scenes) -> None:
    scene = enlarge(scenes.images()[0], 4)
    smooth = np.asarray(Image.fromarray(scene).resize((220, 220), Image.Resampling.LANCZOS))
    background = find_background(smooth)
    assert is_flat(scene, background)
    assert not is_flat(smooth, background)
    flat = flatten_colours(smooth, background)
    assert is_flat(flat, background)
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) <= 2 * len(np.unique(scene.reshape(-1, 3), axis=0))
    true = np.asarray(Image.fromarray(scene).resize((220, 220), Image.Resampling.NEAREST)).any(2)
    assert (flat.any(2) & true).sum() / (flat.any(2) | true).sum() > 0.8


def test_a_large_jpeg_is_not_flat_though_its_colours_have_many_pixels(scenes: Scenes) -> None:
    content = io.BytesIO()
    Image.fromarray(enlarge(scenes.images()[0], 25)).save(content, "JPEG", quality=90)
    scene = np.asarray(Image.open(content))
    _, n_pixels = np.unique(scene[scene.any(2)], axis=0, return_counts=True)
    assert n_pixels[n_pixels < 8].sum() < 0.15 * n_pixels.sum()  # by which alone it would be flat
    assert not is_flat(scene, find_background(scene))
    true = np.kron(find(scenes.images()[0], scenes.targets()[0]).mask, np.ones((25, 25), np.bool_))
    found = find(scene, scenes.targets()[0]).mask
    assert (found & true).sum() / (found | true).sum() > 0.5


def test_targets_are_found_in_scenes_that_were_smoothed(scenes: Scenes) -> None:
    ious = []
    for scene, target in zip(scenes.images(), scenes.targets(), strict=True):
        smooth = np.asarray(Image.fromarray(enlarge(scene, 4)).resize((220, 220), Image.Resampling.LANCZOS))
        plain = Image.fromarray(find(scene, target).mask)
        true, found = np.asarray(plain.resize((220, 220))), find(smooth, target).mask
        ious.append((found & true).sum() / (found | true).sum())
    assert np.mean(ious) > 0.5


def test_of_tiles_the_one_with_the_best_proposal_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    net = MaskNet(1).start_from(SiameseUNet(1).initialise(rng), rng)
    masks = torch.zeros(3, 96, 96, dtype=torch.bool)
    masks[0, 0, 0] = masks[1, 5, 7] = True  # in tiles at 0, 48 and 96 from the left; the third one is empty
    proposals = masks, torch.tensor([0.2, 0.9, 1.0])
    monkeypatch.setattr(own_scenes, "choose_masks", lambda *_: proposals)
    for order in ([0, 1, 2], [1, 0, 2]):
        proposals = masks[order], torch.tensor([0.2, 0.9, 1.0])[order]
        image, target = np.zeros((96, 192, 3), np.uint8), np.full((32, 32, 3), 90, np.uint8)
        image[40:50, 40:50], target[:4] = 200, 0
        found = find_target(net.eval(), "some", image, target)
        left = 48 * order.index(1) + 7
        assert (found.box, found.mask.sum()) == ((left, 5, left + 1, 6), 1)
        assert found.score == pytest.approx(0.9)


def test_pixels_are_measured_within_the_box_around_the_ink() -> None:
    pixels = np.zeros((50, 70, 3), np.uint8)
    pixels[10:20, 30:40, 0] = np.arange(100).reshape(10, 10) + 1
    inked = pixels[10:20, 30:40]
    assert measure_pixels(pixels) == PixelStatistics(inked.mean(), inked.std())


def test_colours_alike_are_one() -> None:
    pixels = np.array([[200, 10, 10]] * 20 + [[205, 16, 8]] * 9 + [[10, 200, 10]] * 7 + [[90, 90, 90]] * 3)
    chosen = choose_colours(pixels.astype(np.int16))
    assert np.abs(chosen - [[200, 10, 10], [10, 200, 10]]).max() <= 8


def test_images_are_read_from_files_and_bad_arrays_are_refused(scenes: Scenes, tmp_path: Path) -> None:
    scene, target = scenes.images()[1], scenes.targets()[1]
    Image.fromarray(scene).quantize(32, dither=Image.Dither.NONE).save(tmp_path / "scene.png")
    Image.fromarray(target).save(tmp_path / "target.bmp")
    assert (find(tmp_path / "scene.png", str(tmp_path / "target.bmp")).mask == find(scene, target).mask).all()
    for bad in (scene[..., 0], scene.astype(np.float32), scene[:0]):
        with refusing(ParameterError, r"the scene is an array of \w+ \(.*give height x width x 3"):
            find(bad, target)
