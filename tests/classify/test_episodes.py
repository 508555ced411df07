"""Lists of episodes: what is drawn, from whom, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from oneshot.classify.episodes import Episodes, mixed_classes, rising_ways, within_alphabets
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes, labelled_classes, omniglot_classes, pick_drawings
from oneshot.omniglot.drawings import Drawings


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def classes(synthetic_drawings: Drawings) -> Classes:
    """24 characters in 4 alphabets, by the last four drawers."""
    return omniglot_classes(synthetic_drawings, synthetic_drawings.character_sets != "train", (16, 20))


@pytest.fixture(scope="module")
def unequal() -> Classes:
    """Own images: 2 to 6 a class, one alphabet."""
    sizes = [2, 6, 3, 4]
    numbers = np.split(np.arange(15, dtype=np.int32), np.cumsum(sizes)[:-1])
    return Classes(tuple(numbers), ("",) * 4)


def test_an_image_number_is_that_of_its_drawing(synthetic_drawings, classes):
    assert classes.images[0].tolist() == [18 * 20 + drawer for drawer in (16, 17, 18, 19)]
    assert classes.alphabets == tuple(synthetic_drawings.alphabets[18:])
    picked = pick_drawings(synthetic_drawings, classes.images[3])
    assert (picked == synthetic_drawings.unpack()[21, 16:]).all()


def test_labels_make_one_class_each():
    classes = labelled_classes(np.array([3, 1, 3, 1, 1], np.uint8))
    assert [images.tolist() for images in classes.images] == [[1, 3, 4], [0, 2]]


def test_within_alphabets_one_drawer_is_shown_and_another_asked(classes):
    alphabets = list(dict.fromkeys(classes.alphabets))
    episodes = within_alphabets(classes, alphabets, 3, rng(), n_way=5, n_queries=4)
    assert (episodes.support.shape, episodes.queries.shape) == ((12, 5), (12, 4))
    shown, asked = episodes.support % 20, episodes.queries % 20
    assert (shown == shown[:, :1]).all()
    assert (asked == asked[:, :1]).all()
    assert (shown[:, 0] != asked[:, 0]).all()
    assert min(shown.min(), asked.min()) >= 16
    of_alphabet = (episodes.support // 20 - 18) // 6
    assert (of_alphabet == np.repeat(np.arange(4), 3)[:, None]).all()


@pytest.mark.parametrize("n_shot", [1, 3])
def test_within_alphabets_drawers_mix_if_they_may(classes, n_shot):
    alphabets = list(dict.fromkeys(classes.alphabets))
    episodes = within_alphabets(
        classes, alphabets, 20, rng(), n_way=5, n_queries=5, n_shot=n_shot, mixed_drawers=True
    )
    assert (episodes.n_shot, episodes.support.shape, len(episodes)) == (n_shot, (80, 5 * n_shot), 80)
    asked_classes(episodes, classes)
    of_alphabet = (episodes.support // 20 - 18) // 6
    assert (of_alphabet == np.repeat(np.arange(4), 20)[:, None]).all()
    assert all(len(set(row)) > 1 for row in (episodes.queries % 20).tolist()[:5])
    _, counts = np.unique(episodes.queries % 20, return_counts=True)
    assert counts.max() < 1.5 * counts.min()


def asked_classes(episodes: Episodes, classes: Classes) -> None:
    """Whether every answer names the class of its query, and classes differ within an episode."""
    owner = {int(image): k for k, images in enumerate(classes.images) for image in images}
    for support, queries, answers in zip(episodes.support, episodes.queries, episodes.answers, strict=True):
        shown = np.vectorize(owner.get)(support.reshape(episodes.n_way, episodes.n_shot))
        assert (shown == shown[:, :1]).all()
        assert len(set(shown[:, 0])) == episodes.n_way
        assert [owner[int(query)] for query in queries] == shown[answers, 0].tolist()
        assert len({*support.tolist(), *queries.tolist()}) == len(support) + len(queries)


@pytest.mark.parametrize("seed", range(5))
def test_the_answer_is_the_querys_class_and_no_image_comes_twice(classes, unequal, seed):
    alphabet = classes.alphabets[0]
    asked_classes(within_alphabets(classes, [alphabet], 9, rng(seed), n_way=6, n_queries=6), classes)
    asked_classes(within_alphabets(unequal, [""], 9, rng(seed), n_way=4, n_queries=2), unequal)
    asked_classes(mixed_classes(classes, 7, 3, 20, rng(seed)), classes)
    asked_classes(mixed_classes(unequal, 4, 1, 20, rng(seed), n_queries=1), unequal)


def test_rising_ways_ask_once_for_every_n(classes):
    lists = rising_ways(classes, range(2, 8), 11, rng(), "rising")
    assert [episodes.n_way for episodes in lists] == [2, 3, 4, 5, 6, 7]
    assert all(episodes.queries.shape == (11, 1) for episodes in lists)


def test_every_class_drawer_and_position_is_drawn(classes):
    episodes = mixed_classes(classes, 5, 1, 6000, rng(), n_queries=1)
    _, counts = np.unique(episodes.queries, return_counts=True)
    assert len(counts) == 24 * 4
    assert counts.max() < 3 * counts.min()
    assert np.bincount(episodes.answers.ravel()).min() > 1100


def test_episodes_depend_on_their_seed_alone(classes):
    sums = [mixed_classes(classes, 5, 2, 10, rng(seed)).sha256() for seed in (1, 1, 2)]
    assert sums[0] == sums[1] != sums[2]


def test_the_checksum_is_the_same_everywhere(unequal):
    episodes = mixed_classes(unequal, 3, 1, 4, rng(5))
    assert episodes.sha256() == "04653bdd4169419ec810e1dc19df6e1feb9d52b11f996d0ac08b4158cb8fd36f"


@pytest.mark.parametrize("name", ["support", "queries", "answers"])
def test_the_checksum_covers_every_array(classes, name):
    episodes = mixed_classes(classes, 5, 1, 10, rng())
    changed = getattr(episodes, name).copy()
    changed[3, 2] += 1
    assert replace(episodes, **{name: changed}).sha256() != episodes.sha256()


def test_renumbered_episodes_are_the_same_over_fewer_images(synthetic_drawings, classes):
    episodes = mixed_classes(classes, 5, 2, 3, rng())
    numbers = episodes.needed()
    images, fewer = pick_drawings(synthetic_drawings, numbers), episodes.renumbered(numbers)
    unpacked = synthetic_drawings.unpack().reshape(-1, 105, 105)
    assert (images[fewer.support] == unpacked[episodes.support]).all()
    assert (images[fewer.queries] == unpacked[episodes.queries]).all()


REFUSED: dict[str, tuple[Callable[[Classes], object], str]] = {
    "too few classes": (lambda c: mixed_classes(c, 5, 1, 1, rng()), "5-way needs 5 classes: there are 4"),
    "too few images": (lambda c: mixed_classes(c, 4, 2, 1, rng()), "2-shot needs 3 images.*one class has 2"),
    "too few in the alphabet": (
        lambda c: within_alphabets(c, [""], 1, rng()),
        "20-way needs 20 classes: there are 4 in the alphabet ''",
    ),
    "no such alphabet": (lambda c: within_alphabets(c, ["Latin"], 1, rng(), 2, 2), "no alphabet 'Latin'"),
    "too many queries": (lambda c: mixed_classes(c, 3, 1, 1, rng(), 4), "3 classes cannot ask 4"),
    "no queries": (lambda c: mixed_classes(c, 3, 1, 1, rng(), 0), "3 classes cannot ask 0"),
    "no shots": (lambda c: mixed_classes(c, 3, 0, 1, rng()), "3-way 0-shot is no task"),
    "no episodes": (lambda c: mixed_classes(c, 3, 1, 0, rng()), "at least one episode"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(unequal, case):
    draw, message = REFUSED[case]
    with pytest.raises(ParameterError, match=message) as caught:
        draw(unequal)
    assert "\n" not in str(caught.value)


def test_one_drawer_gives_no_second_shot(classes):
    with pytest.raises(ParameterError, match="2-shot needs mixed drawers"):
        within_alphabets(classes, [classes.alphabets[0]], 1, rng(), 3, 3, n_shot=2)


def test_drawers_outside_the_twenty_are_refused(synthetic_drawings):
    with pytest.raises(ParameterError, match="drawers 16 to 21"):
        omniglot_classes(synthetic_drawings, synthetic_drawings.character_sets == "eval", (16, 21))


def test_a_support_set_of_another_size_is_refused(classes):
    episodes = mixed_classes(classes, 5, 1, 2, rng())
    with pytest.raises(ParameterError, match="4-way 1-shot episodes cannot have 5 images"):
        replace(episodes, n_way=4)
