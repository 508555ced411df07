"""All 28 published sets and our 14 to the bit: every job rendered and hashed without writing to disk."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from oneshot.clutter.scenes import JOB_SCENES, Pens, job_seeds, lay_out, render_job, split_recipe
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS, SET_SPLITS, find_split, read_facts
from oneshot.segment.training_set import TrainingSet
from tests.oracle.scenes_pillow import render_job_plainly
from tests.scene_cases import assert_equals_oracle

pytestmark = pytest.mark.omniglot
FACTS = read_facts("cluttered_omniglot")
SETS = [*FACTS["sets"], *FACTS["ours"]["sets"]]


@pytest.fixture(scope="module")
def pens(drawings: Drawings) -> dict[str, Pens]:
    return {name: lay_out(drawings, name) for name in ("train", "eval", "test")}


def compute_sums(facts: dict[str, Any], pens: dict[str, Pens]) -> dict[str, Any]:
    """A set rendered anew, in the form of its published facts; one job in memory at a time."""
    split = find_split(facts["split"])
    recipe = split_recipe(split, facts["clutter_level"])
    whole = {name: hashlib.sha256() for name in ("images", "segmentation", "targets")}
    jobs, last = [], np.zeros(0, np.uint8)
    for seed in job_seeds(split.split_seed, split.n_jobs):
        scenes = render_job(pens[split.characters], recipe, seed, JOB_SCENES)
        sums = {}
        for name, digest in whole.items():
            array = getattr(scenes, name)()
            digest.update(array.data)
            sums[name] = hashlib.sha256(array.data).hexdigest()
            last = array[-1] if name == "images" else last
        jobs.append({"seed": seed, "sha256": sums})
    return {
        "clutter_level": facts["clutter_level"],
        "split": facts["split"],
        "md5_of_last_image": hashlib.md5(last.tobytes()).hexdigest(),
        "sha256": {name: digest.hexdigest() for name, digest in whole.items()},
        "jobs": jobs,
    }


@pytest.fixture(scope="module")
def found(pens: dict[str, Pens]) -> dict[tuple[int, str], dict[str, Any]]:
    """All sets, two at a time, the longest first."""
    longest_first = sorted(SETS, key=lambda facts: -facts["clutter_level"])
    with ThreadPoolExecutor(2) as threads:
        sums = threads.map(lambda facts: compute_sums(facts, pens), longest_first)
        return {(entry["clutter_level"], entry["split"]): entry for entry in sums}


def test_there_are_28_published_sets_of_five_jobs() -> None:
    assert len(FACTS["sets"]) == 28
    assert {facts["clutter_level"] for facts in FACTS["sets"]} == set(CLUTTER_LEVELS)
    assert [len(facts["jobs"]) for facts in FACTS["sets"]] == [5] * 28
    assert {facts["split"] for facts in FACTS["sets"]} == set(SET_SPLITS)


def test_our_sets_of_covered_targets_stand_apart_each_of_one_job() -> None:
    ours = FACTS["ours"]["sets"]
    assert [(facts["clutter_level"], facts["split"]) for facts in ours] == [
        (level, split) for level in CLUTTER_LEVELS for split in COVERED_SPLITS
    ]
    assert [len(facts["jobs"]) for facts in ours] == [1] * 14
    assert all(find_split(name).ours for name in COVERED_SPLITS)
    assert not any(find_split(name).ours for name in ("train", *SET_SPLITS))
    for name in COVERED_SPLITS:
        digest = hashlib.sha256(name.encode()).digest()
        assert find_split(name).split_seed == int.from_bytes(digest[:4], "big")


@pytest.mark.parametrize("split", SET_SPLITS)
def test_the_job_seeds_of_a_split_are_the_published_ones_at_every_level(split: str) -> None:
    found = find_split(split)
    seeds = [[job["seed"] for job in facts["jobs"]] for facts in FACTS["sets"] if facts["split"] == split]
    assert seeds == [job_seeds(found.split_seed, found.n_jobs)] * 7


@pytest.mark.parametrize("facts", SETS, ids=lambda facts: f"{facts['clutter_level']}-{facts['split']}")
def test_a_set_has_its_sums(found: dict[tuple[int, str], dict[str, Any]], facts: dict[str, Any]) -> None:
    sums = found[facts["clutter_level"], facts["split"]]
    assert sums["md5_of_last_image"] == facts["md5_of_last_image"]
    assert sums["jobs"] == facts["jobs"]
    assert sums["sha256"] == facts["sha256"]


@pytest.mark.parametrize("split_name", COVERED_SPLITS)
@pytest.mark.parametrize("level", [4, 16, 256])
def test_a_job_of_covered_targets_begins_as_the_plain_renderer_draws_it(
    drawings: Drawings, pens: dict[str, Pens], level: int, split_name: str
) -> None:
    split = find_split(split_name)
    recipe, (seed,) = split_recipe(split, level), job_seeds(split.split_seed, split.n_jobs)
    n_scenes = 320 // level
    plain = render_job_plainly(drawings.of(split.characters).unpack(), recipe, seed, n_scenes)
    assert_equals_oracle(render_job(pens[split.characters], recipe, seed, n_scenes), plain)


def test_a_training_job_begins_as_the_plain_renderer_draws_it(
    drawings: Drawings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("training") / "drawings.npz"
    save_drawings(path, drawings)
    training_set = TrainingSet(path)
    scenes = training_set.render_job(16, 0)
    assert len(scenes) == JOB_SCENES
    unpacked = drawings.of("train").unpack()
    plain = render_job_plainly(unpacked, training_set.recipe(16), training_set.seeds[0], 20)
    assert_equals_oracle(scenes[:20], plain)
