"""Drawings, episodes and tasks as data sets: the lists that scores are computed on, in the field's forms."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from oneshot.classify.baselines import NearestNeighbour
from oneshot.classify.benchmarks import draw_benchmark
from oneshot.classify.scoring import score_episodes
from oneshot.datasets import Episode, OmniglotDrawings, OmniglotEpisodes, TaskSampler
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings, unpack_rows
from tests.conftest import refusing

MIXED = "mixed-5-way-5-shot"


@pytest.fixture(scope="module")
def background(synthetic_drawings: Drawings) -> OmniglotDrawings:
    return OmniglotDrawings("background", drawings=synthetic_drawings)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------- drawings


def test_drawings_have_their_classes_as_in_torchvision(
    synthetic_drawings: Drawings, background: OmniglotDrawings
) -> None:
    chosen = synthetic_drawings.of("train")
    assert len(background) == 20 * len(chosen)
    image, label = background[47]
    assert torch.equal(image, torch.from_numpy(chosen.unpack()[2, 7])[None].float())
    assert (label, background.targets[47]) == (2, 2)
    assert background.classes[2] == f"{chosen.alphabets[2]}/{chosen.characters[2]}"
    assert background.class_to_idx[background.classes[2]] == 2
    assert background.get_labels() == [number // 20 for number in range(len(background))]
    assert torch.equal(background[-1][0], background[len(background) - 1][0])
    assert len(list(iter(OmniglotDrawings("test", drawers=(0, 1), drawings=synthetic_drawings)))) == 12


def test_evaluation_is_eval_and_test_and_drawers_can_be_chosen(synthetic_drawings: Drawings) -> None:
    both = OmniglotDrawings("evaluation", drawers=(16, 20), drawings=synthetic_drawings)
    halves = [OmniglotDrawings(name, drawings=synthetic_drawings).classes for name in ("eval", "test")]
    assert sorted(both.classes) == sorted([*halves[0], *halves[1]])
    assert len(both) == 4 * len(both.classes)
    images = synthetic_drawings.unpack()[synthetic_drawings.character_sets != "train"]
    assert torch.equal(both[6][0][0], torch.from_numpy(images[1, 18]).float())


def test_drawings_and_classes_are_transformed(synthetic_drawings: Drawings) -> None:
    data = OmniglotDrawings("train", torch.neg, str, drawings=synthetic_drawings)
    image, label = next(iter(DataLoader(data, batch_size=30)))
    assert torch.equal(image[29, 0], -torch.from_numpy(synthetic_drawings.of("train").unpack()[1, 9]).float())
    assert list(label) == ["0"] * 20 + ["1"] * 10


# ---------------------------------------------------------------------------------------------- episodes


def answer(episode: Episode) -> Tensor:
    """The class with the nearest support images by cosine, on average, of every query."""
    a, b = (
        torch.nn.functional.normalize(images.flatten(1).double())
        for images in (episode.query_images, episode.support_images)
    )
    n_way = len(episode.true_class_ids)
    return (a @ b.T).unflatten(1, (n_way, -1)).mean(2).argmax(1)


def test_episodes_are_those_that_are_scored_in_their_order(synthetic_drawings: Drawings) -> None:
    episodes = OmniglotEpisodes(MIXED, drawings=synthetic_drawings)
    loader = DataLoader(Subset(episodes, range(40)), batch_size=None, num_workers=1)
    hits = [(answer(one) == one.query_labels).numpy() for one in loader]
    (benchmark,) = draw_benchmark(MIXED, synthetic_drawings)
    images = unpack_rows(synthetic_drawings.numbered())
    scores = score_episodes(NearestNeighbour("cosine"), images, benchmark)
    assert np.array_equal(np.stack(hits), scores[:40])
    assert not scores[:40].all()


def test_an_episode_unpacks_as_easy_few_shot_learning_does(synthetic_drawings: Drawings) -> None:
    episodes = OmniglotEpisodes(MIXED, drawings=synthetic_drawings)
    (benchmark,) = draw_benchmark(MIXED, synthetic_drawings)
    support_images, support_labels, query_images, query_labels, true_class_ids = episodes[7]
    images = torch.from_numpy(synthetic_drawings.unpack()).flatten(0, 1).float()[:, None]
    assert torch.equal(support_images, images[benchmark.support[7]])
    assert torch.equal(query_images, images[benchmark.queries[7]])
    assert support_labels.tolist() == [label for label in range(5) for _ in range(5)]
    assert query_labels.tolist() == benchmark.answers[7].tolist()
    assert [true_class_ids[label] for label in support_labels] == (benchmark.support[7] // 20).tolist()
    assert [true_class_ids[label] for label in query_labels] == (benchmark.queries[7] // 20).tolist()
    assert episodes.classes[true_class_ids[0]].count("/") == 1


def test_every_image_of_an_episode_is_transformed(synthetic_drawings: Drawings) -> None:
    plain = OmniglotEpisodes(MIXED, drawings=synthetic_drawings)[0]
    data = OmniglotEpisodes(MIXED, lambda image: image[:, ::3, ::3], drawings=synthetic_drawings)
    assert torch.equal(data[0].support_images, plain.support_images[:, :, ::3, ::3])
    assert data[0].query_images.shape == (5, 1, 35, 35)


@pytest.mark.omniglot
def test_turned_drawings_are_classes_of_their_own(drawings: Drawings) -> None:
    data = OmniglotEpisodes("vinyals-20-way-1-shot", drawings=drawings)
    assert len(data.classes) == 4 * len(drawings)
    for row in range(3):
        images, *_, class_ids = data[row]
        drawer = data.lists[0].support[row] % 20
        for image, class_id, k in zip(images, class_ids, drawer, strict=True):
            quarters, character = divmod(class_id, len(drawings))
            upright = unpack_rows(drawings.bits[character, k])
            assert np.array_equal(image[0], np.rot90(upright, quarters))
            name = f"{drawings.alphabets[character]}/{drawings.characters[character]}/rot{90 * quarters:03d}"
            assert data.classes[class_id] == name


@pytest.mark.omniglot
def test_of_rising_ways_the_lists_follow_each_other(drawings: Drawings) -> None:
    data = OmniglotEpisodes("rising-ways", drawings=drawings)
    assert len(data) == 59 * 400
    assert [len(data[index].true_class_ids) for index in (0, 399, 400, -1)] == [2, 2, 3, 60]


# ---------------------------------------------------------------------------------------------- tasks


def test_a_task_is_so_many_items_of_so_many_classes_without_repeats(background: OmniglotDrawings) -> None:
    sampler = TaskSampler(background, 5, 2, 3, 40, generator=seeded())
    tasks = list(sampler)
    assert len(tasks) == len(sampler) == 40
    for task in tasks:
        classes = np.array(background.targets)[task].reshape(5, 5)
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0])) == 5
        assert len(set(task)) == 25
    assert {label for task in tasks for label in np.array(background.targets)[task]} == set(range(18))


def test_tasks_are_fixed_by_the_generator_and_the_next_iteration_draws_others(
    background: OmniglotDrawings,
) -> None:
    sampler, again = (TaskSampler(background, 5, 1, 1, 10, generator=seeded(3)) for _ in range(2))
    first, second = list(sampler), list(sampler)
    assert [list(again), list(again)] == [first, second]
    assert first != second
    assert list(TaskSampler(background, 5, 1, 1, 10, generator=seeded(4))) != first


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_makes_episodes_of_tasks(background: OmniglotDrawings, n_workers: int) -> None:
    tasks = list(TaskSampler(background, 4, 2, 3, 3, generator=seeded()))
    sampler = TaskSampler(background, 4, 2, 3, 3, generator=seeded())
    loader = DataLoader(
        background, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn, num_workers=n_workers
    )
    for task, episode in zip(tasks, loader, strict=True):
        items = [background[index] for index in np.reshape(task, (4, 5)).ravel().tolist()]
        images = torch.stack([image for image, _ in items]).unflatten(0, (4, 5))
        assert torch.equal(episode.support_images, images[:, :2].flatten(0, 1))
        assert torch.equal(episode.query_images, images[:, 2:].flatten(0, 1))
        assert episode.support_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert episode.query_labels.tolist() == [label for label in range(4) for _ in range(3)]
        assert episode.true_class_ids == [label for _, label in items[::5]]


def test_data_sets_and_collation_can_be_sent_to_workers(
    background: OmniglotDrawings, synthetic_drawings: Drawings
) -> None:
    sampler = TaskSampler(background, 2, 1, 1, 1, generator=seeded())
    data, episodes, collate = pickle.loads(
        pickle.dumps(
            (background, OmniglotEpisodes(MIXED, drawings=synthetic_drawings), sampler.episodic_collate_fn)
        )
    )
    episode = collate(data.__getitems__([0, 1, 20, 21]))
    assert episode.true_class_ids == [0, 1]
    assert len(episodes) == 1000


# ---------------------------------------------------------------------------------------------- bad input


def test_what_there_is_not_is_refused(synthetic_drawings: Drawings, background: OmniglotDrawings) -> None:
    with refusing(ParameterError, "there is no character set 'training'; there are background, "):
        OmniglotDrawings("training", drawings=synthetic_drawings)
    with refusing(ParameterError, "drawers 3 to 21"):
        OmniglotDrawings("train", drawers=(3, 21), drawings=synthetic_drawings)
    with refusing(ParameterError, "there is no benchmark 'mixed'; there are within-alphabet, "):
        OmniglotEpisodes("mixed", drawings=synthetic_drawings)
    with pytest.raises(IndexError, match="there is no drawing 360 among 360"):
        background[360]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 1, 1, 1), "n_way is 0"),
        ((5, 1, 0, 1), "n_query is 0"),
        ((19, 1, 1, 1), "19-way needs 19 classes: there are 18"),
        ((5, 10, 11, 1), "n_shot 10 and n_query 11 need 21 items of every class: one has 20"),
    ],
)
def test_a_sampler_refuses_more_than_there_is(
    background: OmniglotDrawings, numbers: tuple[Any, ...], message: str
) -> None:
    with refusing(ParameterError, message):
        TaskSampler(background, *numbers, generator=seeded())
