"""Lake's runs: read whole, refused otherwise, and the same drawings as images_evaluation."""

from collections.abc import Callable

import numpy as np
import pytest

from oneshot.classify.all_runs import read_all_runs
from oneshot.errors import ArchiveError
from oneshot.omniglot.drawings import Drawings, unpack_rows
from tests.archives import cut_off, pick, png, write_zip

LABELS = "run07/class_labels.txt"
DRAWING = "run03/test/item04.png"


def answer(run: int, item: int) -> int:
    return (7 * item + run) % 20


@pytest.fixture(scope="module")
def members(synthetic_drawings: Drawings) -> dict[str, bytes]:
    """All runs, of drawings in turn; item k of a run belongs to the class answer(run, k)."""
    contents = [png(pixels) for pixels in unpack_rows(synthetic_drawings.bits[:2]).reshape(-1, 105, 105)]
    found: dict[str, bytes] = {}
    for run in range(20):
        folder, lines = f"run{run + 1:02d}", []
        found[f"{folder}/"] = b""
        for k in range(20):
            test, training = f"{folder}/test/item{k + 1:02d}.png", f"{folder}/training/class{k + 1:02d}.png"
            found[test], found[training] = contents[k], contents[20 + (k + run) % 20]
            lines.append(f"{test} {folder}/training/class{answer(run, k) + 1:02d}.png\n")
        found[f"{folder}/class_labels.txt"] = "".join(lines).encode()
    return found


def test_all_runs_are_read_in_order(members, synthetic_drawings, tmp_path):
    hidden = {"__MACOSX/run01/._item01.png": b"x", "run01/.DS_Store": b"x"}
    path = write_zip(tmp_path / "all_runs.zip", reversed((members | hidden).items()))
    images, episodes = read_all_runs(path)
    drawings = synthetic_drawings.unpack()[:2].reshape(-1, 105, 105)
    assert (episodes.n_way, episodes.n_shot, len(episodes)) == (20, 1, 20)
    for run in range(20):
        assert (images[episodes.queries[run]] == drawings[:20]).all()
        assert (images[episodes.support[run]] == np.roll(drawings[20:], -run, axis=0)).all()
        assert episodes.answers[run].tolist() == [answer(run, k) for k in range(20)]


def without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: content for other, content in members.items() if other != name}


def labels(members: dict[str, bytes], old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in members[LABELS]
    return members | {LABELS: members[LABELS].replace(old, new)}


ALTERED: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "absolute path": (lambda m: m | {"/etc/passwd": b"x"}, "unsafe path, '/etc/passwd'"),
    "parent path": (lambda m: m | {"run01/../../x": b"x"}, "unsafe path"),
    "huge member": (lambda m: m | {DRAWING: bytes(70_000)}, "too large for a drawing"),
    "drawing missing": (lambda m: without(m, DRAWING), f"lacks '{DRAWING}' (1 in all)"),
    "labels missing": (lambda m: without(m, LABELS), f"lacks '{LABELS}'"),
    "run missing": (lambda m: {n: c for n, c in m.items() if "run20" not in n}, "'run20/"),
    "run extra": (lambda m: m | {"run21/class_labels.txt": b""}, "stray 'run21/class_labels.txt'"),
    "drawing extra": (lambda m: m | {"run01/test/item21.png": b""}, "stray 'run01/test/item21.png'"),
    "not a PNG": (lambda m: m | {DRAWING: b"GIF89a"}, "not a readable PNG"),
    "small PNG": (lambda m: m | {DRAWING: png(np.zeros((105, 104)))}, "104 x 105 pixels"),
    "no labels": (lambda m: m | {LABELS: b""}, f"a {LABELS} that does not give"),
    "binary labels": (lambda m: m | {LABELS: b"\xff\x00"}, f"a {LABELS} that does not give"),
    "class twice": (lambda m: labels(m, b"class03", b"class04"), f"a {LABELS} that does not give"),
    "class of another run": (lambda m: labels(m, b"run07/tr", b"run08/tr"), f"a {LABELS} that does not give"),
    "unknown item": (lambda m: labels(m, b"item03", b"item33"), f"a {LABELS} that does not give"),
    "one label more": (
        lambda m: m | {LABELS: m[LABELS] + b"run07/test/item21.png run07/training/class01.png\n"},
        f"a {LABELS} that does not give",
    ),
    "item as its class": (
        lambda m: (
            m | {LABELS: b"\n".join(b"%b %b" % ((s.split()[0],) * 2) for s in m[LABELS].split(b"\n") if s)}
        ),
        f"a {LABELS} that does not give",
    ),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_archive_is_refused_in_one_sentence(members, tmp_path, case):
    alter, message = ALTERED[case]
    path = write_zip(tmp_path / "altered.zip", alter(members).items())
    with pytest.raises(ArchiveError, match=r"altered\.zip") as caught:
        read_all_runs(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_comes_twice_is_refused(members, tmp_path):
    path = write_zip(tmp_path / "a.zip", [*members.items(), (DRAWING, members[DRAWING])])
    with pytest.raises(ArchiveError, match=rf"holds '{DRAWING}' twice"):
        read_all_runs(path)


@pytest.mark.parametrize(
    "damage",
    [cut_off, lambda path: path.write_text("<html>"), lambda path: path.write_bytes(b"")],
    ids=["cut off", "not a zip", "empty"],
)
def test_a_damaged_archive_is_refused_in_one_sentence(members, tmp_path, damage):
    path = write_zip(tmp_path / "damaged.zip", members.items())
    damage(path)
    with pytest.raises(ArchiveError, match=r"damaged\.zip is no whole zip archive"):
        read_all_runs(path)


def test_a_missing_archive_says_what_to_run(tmp_path):
    with pytest.raises(ArchiveError, match=r"all_runs\.zip is missing: run the stage download first"):
        read_all_runs(tmp_path / "all_runs.zip")


@pytest.mark.omniglot
def test_lakes_drawings_are_those_of_images_evaluation(mirror, drawings):
    images, episodes = read_all_runs(mirror / "all_runs.zip")
    evaluation = pick(drawings, drawings.character_sets != "train")
    known = {
        pixels.tobytes(): k
        for k, character in enumerate(evaluation.bits)
        for pixels in unpack_rows(character)
    }
    characters = np.array([known[image.tobytes()] for image in images])
    answered = np.take_along_axis(episodes.support, episodes.answers, 1)
    assert (characters[answered] == characters[episodes.queries]).all()
    alphabets = evaluation.alphabets[characters].reshape(20, 40)
    assert (alphabets == alphabets[:, :1]).all()
    assert len(set(alphabets[:, 0])) == 10
