"""Jobs of training scenes, of which a share shows targets that others are drawn over."""

import numpy as np
import pytest

from oneshot.clutter.scenes import JOB_SCENES, SceneRecipe, render_job
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.segment.group_batches import code_groups, target_groups
from oneshot.segment.groups import group_colours
from oneshot.segment.training_set import TrainingSet
from tests.scene_cases import assert_same

LEVEL = 64


@pytest.fixture(scope="module")
def training_set(synthetic_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    path = tmp_path_factory.mktemp("training") / "drawings.npz"
    save_drawings(path, synthetic_drawings)
    return TrainingSet(path)


@pytest.mark.parametrize(("share", "n_plain"), [(0.0, 2000), (0.25, 1500), (0.5, 1000)])
def test_a_job_begins_with_published_scenes_and_the_share_of_covered_ones_ends_it(
    share: float, n_plain: int, training_set: TrainingSet
) -> None:
    job = training_set.render_job(LEVEL, 3, share)
    assert len(job) == JOB_SCENES
    assert_same(job[:n_plain], training_set.render_job(LEVEL, 3)[:n_plain])
    assert_same(job, training_set.render_job(LEVEL, 3, share))
    if n_plain == JOB_SCENES:
        return
    recipe = SceneRecipe(LEVEL // 2, "train", (0, 10), n_occluders=LEVEL // 2)
    covered = render_job(training_set.pens, recipe, training_set.seeds[3] + 1, JOB_SCENES - n_plain)
    visible = covered.masks & (covered.labels == LEVEL // 2)
    assert np.array_equal(job[n_plain:].images(), covered.images())
    assert np.array_equal(job[n_plain:].targets(), covered.targets())
    assert np.array_equal(job[n_plain:].masks, visible)
    assert visible.sum() < 0.9 * covered.masks.sum()


def test_masks_are_the_visible_pixels_of_the_last_label_and_the_targets_group_is_theirs(
    training_set: TrainingSet,
) -> None:
    job = training_set.render_job(256, 0, 0.1)[-200:]
    hidden = ~job.masks.any((1, 2))
    assert 0 < hidden.sum() < 20
    assert np.array_equal(job.masks, job.labels == 256)
    numbers = target_groups(group_colours(job.images()), job.masks)
    assert np.array_equal(numbers == 0, hidden)
    characters = code_groups(job, "box").characters[:, 0].numpy()
    assert (characters[hidden] == -1).all()
    assert np.array_equal(characters[~hidden] // 8, job.characters[~hidden, -1])
