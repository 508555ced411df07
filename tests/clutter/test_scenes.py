"""The compiled renderer against the plain one, made of Pillow and RandomState, and what makes up a scene."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneshot.clutter import kernels
from oneshot.clutter.scenes import (
    Pens,
    SceneRecipe,
    Scenes,
    concatenate,
    job_seeds,
    keep_visible,
    lay_out,
    open_stream,
    render_job,
    render_targets,
    split_recipe,
)
from oneshot.errors import ParameterError
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS, RENDERED_SPLITS, find_split
from tests.conftest import refusing
from tests.oracle.scenes_pillow import centre, draw_until_it_works, render_job_plainly
from tests.scene_cases import assert_equals_oracle, assert_same, bars, random_recipes

PLAIN = SceneRecipe(6, "train", (0, 10))
FULL = replace(PLAIN, n_occluders=3, empty_share=0.4, scene_size=(120, 96))


@pytest.fixture(scope="module")
def full(pens: dict[str, Pens]) -> Scenes:
    """60 scenes with occluders, of which some are empty."""
    return render_job(pens["train"], FULL, 5, 60)


# ------------------------------------------------------------------------------------------ the random stream


@pytest.mark.parametrize("seed", [0, 1, 2209944264, 2**32 - 1])
def test_words_and_doubles_are_those_of_randomstate(seed):
    stream, rng = open_stream(seed), np.random.RandomState(seed)
    words = [kernels.draw_word(stream) for _ in range(2000)]
    assert words == rng.randint(0, 2**32, 2000, dtype=np.uint32).tolist()
    doubles = [kernels.draw_double(stream) for _ in range(2000)]
    assert doubles == rng.random_sample(2000).tolist()
    uniforms = [kernels.draw_uniform(stream, -10.0, 10.0) for _ in range(1000)]
    assert uniforms == rng.uniform(-10, 10, 1000).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_bounded_integers_are_those_of_randomstate_however_many_it_draws_again(seed):
    stream, rng = open_stream(seed), np.random.RandomState(seed)
    for n in [1, 2, 3, 10, 64, 65, 307, 352, 964, 1, 2**16 + 1, 2**31 + 1, *range(1, 200)] * 10:
        assert kernels.draw_below(stream, n) == rng.randint(0, n)
    assert kernels.draw_double(stream) == rng.random_sample()


def test_job_seeds_are_the_smaller_half_of_sorted_distinct_draws():
    draws = np.random.RandomState(3).randint(0, 2**32, size=20)
    assert job_seeds(3, 10) == sorted(set(draws.tolist()))[:10]
    assert len(set(job_seeds(2209944264, 1000))) == 1000


# ---------------------------------------------------------------------------------------------- the bits


@pytest.mark.parametrize("seed", range(4))
def test_random_jobs_are_the_plain_ones(synthetic_drawings, pens, seed):
    for recipe, job_seed in random_recipes(10, seed):
        drawings = synthetic_drawings.of(recipe.characters).unpack()
        scenes = render_job(pens[recipe.characters], recipe, job_seed, 3)
        assert_equals_oracle(scenes, render_job_plainly(drawings, recipe, job_seed, 3))


@pytest.mark.omniglot
def test_random_jobs_of_real_drawings_equal_the_plain_renderers(drawings):
    pens = {name: lay_out(drawings, name) for name in ("train", "eval", "test")}
    unpacked = {name: drawings.of(name).unpack() for name in pens}
    for recipe, job_seed in random_recipes(40, 100):
        scenes = render_job(pens[recipe.characters], recipe, job_seed, 3)
        assert_equals_oracle(scenes, render_job_plainly(unpacked[recipe.characters], recipe, job_seed, 3))


@pytest.mark.parametrize(
    ("clutter_level", "n_occluders"), [(255, 0), (256, 0), (254, 1), (200, 56), (300, 2)]
)
def test_scenes_of_256_characters_and_more_equal_the_plain_renderers(
    synthetic_drawings, pens, clutter_level, n_occluders
):
    recipe = SceneRecipe(clutter_level, "test", (10, 20), n_occluders=n_occluders)
    scenes = render_job(pens["test"], recipe, 11, 1)
    assert scenes.labels.dtype == (np.uint16 if clutter_level + n_occluders > 255 else np.uint8)
    assert scenes.labels.max() > 200
    plain = render_job_plainly(synthetic_drawings.of("test").unpack(), recipe, 11, 1)
    assert_equals_oracle(scenes, plain)


def stroke(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    """A box of ink within the drawing; a short one is made high, since nothing is left of a dot."""
    top = min(top, 65)
    width, height = min(width + 1, 105 - left), min(height + 1, 105 - top)
    return left, top, width, height if width > 40 else max(height, 40)


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(st.builds(stroke, *[st.integers(0, 104)] * 4), min_size=1, max_size=5),
    clutter_level=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_strokes_of_every_width_wherever_they_are_equal_the_plain_renderers(boxes, clutter_level, seed):
    drawings = bars(*boxes)
    recipe = SceneRecipe(clutter_level, "train", (3, 5), empty_share=0.3)
    scenes = render_job(lay_out(drawings, "train"), recipe, seed, 3)
    assert_equals_oracle(scenes, render_job_plainly(drawings.unpack(), recipe, seed, 3))


def test_glyphs_that_fail_keep_the_stream_in_step_with_the_plain_renderers():
    # Dots of 5 x 5 and 6 x 6 pixels mostly fall between the samples, or onto one row or column of them.
    drawings = bars((50, 50, 5, 5), (2, 97, 6, 6), (40, 0, 1, 105), (0, 104, 105, 1), (60, 7, 105, 2))
    recipe = SceneRecipe(5, "train", (0, 20), n_occluders=2, empty_share=0.3)
    for seed in range(8):
        scenes = render_job(lay_out(drawings, "train"), recipe, seed, 5)
        assert_equals_oracle(scenes, render_job_plainly(drawings.unpack(), recipe, seed, 5))


# ------------------------------------------------------------------------------- what a scene consists of


def test_an_image_is_its_label_map_in_the_palettes_colours(full):
    images = full.images()
    for n in range(len(full)):
        assert np.array_equal(images[n], full.palette[n][full.labels[n]])
    assert (full.palette[:, 0] == 0).all()
    assert full.labels.max() == FULL.n_characters == full.characters.shape[1]
    assert full.palette.shape[1] == FULL.n_labels


def test_a_mask_is_the_targets_label_where_no_occluder_covers_it(full):
    covered = 0
    for labels, mask in zip(full.labels, full.masks, strict=True):
        if mask.any():
            assert np.array_equal(mask & (labels <= FULL.clutter_level), labels == FULL.clutter_level)
            covered += (mask & (labels > FULL.clutter_level)).sum()
    assert covered > 0


def test_only_empty_scenes_have_blank_masks_and_another_character(full):
    blank = ~full.masks.any((1, 2))
    assert 10 < blank.sum() < 50
    in_place = full.characters[:, FULL.clutter_level - 1]
    assert (in_place == full.target_characters)[~blank].all()
    assert (in_place != full.target_characters)[blank].any()


def test_the_character_behind_a_label_is_the_one_that_was_drawn():
    """Characters of different shapes: tall, wide and square bars tell themselves apart in the scene."""
    drawings = bars((45, 5, 10, 95), (5, 45, 95, 10), (40, 40, 25, 25))
    recipe = SceneRecipe(2, "train", (0, 20), n_occluders=1, scene_size=(400, 400))
    scenes = render_job(lay_out(drawings, "train"), recipe, 4, 60)
    n_checked = 0
    for labels, characters in zip(scenes.labels, scenes.characters, strict=True):
        for label, character in enumerate(characters, 1):
            rows, columns = np.nonzero(labels == label)
            if (
                not rows.size
                or (labels[rows.min() : rows.max(), columns.min() : columns.max()] > label).any()
            ):
                continue  # covered by a later one
            stretch = np.log((np.ptp(rows) + 1) / (np.ptp(columns) + 1))
            shape = 2 if abs(stretch) < 0.1 else int(stretch < 0)
            if (character == 2) == (shape == 2) or character != 2:
                n_checked += 1
                assert character in (shape, 2)
    assert n_checked > 80


# ------------------------------------------------------------------------------------- covered targets


@pytest.mark.parametrize("level", CLUTTER_LEVELS)
def test_half_of_the_characters_of_our_splits_are_drawn_over_the_target_and_none_of_the_published(level):
    for name in RENDERED_SPLITS:
        recipe = split_recipe(find_split(name), level)
        assert recipe.n_characters == level
        assert recipe.n_occluders == (level // 2 if name in COVERED_SPLITS else 0)
        assert (recipe.drawers, recipe.empty_share) == ((10, 20), 0.0)


@pytest.mark.parametrize("level", [4, 9, 64, 256])
def test_visible_pixels_are_those_of_the_targets_ink_that_no_later_character_covers(pens, level):
    """Taken scene by scene from the renderer's own order of drawing."""
    recipe = split_recipe(find_split("covered-one-shot"), level)
    scenes = render_job(pens["test"], recipe, level, 40)
    target = recipe.clutter_level
    expected = [
        (n, mask & ~np.isin(labels, range(target + 1, level + 1)))
        for n, (mask, labels) in enumerate(zip(scenes.masks, scenes.labels, strict=True))
    ]
    expected = [(n, mask) for n, mask in expected if mask.any()]
    found = keep_visible(scenes, recipe)
    kept = np.array([n for n, _ in expected])
    assert len(found) == len(kept) <= 40
    assert (found.masks == np.stack([mask for _, mask in expected])).all()
    assert found.masks.sum() < scenes.masks.sum()
    assert np.array_equal(found.images(), scenes.images()[kept])
    assert np.array_equal(found.targets(), scenes.targets()[kept])
    # The target's label is the last one, as if it had been drawn last; all else keeps its order.
    assert ((found.labels == level) == found.masks).all()
    assert np.array_equal(found.characters[:, -1], scenes.characters[kept, target - 1])
    others = np.delete(scenes.characters[kept], target - 1, axis=1)
    assert np.array_equal(found.characters[:, :-1], others)
    for labels, before in zip(found.labels, scenes.labels[kept], strict=True):
        later = before > target
        assert np.array_equal(labels[later], before[later] - 1)
        assert np.array_equal(labels[before < target], before[before < target])
    assert found.labels.dtype == scenes.labels.dtype


def test_a_scene_whose_target_shows_no_pixel_is_left_out_and_the_others_keep_their_order(pens):
    recipe = split_recipe(find_split("covered-one-shot"), 256)
    scenes = render_job(pens["test"], recipe, 1, 60)
    hidden = ~(scenes.masks & (scenes.labels == recipe.clutter_level)).any((1, 2))
    assert 0 < hidden.sum() < 20
    found = keep_visible(scenes, recipe)
    assert np.array_equal(found.target_tints, scenes.target_tints[~hidden])
    assert found.masks.any((1, 2)).all()
    assert_same(keep_visible(scenes[:30], recipe), found[: (~hidden[:30]).sum()])


def test_scenes_without_occluders_stay_as_they_are(pens):
    scenes = render_job(pens["train"], PLAIN, 5, 5)
    assert keep_visible(scenes, PLAIN) is scenes


# --------------------------------------------------------------------------- what a job depends on


def test_a_job_depends_on_nothing_but_its_recipe_and_seed(pens, full):
    np.random.seed(1)  # noqa: NPY002
    render_job(pens["test"], SceneRecipe(3, "test", (0, 1)), 99, 7)
    assert_same(render_job(pens["train"], FULL, 5, 60), full)
    assert not np.array_equal(render_job(pens["train"], FULL, 6, 60).labels, full.labels)


@pytest.mark.parametrize("n_scenes", [1, 17])
def test_a_shorter_job_begins_alike(pens, full, n_scenes):
    assert_same(render_job(pens["train"], FULL, 5, n_scenes), full[:n_scenes])


def test_concatenated_scenes_keep_their_order(full):
    joined = concatenate([full[:20], full[20:21], full[21:]])
    assert_same(joined, full)
    assert_same(full[np.array([3, 1])], concatenate([full[3:4], full[1:2]]))
    assert len(joined) == 60


def test_checksums_are_of_the_raw_published_arrays(full):
    assert full.sha256() == {
        "images": hashlib.sha256(full.images().tobytes()).hexdigest(),
        "segmentation": hashlib.sha256(full.masks.astype(np.uint8).tobytes()).hexdigest(),
        "targets": hashlib.sha256(full.targets().tobytes()).hexdigest(),
    }
    assert full.segmentation().shape == (60, 96, 120, 1)
    assert full.images().shape == (60, 96, 120, 3)


# ------------------------------------------------------------------------------------ further target images


def test_targets_show_the_characters_asked_for(synthetic_drawings, pens):
    recipe = SceneRecipe(4, "eval", (10, 20), target_size=(32, 40))
    characters = np.random.default_rng(0).integers(0, 12, (6, 3)).astype(np.uint16)
    found = render_targets(pens["eval"], recipe, characters, 77)
    rng = np.random.RandomState(77)
    drawings = synthetic_drawings.of("eval").unpack()
    for place in np.ndindex(6, 3):
        glyph = draw_until_it_works(drawings[characters[place], rng.randint(10, 20)], 1.0, rng)
        plain = centre(glyph, (32, 40))
        assert np.array_equal(found.inks[place][..., None] * found.tints[place], plain)


def test_render_targets_of_no_characters_are_none(pens):
    found = render_targets(pens["eval"], replace(PLAIN, characters="eval"), np.zeros((4, 0), np.uint16), 1)
    assert found.inks.shape == (4, 0, 32, 32)
    assert found.tints.shape == (4, 0, 3)


# ------------------------------------------------------------------------------------------- bad input


def test_a_scene_too_small_for_its_glyphs_is_refused_exactly_where_the_plain_renderer_fails(
    synthetic_drawings, pens
):
    drawings, outcomes = synthetic_drawings.of("train").unpack(), set()
    for seed in range(30):
        recipe = SceneRecipe(2, "train", (0, 20), scene_size=(30, 40) if seed % 2 else (40, 30))
        try:
            plain = render_job_plainly(drawings, recipe, seed, 1)
        except ValueError:  # RandomState has no integer below zero
            with refusing(ParameterError, rf"scene 0 of seed {seed} .*\d\d x \d\d.*96 x 96"):
                render_job(pens["train"], recipe, seed, 1)
            outcomes.add("too small")
        else:
            assert_equals_oracle(render_job(pens["train"], recipe, seed, 1), plain)
            outcomes.add("drawn")
    assert outcomes == {"too small", "drawn"}


def test_96_pixels_hold_every_glyph(pens):
    """The largest drawing there can be, warped as far as it may be."""
    solid = lay_out(bars((0, 0, 105, 105)), "train")
    scenes = render_job(solid, SceneRecipe(50, "train", (0, 20)), 0, 400)
    rows = scenes.masks.any(2).sum(1)
    assert 80 < rows.max() <= 96


BAD: list[tuple[dict[str, Any], str]] = [
    ({"drawers": (0, 21)}, "drawers 0:21"),
    ({"drawers": (5, 5)}, "drawers 5:5"),
    ({"clutter_level": 0}, "clutter_level is 0"),
    ({"n_occluders": -1}, "n_occluders is -1"),
    ({"empty_share": -0.1}, "empty_share is -0.1"),
    ({"empty_share": float("nan")}, "empty_share is nan"),
    ({"scene_size": (0, 96)}, r"sizes must be positive, not \(0, 96\)"),
    ({"target_size": (32, -1)}, r"\(32, -1\)"),
    ({"clutter_level": 65000, "n_occluders": 536}, "65536 characters"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_recipe_refuses_bad_values_and_quotes_them(change, message):
    with pytest.raises(ParameterError, match=message):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("seed", "n_scenes", "message"),
    [(-1, 1, "seed is -1"), (2**32, 1, "seed is 4294967296"), (0, 0, "n_scenes is 0")],
)
def test_a_job_without_scenes_is_refused(pens, seed, n_scenes, message):
    with pytest.raises(ParameterError, match=message):
        render_job(pens["train"], PLAIN, seed, n_scenes)


def test_a_drawing_without_ink_is_refused():
    with pytest.raises(ParameterError, match="'train' holds a drawing without ink"):
        lay_out(bars((1, 1, 20, 20), (0, 0, 0, 0)), "train")


def test_a_drawing_too_small_for_any_warp_is_refused_instead_of_redrawn_for_ever():
    dot, large = (50, 50, 1, 1), (10, 10, 80, 80)
    with pytest.raises(ParameterError, match="scene 0 of seed 1 was drawn from a drawing with so little ink"):
        render_job(lay_out(bars(dot), "train"), PLAIN, 1, 1)
    pens = lay_out(bars(dot, large), "train")
    with pytest.raises(ParameterError, match="with so little ink"):
        render_job(pens, PLAIN, 1, 50)
    with pytest.raises(
        ParameterError, match="a target of seed 3 was drawn from a drawing with so little ink"
    ):
        render_targets(pens, PLAIN, np.array([[1, 0]], np.uint16), 3)
    render_targets(pens, PLAIN, np.array([[1, 1]], np.uint16), 3)
