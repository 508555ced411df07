"""The stage that prepares classes, and images of classification: synthetic, own ones, Lake's runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from oneshot.errors import ImageFolderError, ParameterError
from oneshot.omniglot.drawings import Drawings, unpack_rows
from stages import evaluate, prepare_classes, train


def change_parameters(place: str, value: Any) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text())
    *path, key = place.split(".")
    section = values
    for part in path:
        section = section[part]
    section[key] = value
    Path("params.yaml").write_text(yaml.safe_dump(values))


def draw_own_images(folder: Path, drawings: Drawings, n_images: int = 4) -> None:
    """Some drawings as PNGs of another size, a folder each, by alphabet."""
    for k in range(len(drawings)):
        place = folder / drawings.alphabets[k] / drawings.characters[k]
        place.mkdir(parents=True)
        for drawer, ink in enumerate(unpack_rows(drawings.bits[k, :n_images])):
            Image.fromarray(255 - 255 * ink).resize((70, 70)).save(place / f"{drawer}.png")


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_synthetic_alphabets_are_prepared(classes, synthetic_drawings):
    manifest = read("data/manifests/classes.json")
    assert manifest["source"] == "synthetic"
    assert manifest["sha256"] == synthetic_drawings.sha256()
    assert manifest["n_classes"] == {"train": 18, "eval": 12, "test": 12}


def test_own_images_go_the_same_way(classes, synthetic_drawings):
    draw_own_images(classes / "letters", synthetic_drawings)
    change_parameters("omniglot.source", "letters")
    change_parameters("other_images.least_images", 6)
    own = yaml.safe_load(Path("params.yaml").read_text())["classification"]["networks"]["own"]
    change_parameters("classification.networks", {"own": own | {"smoke": None}})
    train.main(["classification", "own"])  # which leaves a word that it is not trained
    prepare_classes.main()
    manifest = read("data/manifests/classes.json")
    assert manifest["source"] == "own images"
    assert manifest["n_classes"] == {"train": 30, "validation": 6, "test": 6}
    assert (manifest["n_images"], manifest["n_copies"]) == (42 * 4, 30 * 2)
    evaluate.main("classification")
    metrics = read("metrics/classification.json")
    assert (metrics["source"], metrics["networks"]) == ("own images", {})
    # The same characters in support and query are told apart as drawings are: the images are read rightly.
    assert metrics["baselines"]["hausdorff"]["figures"]["within-alphabet"]["value"] > 0.6


def test_own_images_that_nothing_can_be_made_of_are_one_sentence(classes, synthetic_drawings):
    change_parameters("omniglot.source", "letters")
    with pytest.raises(ImageFolderError, match="'letters' is no folder"):
        prepare_classes.main()
    draw_own_images(classes / "letters", synthetic_drawings)
    change_parameters("other_images.n_way", 9)
    with pytest.raises(ParameterError, match=r"9-way needs 9 classes .* there are 6; add classes, or lower"):
        prepare_classes.main()
    change_parameters("other_images.n_way", 3)
    shutil.rmtree(classes / "letters/Synthetic_01/character01")
    (classes / "letters/Synthetic_01/character01").mkdir()
    with pytest.raises(ImageFolderError, match="character01' has no images"):
        prepare_classes.main()
    (classes / "letters/Synthetic_01/character01/x.png").write_bytes(b"no image")
    with pytest.raises(ImageFolderError, match=r"x\.png' is not a readable image"):
        prepare_classes.main()
    assert read("data/manifests/classes.json")["source"] == "synthetic"


@pytest.mark.omniglot
def test_lakes_runs_and_mnist_go_with_omniglot(tmp_path, monkeypatch, drawings, mirror):
    from oneshot.classify.protocols import omniglot_protocols
    from stages.images import read_outside

    monkeypatch.chdir(tmp_path)
    Path("data/raw").mkdir(parents=True)
    shutil.copy(mirror / "all_runs.zip", "data/raw")
    Path("data/mnist").mkdir()
    Path("data/mnist/not_fetched.txt").write_text("MNIST could not be fetched: no network\n")
    outside, not_computed = read_outside(omniglot_protocols(drawings))
    assert list(outside) == ["all_runs"]
    assert outside["all_runs"].images.shape == (800, 105, 105)
    assert not_computed == {"mnist": "MNIST could not be fetched: no network"}
    digits = mirror.parent / "mnist"
    if digits.is_dir():
        shutil.rmtree("data/mnist")
        shutil.copytree(digits, "data/mnist")
        outside, not_computed = read_outside(omniglot_protocols(drawings))
        assert list(outside) == ["all_runs", "mnist"]
        assert not_computed == {}
        episodes = outside["mnist"].episodes
        assert episodes.queries.size == 400
        assert len(outside["mnist"].images) == episodes.needed().max() + 1
        assert set(np.unique(outside["mnist"].images)) == {0, 1}
