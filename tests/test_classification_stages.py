"""The stages of classification, one after another in a scratch folder: invented alphabets, own images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from oneshot.classify.nets.bases import BASES
from oneshot.classify.weights import load_scorer
from PIL import Image

from oneshot.errors import ImageFolderError, ParameterError, TrainingError
from oneshot.omniglot.drawings import Drawings, save_drawings, unpack_rows
from oneshot.params import Classifiers
from stages import baselines, evaluate_classification, prepare_classes, train_classifier
from tests.classify.test_classifiers import TinyBase
from tests.conftest import ROOT

TRAINED = ("pairs_30000_affine", "background", "own", "protonet")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> Path:
    """The parameters of scale smoke, smaller still, and drawings as the stage prepare leaves them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BASES, "tiny", TinyBase)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["scale"], values["seed"] = "smoke", 5
    values["other_images"] |= {"n_way": 3, "n_episodes": 8, "n_verification_pairs": 30}
    small = {"n_way": 3, "n_query": 1}
    for recipe in ("own", "protonet"):
        values["classification"]["recipes"][recipe] |= small
    scale = values["scales"]["smoke"]["classification"]
    scale["base"] = "tiny"
    scale["nets"] |= {
        "pairs_30000_affine": {"n_pairs": 64, "n_copies": 1, "n_epochs": 2},
        "background": {"n_pairs": 16, "n_copies": 0, "n_epochs": 1},
        "own": {"n_episodes": 2, "n_epochs": 2},
        "protonet": {"n_episodes": 2, "n_epochs": 2},
    }
    write_parameters(values)
    save_drawings(tmp_path / "data/drawings/drawings.npz", synthetic_drawings)
    return tmp_path


def write_parameters(values: dict[str, Any]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(values))


def change_parameters(place: str, value: Any) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text())
    *path, key = place.split(".")
    section = values
    for part in path:
        section = section[part]
    section[key] = value
    write_parameters(values)


def draw_own_images(folder: Path, drawings: Drawings, n_images: int = 4) -> None:
    """Some drawings as PNGs of another size, a folder each, by alphabet."""
    for k in range(len(drawings)):
        place = folder / drawings.alphabets[k] / drawings.characters[k]
        place.mkdir(parents=True)
        for drawer, ink in enumerate(unpack_rows(drawings.bits[k, :n_images])):
            Image.fromarray(255 - 255 * ink).resize((70, 70)).save(place / f"{drawer}.png")


def train_all() -> None:
    for net in Classifiers.model_fields:
        train_classifier.main(net)


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_the_stages_leave_networks_metrics_and_the_plots_figures(
    project: Path, synthetic_drawings: Drawings
) -> None:
    prepare_classes.main()
    manifest = read("data/manifests/classes.json")
    assert manifest["source"] == "synthetic"
    assert manifest["sha256"] == synthetic_drawings.sha256()
    assert manifest["n_classes"] == {"train": 18, "eval": 12, "test": 12}
    baselines.main()
    train_all()
    evaluate_classification.main()

    found = read("metrics/baselines.json")
    assert set(found["scorers"]) == {
        "cosine", "cosine_centred", "euclidean", "euclidean_centred", "hausdorff", "guess",
    }  # fmt: skip
    assert set(found["scorers"]["hausdorff"]["accuracy"]) == {"within-alphabet"}
    assert set(found["scorers"]["cosine"]["accuracy"]) == {"within-alphabet", "mixed-3-way-1-shot"}
    assert found["protocols"] == manifest["protocols"]
    assert found["not_computed"] == {}
    rising = pd.read_csv("metrics/rising_ways_baselines.csv")
    assert set(rising["scorer"]) == {"euclidean", "guess"}
    assert set(rising["n_way"][rising["characters"] == "evaluation"]) == set(range(2, 13))

    trained = read("metrics/classification.json")["scorers"]
    assert tuple(trained) == TRAINED
    for name, about in trained.items():
        assert ("verification" in about) == (name != "protonet")
        assert ("background_verification" in about) == (name == "background")
        assert set(about["accuracy"]) == {"within-alphabet", "mixed-3-way-1-shot"}
        assert about["validation"]["n"] == 24
        assert about["seed"] == 5
    assert trained["own"]["n_seen"] == 4
    assert trained["pairs_30000_affine"]["n_pairs"] == 64
    assert set(pd.read_csv("metrics/rising_ways_networks.csv")["scorer"]) == set(TRAINED)

    for net in Classifiers.model_fields:
        folder = Path("models/classification") / net
        about = read(str(folder / "about.json"))
        assert about["trained"] == (net in TRAINED)
        assert len((folder / "curve.csv").read_text().splitlines()) == (
            1 + {"pairs_30000_affine": 2, "background": 1, "own": 2, "protonet": 2}.get(net, 0)
        )
        if about["trained"]:
            _, info = load_scorer(folder / "weights.safetensors")
            assert info.training | {"trained": True} == about
    assert not any(Path("runs").rglob("*.safetensors"))


def test_a_second_training_gives_the_same_network(project: Path) -> None:
    prepare_classes.main()
    train_classifier.main("own")
    first = Path("models/classification/own/weights.safetensors").read_bytes()
    train_classifier.main("own")
    assert Path("models/classification/own/weights.safetensors").read_bytes() == first


def test_own_images_go_the_same_way(project: Path, synthetic_drawings: Drawings) -> None:
    draw_own_images(project / "letters", synthetic_drawings)
    change_parameters("omniglot.source", "letters")
    change_parameters("other_images.least_images", 6)
    prepare_classes.main()
    manifest = read("data/manifests/classes.json")
    assert manifest["source"] == "own images"
    assert manifest["n_classes"] == {"train": 30, "validation": 6, "test": 6}
    assert (manifest["n_images"], manifest["n_copies"]) == (42 * 4, 30 * 2)
    baselines.main()
    train_all()
    evaluate_classification.main()
    trained = read("metrics/classification.json")
    assert trained["source"] == "own images"
    assert tuple(trained["scorers"]) == ("pairs_30000_affine", "own", "protonet")
    assert set(trained["scorers"]["own"]["accuracy"]) == {"within-alphabet", "mixed-3-way-1-shot"}
    # The same characters in support and query are told apart as drawings are: the images are read rightly.
    hausdorff = read("metrics/baselines.json")["scorers"]["hausdorff"]["accuracy"]
    assert hausdorff["within-alphabet"]["value"] > 0.6


def test_own_images_that_nothing_can_be_made_of_are_one_sentence(
    project: Path, synthetic_drawings: Drawings
) -> None:
    change_parameters("omniglot.source", "letters")
    with pytest.raises(ImageFolderError, match="'letters' is no folder"):
        prepare_classes.main()
    draw_own_images(project / "letters", synthetic_drawings)
    change_parameters("other_images.n_way", 9)
    with pytest.raises(ParameterError, match=r"9-way needs 9 classes .* there are 6; add classes, or lower"):
        prepare_classes.main()
    change_parameters("other_images.n_way", 3)
    shutil.rmtree(project / "letters/Synthetic_01/character01")
    (project / "letters/Synthetic_01/character01").mkdir()
    with pytest.raises(ImageFolderError, match="character01' has no images"):
        prepare_classes.main()
    (project / "letters/Synthetic_01/character01/x.png").write_bytes(b"no image")
    with pytest.raises(ImageFolderError, match=r"x\.png' is not a readable image"):
        prepare_classes.main()
    assert not Path("data/manifests/classes.json").exists()


def test_an_interrupted_training_goes_on_and_ends_as_if_it_had_not_been(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_classes.main()
    train_classifier.main("protonet")
    whole = Path("models/classification/protonet/weights.safetensors").read_bytes()

    class StopsAtOnce:
        def __enter__(self) -> Any:
            return lambda: True

        def __exit__(self, *_: Any) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr("stages.train_classifier.stopping_on_signals", StopsAtOnce)
        with pytest.raises(TrainingError, match="protonet was interrupted at step 1 of 4, which is saved"):
            train_classifier.main("protonet")
    assert list(Path("runs").rglob("checkpoint.safetensors"))
    train_classifier.main("protonet")
    assert Path("models/classification/protonet/weights.safetensors").read_bytes() == whole


@pytest.mark.omniglot
def test_lakes_runs_and_mnist_go_with_omniglot(
    project: Path, monkeypatch: pytest.MonkeyPatch, drawings: Drawings, mirror: Path
) -> None:
    from oneshot.classify.protocols import omniglot_protocols
    from stages.images import read_outside

    Path("data/raw").mkdir()
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
