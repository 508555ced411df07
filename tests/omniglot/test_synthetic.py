"""The alphabets that the project draws itself."""

import numpy as np
import pytest

from oneshot.omniglot.drawings import Drawings
from oneshot.omniglot.synthetic import draw_alphabet, draw_alphabets, ink_under_pen


@pytest.fixture(scope="module")
def alphabets() -> np.ndarray:
    """Ink of 4 alphabets: (alphabets, characters, drawers, 105, 105)."""
    return np.stack([draw_alphabet(np.random.default_rng(seed), 8) for seed in range(4)]).astype(bool)


def test_the_tables_are_like_omniglots(synthetic_drawings: Drawings) -> None:
    assert synthetic_drawings.bits.shape == (7 * 6, 20, 105, 14)
    assert synthetic_drawings.source == "synthetic"
    assert synthetic_drawings.character_sets.tolist() == ["train"] * 18 + ["eval"] * 12 + ["test"] * 12
    assert synthetic_drawings.alphabets[[0, 5, 6, 41]].tolist() == [f"Synthetic_0{i}" for i in (1, 1, 2, 7)]
    assert synthetic_drawings.characters[:7].tolist() == [f"character0{i}" for i in (1, 2, 3, 4, 5, 6, 1)]
    assert synthetic_drawings.file_name(41, 0) == "0042_01.png"


def test_the_seed_decides_everything(synthetic_drawings: Drawings) -> None:
    sizes = {"train": 3, "eval": 2, "test": 2}
    assert draw_alphabets(np.random.default_rng(7), sizes, 6).sha256() == synthetic_drawings.sha256()
    assert draw_alphabets(np.random.default_rng(8), sizes, 6).sha256() != synthetic_drawings.sha256()


def test_an_alphabet_does_not_depend_on_the_others(synthetic_drawings: Drawings) -> None:
    smaller = draw_alphabets(np.random.default_rng(7), {"train": 2}, 4)
    assert (smaller.bits[:4] == synthetic_drawings.bits[:4]).all()
    assert (smaller.bits[4:] == synthetic_drawings.bits[6:10]).all()


def test_no_drawing_is_empty_and_none_is_like_another(alphabets: np.ndarray) -> None:
    drawings = alphabets.reshape(-1, 105 * 105)
    assert drawings.sum(1).min() > 100
    assert len(np.unique(np.packbits(drawings, axis=1), axis=0)) == len(drawings)


def test_ink_and_size_are_like_omniglots(alphabets: np.ndarray) -> None:
    """Omniglot: 8.05 % ink; half of the drawings are 49 to 71 pixels high and 44 to 67 wide."""
    drawings = alphabets.reshape(-1, 105, 105)
    assert 0.065 < drawings.mean() < 0.10
    for axis in (1, 2):
        covered = drawings.any(axis)
        first, last = covered.argmax(1), 104 - covered[:, ::-1].argmax(1)
        assert 48 < np.median(last - first + 1) < 68
        assert 46 < np.median((first + last) / 2) < 56


def test_drawings_of_one_character_are_more_alike_than_of_two(alphabets: np.ndarray) -> None:
    """By the cosine of blurred drawings centred on their ink; chance is 1 in 8."""
    features = np.stack([[[centred(d) for d in drawers] for drawers in chars] for chars in alphabets])
    similarity = np.einsum("acp,aqp->acq", features[:, :, 0], features[:, :, 1])
    right = similarity.argmax(2) == np.arange(8)
    assert right.mean() > 0.6


def centred(drawing: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(drawing)
    shift = 52 - round(rows.mean()), 52 - round(columns.mean())
    moved = np.roll(drawing, shift, axis=(0, 1))
    blurred = moved.reshape(15, 7, 15, 7).mean((1, 3)).ravel()
    return blurred / np.linalg.norm(blurred)


def test_the_pen_is_a_disc_around_its_position() -> None:
    positions = np.full((20, 1, 2), 50.0)
    positions[:, :, 0] += np.linspace(0, 1, 20)[:, None]
    pen = np.linspace(2.05, 2.55, 20)
    rows, columns = np.mgrid[:105, :105]
    apart = np.hypot(columns - positions[:, :, :1], rows - positions[:, :, 1:])
    assert (ink_under_pen(positions, pen) == (apart <= pen[:, None, None])).all()
