"""Baselines without learning: against plain NumPy, by hand, and on Lake's runs the published errors."""

from pathlib import Path

import numpy as np
import pytest

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.baselines import Guess, Hausdorff, NearestNeighbour, centre_ink
from oneshot.classify.scoring import Scorer, score_episodes
from oneshot.omniglot.drawings import Drawings
from tests.oracle.baselines_numpy import hausdorff_distances


def scores(scorer: Scorer, queries: np.ndarray, supports: np.ndarray) -> np.ndarray:
    return scorer.compare(scorer.encode(queries), scorer.encode(supports)).numpy()


def ink(seed: int, n: int, shape: tuple[int, int] = (23, 31)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = (rng.random((n, *shape)) < rng.uniform(0.01, 0.5, (n, 1, 1))).astype(np.uint8)
    images[:, 0, 0] = 1  # never without ink
    return images


@pytest.mark.parametrize("seed", range(20))
def test_hausdorff_equals_plain_numpy(seed: int) -> None:
    queries, supports = ink(seed, 3), ink(seed + 100, 4)
    found = scores(Hausdorff(), queries, supports)
    np.testing.assert_allclose(found, -hausdorff_distances(queries, supports), rtol=1e-12, atol=1e-12)


def test_hausdorff_of_drawings_equals_plain_numpy(synthetic_drawings: Drawings) -> None:
    images = synthetic_drawings.unpack()[:3, :2].reshape(-1, 105, 105)
    expected = -hausdorff_distances(images[:2], images)
    np.testing.assert_allclose(scores(Hausdorff(), images[:2], images), expected, rtol=1e-12, atol=1e-12)


def test_hausdorff_is_symmetric_and_ignores_where_the_ink_lies() -> None:
    images = np.zeros((2, 40, 40), np.uint8)
    images[0, 2:20, 3:18], images[1, 20:38, 21:36] = ink(0, 1, (18, 15))[0], ink(0, 1, (18, 15))[0]
    assert scores(Hausdorff(), images[:1], images[1:]).item() == pytest.approx(0, abs=1e-12)
    others = ink(1, 5)
    found = scores(Hausdorff(), others, others)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    assert (np.diag(found) == 0).all()


def test_a_drawing_without_ink_is_unlike_any() -> None:
    images = np.concatenate([ink(0, 1), np.zeros((1, 23, 31), np.uint8)])
    assert scores(Hausdorff(), images, images).tolist() == [[0, -np.inf], [-np.inf, -np.inf]]
    assert scores(NearestNeighbour("cosine", True), images, images)[0, 1] == 0


@pytest.mark.parametrize("brightest", [1, 255])
def test_pixel_distances_are_exact_whatever_the_images_hold(brightest: int) -> None:
    rng = np.random.default_rng(brightest)
    images = rng.integers(0, brightest, (6, 105, 105), np.uint8, endpoint=True)
    numbers = images.reshape(6, -1).astype(np.int64)
    distances = ((numbers[:, None] - numbers) ** 2).sum(2)
    assert (scores(NearestNeighbour("euclidean"), images, images) == -np.sqrt(distances)).all()


@pytest.mark.parametrize("seed", range(5))
def test_pixel_distances_equal_plain_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, supports = (rng.integers(0, 256, (n, 9, 7), dtype=np.uint8) for n in (3, 4))
    a, b = (images.reshape(len(images), -1).astype(float) for images in (queries, supports))
    euclidean = -np.array([[np.linalg.norm(x - y) for y in b] for x in a])
    cosine = np.array([[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a])
    np.testing.assert_allclose(scores(NearestNeighbour("euclidean"), queries, supports), euclidean)
    np.testing.assert_allclose(scores(NearestNeighbour("cosine"), queries, supports), cosine)


def test_ink_moves_to_the_middle_whole() -> None:
    images = np.zeros((4, 9, 9), np.uint8)
    images[0, :3, :3] = images[1, 3:6, 3:6] = images[2, 6:, 5:8] = 1
    moved = centre_ink(images)
    assert (moved[:3] == images[1]).all()
    assert not moved[3].any()


def test_ink_that_leaves_the_image_is_cut_off() -> None:
    image = np.zeros((1, 5, 5), np.uint8)
    image[0, 4, :] = 1
    image[0, 0, 0] = 1
    down, right = 2 - 20 / 6, 2 - 10 / 6
    assert (round(down), round(right)) == (-1, 0)
    moved = centre_ink(image)
    assert np.argwhere(moved[0]).tolist() == [[3, column] for column in range(5)]


def test_guessing_is_right_as_often_as_chance(synthetic_drawings: Drawings) -> None:
    images, scorer = ink(0, 5), Guess(np.random.default_rng(0))
    first = np.array([scores(scorer, images[:1], images).argmax() for _ in range(2000)])
    assert np.bincount(first, minlength=5) == pytest.approx(400, abs=80)


@pytest.mark.omniglot
@pytest.mark.parametrize(
    ("scorer", "error"),
    [
        (Hausdorff(), 38.75),
        (NearestNeighbour("cosine"), 78.25),
        (NearestNeighbour("euclidean"), 81.0),
        (NearestNeighbour("cosine", centred=True), 54.5),
        (NearestNeighbour("euclidean", centred=True), 57.75),
    ],
    ids=["Hausdorff", "cosine", "Euclidean", "centred cosine", "centred Euclidean"],
)
def test_errors_on_lakes_runs(mirror: Path, scorer: Scorer, error: float) -> None:
    images, episodes = read_all_runs(mirror / "all_runs.zip")
    assert 100 * (~score_episodes(scorer, images, episodes)).mean() == pytest.approx(error)
