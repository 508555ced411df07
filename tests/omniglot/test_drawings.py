"""The drawings' array, their file, and the archives they are read from."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oneshot.errors import ArchiveError, DrawingsError, ParameterError
from oneshot.omniglot.drawings import (
    CHARACTER_TABLES,
    Drawings,
    load_drawings,
    pack_rows,
    read_archive,
    read_archives,
    save_drawings,
    unpack_rows,
)
from tests.archives import cut_off, flip_bit, members, png, write_zip
from tests.conftest import refusing

FIRST = "images_background/Synthetic_01/character01/0001_01.png"


@pytest.mark.parametrize("seed", range(4))
def test_unpacking_gives_back_what_was_packed(seed):
    rng = np.random.default_rng(seed)
    pixels = (rng.random((3, 105, 105)) < rng.random()).astype(np.uint8)
    packed = pack_rows(pixels)
    assert packed.shape == (3, 105, 14)
    assert (unpack_rows(packed) == pixels).all()
    assert (packed[..., -1] >> 1 == 0).all()


def test_the_first_pixel_of_a_row_is_the_lowest_bit():
    pixels = np.zeros((1, 105, 105), np.uint8)
    pixels[0, 2, [0, 9, 104]] = 1
    assert pack_rows(pixels)[0, 2].tolist() == [1, 2, *[0] * 11, 1]


def test_sha256_is_that_of_the_unpacked_bytes(synthetic_drawings):
    unpacked = synthetic_drawings.unpack()
    assert set(np.unique(unpacked)) == {0, 1}
    assert synthetic_drawings.sha256() == hashlib.sha256(unpacked.tobytes()).hexdigest()


def test_a_character_set_keeps_its_characters_in_order(synthetic_drawings):
    chosen = synthetic_drawings.of("eval")
    assert len(chosen) == 12
    assert (chosen.bits == synthetic_drawings.bits[18:30]).all()
    assert chosen.prefixes.tolist() == synthetic_drawings.prefixes[18:30].tolist()
    assert chosen.file_name(0, 19) == "0019_20.png"


def test_an_unknown_character_set_is_named_beside_the_known_ones(synthetic_drawings):
    with pytest.raises(ParameterError, match=r"'evaluation'.*train, eval, test"):
        synthetic_drawings.of("evaluation")


def test_a_saved_file_is_the_same_bytes_everywhere(tmp_path):
    names = np.array(["one", "two"])
    bits = pack_rows((np.arange(2 * 20 * 105 * 105).reshape(2, 20, 105, 105) % 7 == 0).astype(np.uint8))
    save_drawings(tmp_path / "drawings.npz", Drawings(bits, names, names, names, names, "synthetic"))
    found = hashlib.sha256((tmp_path / "drawings.npz").read_bytes()).hexdigest()
    assert found == "9ca2c5e79c29708b93c8bef588b9e3fa35680c2e02bf475e4b48da930cdfa041"


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut off": cut_off,
    "text": lambda path: path.write_text("drawings"),
    "one bit flipped": lambda path: flip_bit(path, path.stat().st_size // 2),
    "a single array": lambda path: path.write_bytes(npy(np.zeros(3))),
    "other arrays": lambda path: np.savez(path, bits=np.zeros((2, 20, 105, 14), np.uint8)),
    "a pickle": lambda path: np.savez(path, format=np.array([{}], dtype=object)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture
def saved(synthetic_drawings: Drawings, tmp_path: Path) -> Path:
    save_drawings(tmp_path / "new" / "drawings.npz", synthetic_drawings)
    return tmp_path / "new" / "drawings.npz"


def test_a_saved_file_loads_the_same(synthetic_drawings, saved):
    found = load_drawings(saved)
    assert found.source == synthetic_drawings.source
    for name in ("bits", *CHARACTER_TABLES):
        assert (getattr(found, name) == getattr(synthetic_drawings, name)).all()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_one_sentence(saved, damage):
    DAMAGE[damage](saved)
    with refusing(DrawingsError, r"drawings\.npz.*prepare again"):
        load_drawings(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "oneshot drawings 0"},
        {"bits": np.zeros((42, 20, 105, 105), np.uint8)},
        {"bits": np.zeros((42, 20, 105, 14), np.int64)},
        {"bits": np.uint8(1)},
        {"alphabets": np.array(["one"])},
        {"prefixes": np.arange(42)},
    ],
)
def test_a_file_of_another_format_is_refused(saved, change):
    with np.load(saved) as file:
        arrays = dict(file)
    np.savez(saved, **{**arrays, **change})
    with pytest.raises(DrawingsError, match=r"drawings\.npz"):
        load_drawings(saved)


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(DrawingsError, match="missing: run the stages download and prepare"):
        load_drawings(tmp_path / "drawings.npz")


@pytest.fixture(scope="module")
def small(synthetic_drawings: Drawings) -> dict[str, bytes]:
    """The members of a whole archive of 3 alphabets with 6 characters each."""
    return members(synthetic_drawings.of("train"), "images_background")


def test_a_whole_archive_is_read_in_sorted_order_and_with_ink_as_one(synthetic_drawings, small, tmp_path):
    shuffled = sorted(small.items(), key=lambda item: hashlib.md5(item[0].encode()).digest())
    beside = [
        ("images_background/", b""),
        ("__MACOSX/._0001_01.png", b"x"),
        ("images_background/readme", b"x"),
    ]
    path = write_zip(tmp_path / "a.zip", [*beside, *shuffled])
    drawings = read_archive(path, "images_background")
    expected = synthetic_drawings.of("train")
    for name in ("bits", *CHARACTER_TABLES):
        assert (getattr(drawings, name) == getattr(expected, name)).all()


def test_the_first_ten_evaluation_alphabets_are_eval_and_the_others_test(synthetic_drawings, small, tmp_path):
    content = png(synthetic_drawings.unpack()[0, 0])
    evaluation = {
        f"images_evaluation/{alphabet}/character01/{number:04d}_{drawer:02d}.png": content
        for number, alphabet in enumerate("LKJIHGFEDCBA")
        for drawer in range(1, 21)
    }
    background_zip = write_zip(tmp_path / "b.zip", small.items())
    evaluation_zip = write_zip(tmp_path / "e.zip", evaluation.items())
    drawings = read_archives(background_zip, evaluation_zip, {"train": 18, "eval": 10, "test": 2})
    assert drawings.character_sets.tolist() == ["train"] * 18 + ["eval"] * 10 + ["test"] * 2
    assert drawings.alphabets[18:].tolist() == list("ABCDEFGHIJKL")
    with pytest.raises(ArchiveError, match=r"e\.zip holds 2 characters for the set 'test', not 3"):
        read_archives(background_zip, evaluation_zip, {"train": 18, "eval": 10, "test": 3})
    with pytest.raises(ArchiveError, match=r"e\.zip holds .*no drawing of images_background"):
        read_archives(evaluation_zip, background_zip)


def without(small: dict[str, bytes], text: str) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in small.items() if text not in name]


ALTERED: dict[str, tuple[Callable[[dict[str, bytes]], list[tuple[str, bytes]]], str]] = {
    "absolute path": (lambda s: [*s.items(), ("/etc/passwd", b"x")], "unsafe path, '/etc/passwd'"),
    "parent path": (lambda s: [*s.items(), ("images_background/../../x.png", b"x")], "unsafe path"),
    "drive": (lambda s: [*s.items(), ("C:/x.png", b"x")], "unsafe path, 'C:/x.png'"),
    "backslash": (lambda s: [*s.items(), ("..\\x.png", b"x")], "unsafe path"),
    "no drawings": (lambda s: [], "holds no drawings of images_background"),
    "stray drawing": (lambda s: [*s.items(), ("images_background/x.png", b"x")], "which is no drawing of"),
    "drawer missing": (
        lambda s: without(s, "0001_07"),
        "other drawers than 01 to 20 of Synthetic_01/character01",
    ),
    "drawer extra": (lambda s: [*s.items(), (FIRST.replace("_01.", "_21."), s[FIRST])], "other drawers than"),
    "character missing": (lambda s: without(s, "Synthetic_02/character03"), "character04 where character03"),
    "two prefixes": (
        lambda s: [(n.replace("0001_02", "0999_02"), c) for n, c in s.items()],
        "other drawers than",
    ),
    "unreadable PNG": (lambda s: [*{**s, FIRST: s[FIRST][:60]}.items()], "not a readable PNG"),
    "not a PNG": (lambda s: [*{**s, FIRST: b"GIF89a"}.items()], "not a readable PNG"),
    "small PNG": (lambda s: [*{**s, FIRST: png(np.zeros((105, 104)))}.items()], "104 x 105 pixels"),
    "huge member": (lambda s: [*{**s, FIRST: bytes(70_000)}.items()], "70000 bytes: too large"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_archive_is_refused(small, tmp_path, case):
    alter, message = ALTERED[case]
    path = write_zip(tmp_path / "altered.zip", alter(small))
    with refusing(ArchiveError, rf"altered\.zip.*{message}"):
        read_archive(path, "images_background")


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        lambda path: path.write_text("<html>Not found</html>"),
        # 200 bytes into the archive: inside the first drawing, after its header and its name.
        lambda path: flip_bit(path, 200),
    ],
    ids=["cut off", "not a zip", "one bit flipped"],
)
def test_a_damaged_archive_is_refused(small, tmp_path, damage):
    path = write_zip(tmp_path / "damaged.zip", small.items())
    damage(path)
    with refusing(ArchiveError, r"damaged\.zip is no whole zip archive"):
        read_archive(path, "images_background")


def test_a_damaged_compressed_drawing_is_refused(small, tmp_path):
    path = write_zip(tmp_path / "damaged.zip", small.items(), zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[30 + len(FIRST)] = (
        0xFF  # the first byte after the member's header and name: no such kind of block
    )
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"damaged\.zip is no whole zip archive.*invalid block"):
        read_archive(path, "images_background")


def test_a_missing_archive_says_what_to_run(tmp_path):
    with pytest.raises(ArchiveError, match=r"a\.zip is missing: run the stage download first"):
        read_archive(tmp_path / "a.zip", "images_background")


@pytest.mark.omniglot
def test_all_drawings_have_the_published_sha256(drawings, facts):
    assert drawings.bits.shape == (1623, 20, 105, 14)
    assert drawings.sha256() == facts["drawings"]["sha256"]


@pytest.mark.omniglot
@pytest.mark.parametrize("character_set", ["train", "eval", "test"])
def test_each_set_has_the_published_sha256(drawings, facts, character_set):
    chosen, published = drawings.of(character_set), facts["drawings"]
    assert len(chosen) == published["n_characters"][character_set]
    assert len(set(chosen.alphabets)) == published["n_alphabets"][character_set]
    assert chosen.sha256() == published["by_character_set_sha256"][character_set]


@pytest.mark.omniglot
def test_a_drawing_knows_upstreams_file(drawings):
    assert (drawings.alphabets[0], drawings.characters[0]) == ("Alphabet_of_the_Magi", "character01")
    assert drawings.file_name(0, 0) == "0709_01.png"
    assert sorted(drawings.prefixes.tolist()) == [f"{number:04d}" for number in range(1, 1624)]
