"""The commands find and classify: what they print and draw, and bad input in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.__main__ import main
from oneshot.library import classify, find, load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.published import read_facts


@pytest.fixture
def files(synthetic_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scene.png, target.png, query.png and a folder letters with three classes."""
    monkeypatch.chdir(tmp_path)
    scenes = load_scenes("test-one-shot", 4, 1, synthetic_drawings)
    Image.fromarray(scenes.images()[0]).save("scene.png")
    Image.fromarray(scenes.targets()[0]).save("target.png")
    paper = (255 * (1 - synthetic_drawings.unpack())).astype(np.uint8)
    Image.fromarray(paper[1, 6]).save("query.png")
    for k in range(3):
        Path("letters", f"letter {k}").mkdir(parents=True)
        Image.fromarray(paper[k, 0]).save(f"letters/letter {k}/0.png")
    return tmp_path


@pytest.mark.parametrize("network", ["colour_matcher-long", "siamese_unet-4-fast"])
def test_find_prints_and_draws_what_the_library_finds(
    network: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find("scene.png", "target.png", network)
    assert found.box is not None
    words = ["find", "scene.png", "target.png", "--network", network]
    main([*words, "--json", "--picture", "out/found.png"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["box"] == list(found.box)
    assert printed == printed | {"n_pixels": int(found.mask.sum()), "network": network}
    with Image.open("out/found.png") as picture:
        drawn = np.asarray(picture)
    assert (drawn == (61, 220, 151)).all(2).sum() >= 25 * found.mask.sum()  # each pixel is 5 x 5 at 480
    main(words)
    assert capsys.readouterr().out.startswith("left {} top {} right {} bottom {} score".format(*found.box))


def test_classify_prints_and_draws_what_the_library_ranks(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ranking,) = classify("query.png", "letters")
    main(["classify", "query.png", "letters", "--json", "--picture", "ranked.png", "--reject-below", "auto"])
    (printed,) = json.loads(capsys.readouterr().out)
    assert tuple(printed["classes"]) == ranking.classes
    assert printed["scores"] == pytest.approx(ranking.scores)
    assert printed["reject_below"] == read_facts("thresholds")["networks"]["contrastive-long"]["threshold"]
    with Image.open("ranked.png") as picture:
        assert picture.width > 4 * 96
    main(["classify", "query.png", "letters", "--reject-below", "1.1"])
    assert f"query.png: none of these; most alike: {ranking.classes[0]}" in capsys.readouterr().out


BAD = {
    "no scene": ("find nothing.png target.png", r"there is no file 'nothing\.png'"),
    "no target": ("find scene.png nothing.png", r"there is no file 'nothing\.png'"),
    "no image": ("find text.png target.png", r"'text\.png' is not a readable image"),
    "no query": ("classify query.png nothing.png letters", r"there is no file 'nothing\.png'"),
    "no network": ("find scene.png target.png --network x", "no network x is released"),
    "no classes": ("classify query.png nowhere", "'nowhere' is no folder"),
    "two folders": ("classify letters query.png letters", "'letters' is a folder"),
    "not a number": ("classify query.png letters --reject-below nan", "reject_below is nan"),
    "no name of a picture": (
        "find scene.png target.png --picture .",
        r"'\.' is a folder: give the name of a file",
    ),
    "no images": ("classify letters letters", "'letters' has no images right in it"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(case: str, files: Path) -> None:
    words, sentence = BAD[case]
    Path("text.png").write_text("no image")
    with pytest.raises(SystemExit, match=f"error: .*{sentence}") as caught:
        main(words.split())
    assert "\n" not in str(caught.value)
