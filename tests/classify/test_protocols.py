"""Protocols: Omniglot's as published, smaller ones of other images, each with its checksum."""

import numpy as np
import pytest

from oneshot.classify.protocols import (
    find_protocols,
    from_classes,
    omniglot_protocols,
    own_protocols,
    source_of_classes,
)
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.drawings import Drawings
from oneshot.params import OtherImages
from oneshot.published import RISING_WAYS, SELECTION_LIST, VALIDATION_LIST, read_facts
from tests.omniglot.test_own_images import make_folder, split

SIZES = OtherImages(
    least_images=2, validation_share=0.2, test_share=0.2, n_way=3, n_episodes=20, n_verification_pairs=50
)


def numbered(sizes: list[int], alphabets: list[str]) -> Classes:
    ends = np.cumsum(sizes)
    images = tuple(np.arange(end - n, end, dtype=np.int32) for end, n in zip(ends, sizes, strict=True))
    return Classes(images, tuple(alphabets))


@pytest.mark.omniglot
def test_omniglots_protocols_are_the_published_ones(drawings: Drawings) -> None:
    protocols = find_protocols(drawings, SIZES)
    described = protocols.describe()
    benchmarks = read_facts("episodes")["benchmarks"]
    for name, facts in benchmarks.items():
        key = {VALIDATION_LIST: "validation", SELECTION_LIST: "selection"}.get(name, name)
        assert described[key]["sha256"] == facts["sha256"]
    assert described["within-alphabet"] | {"sha256": ""} == {
        "n_way": 20, "n_shot": 1, "n_episodes": 20, "n_queries": 400, "sha256": "",
    }  # fmt: skip
    assert described["rising-ways"]["n_way"] == [2, 60]
    assert described["validation"]["n_queries"] == 320
    assert described["verification"]["n_pairs"] == 10_000
    assert len(protocols.training) == 964


@pytest.mark.omniglot
def test_the_pairs_of_omniglots_verification_stay_the_same(drawings: Drawings) -> None:
    pairs = omniglot_protocols(drawings).verification
    assert pairs.sha256() == "63d0653fa24643e1c333724ae168126afcbfcdd8dc960abeb1dc9cf1321b63c9"
    facts = read_facts("episodes")["pairs"]["verification/best-threshold"]
    chosen_on = omniglot_protocols(drawings).threshold_pairs
    assert (pairs.sha256(), chosen_on.sha256()) == (facts["sha256"], facts["threshold_sha256"])
    validation = np.isin(drawings.alphabets, read_facts("episodes")["alphabets"]["validation"])
    assert validation[chosen_on.drawings // 20].all()
    test = np.isin(drawings.alphabets, read_facts("episodes")["alphabets"]["test"])
    assert test[pairs.drawings // 20].all()
    assert (pairs.drawings % 20 >= 16).all()


def test_other_drawings_go_by_character_sets(synthetic_drawings: Drawings) -> None:
    protocols = find_protocols(synthetic_drawings, SIZES)
    sets = synthetic_drawings.character_sets
    assert set(protocols.lists) == {"within-alphabet", "mixed-3-way-1-shot", *RISING_WAYS}
    for name, chosen in (("within-alphabet", "test"), ("rising-ways-training", "train")):
        for episodes in protocols.lists[name]():
            assert set(sets[episodes.needed() // 20]) == {chosen}
    assert set(sets[protocols.validation.needed() // 20]) == {"eval"}
    assert set(sets[protocols.verification.drawings.ravel() // 20]) == {"test"}
    assert [episodes.n_way for episodes in protocols.lists["rising-ways"]()] == [*range(2, 13)]
    (within,) = protocols.lists["within-alphabet"]()
    assert len(within) == 20
    for row in within.support // 20:
        assert len(set(synthetic_drawings.alphabets[row])) == 1


def test_the_same_lists_are_drawn_every_time(synthetic_drawings: Drawings) -> None:
    assert find_protocols(synthetic_drawings, SIZES).describe() == (
        find_protocols(synthetic_drawings, SIZES).describe()
    )


def test_own_images_are_judged_on_no_copies() -> None:
    images = split(
        make_folder([3] * 8 + [1] * 8 + [4] * 8, [""] * 24), validation_share=0.25, test_share=0.25
    )
    protocols = own_protocols(images, SIZES)
    judged = [protocols.validation, *(e for draw in protocols.lists.values() for e in draw())]
    for episodes in judged:
        assert not images.copies[episodes.needed()].any()
    assert not images.copies[protocols.verification.drawings].any()
    trained = np.concatenate(protocols.training.images)
    assert images.copies[trained].any()
    assert set(images.splits[images.image_classes[trained]]) == {"train"}
    assert protocols.background is None
    assert protocols.source == "own images"


def test_without_training_classes_of_two_images_there_is_no_list_of_them() -> None:
    images = split(make_folder([3] * 10 + [1] * 15, [""] * 25), validation_share=0.2, test_share=0.2)
    assert len(images.classes("train", copies=False, least_images=2)) < 2
    protocols = own_protocols(images, SIZES)
    assert [name for name in RISING_WAYS if name in protocols.lists] == ["rising-ways"]
    protocols.describe()


def test_alphabets_with_too_few_classes_are_left_out_of_episodes_within_one() -> None:
    classes = {
        "train": numbered([2] * 4, ["t"] * 4),
        "validation": numbered([2] * 4, ["v"] * 4),
        "test": numbered([2] * 8, ["big"] * 4 + ["small"] * 2 + ["tiny"] * 2),
    }
    bits = np.zeros((16, 105, 14), np.uint8)
    protocols = from_classes("own images", bits, classes, classes["train"], None, SIZES)
    (within,) = protocols.lists["within-alphabet"]()
    assert within.needed().max() < 8
    classes["test"] = numbered([2] * 4, ["a", "a", "b", "b"])
    protocols = from_classes("own images", bits, classes, classes["train"], None, SIZES)
    assert "within-alphabet" not in protocols.lists


def test_too_few_classes_for_n_way_are_one_sentence() -> None:
    images = split(make_folder([2] * 10, [""] * 10))
    with pytest.raises(
        ParameterError, match="4-way needs 4 classes with two images or more for validation: there are 2"
    ):
        own_protocols(images, SIZES.model_copy(update={"n_way": 4}))


def test_an_alphabet_of_one_class_makes_pairs_differ_over_all_classes() -> None:
    pairs = source_of_classes(numbered([2] * 3, ["a", "a", "b"])).draw(np.arange(400), seed=0)
    different = pairs.drawings[~pairs.same] // 2
    assert {frozenset(row) for row in different.tolist()} == {frozenset(x) for x in ((0, 1), (0, 2), (1, 2))}
    within = source_of_classes(numbered([2] * 4, ["a", "a", "b", "b"])).draw(np.arange(400), seed=0)
    apart = within.drawings[~within.same] // 4
    assert (apart[:, 0] == apart[:, 1]).all()
