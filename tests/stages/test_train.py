"""The stage train, for networks of both tasks: what it leaves, and how it goes on."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.errors import TrainingError
from oneshot.manifests import seal
from oneshot.omniglot.drawings import Drawings
from oneshot.params import apply_overrides, read_values
from oneshot.segment.nets import NETS
from oneshot.training.tensors import load_network, save_network
from stages import prepare_classes, train
from stages.command import BusyError, alone_in
from tests.conftest import ROOT
from tests.fake_runs import Tiny
from tests.stages.conftest import prepare_drawings

FEW = "{n_epochs: null, phases: {segmentation: [{clutter_levels: [4], n_scenes: 16}]}}"
SMALL = (
    "scale=smoke", "seed=5", "scales.smoke.classification.base=tiny",
    f"segmentation.networks.siamese_unet-joint.smoke={FEW}",
    "segmentation.networks.masknet-joint.smoke.phases={proposals: [{clutter_levels: [4], n_scenes: 16}], "
    "discriminator: [{clutter_levels: [4], n_scenes: 16}]}",
    "classification.recipes.own.n_way=3", "classification.networks.own.smoke={n_episodes: 2, n_epochs: 2}",
    "classification.networks.background.smoke={n_pairs: 16, n_copies: 0, n_epochs: 1}",
    "other_images.n_way=3", "other_images.n_episodes=8", "other_images.n_verification_pairs=30",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> Path:
    """A folder with the parameters of scale smoke, smaller still, and prepared drawings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    change(ROOT / "params.yaml", *SMALL)
    prepare_drawings(tmp_path, synthetic_drawings)
    prepare_classes.main()
    return tmp_path


def change(path: Path, *overrides: str, edit: Callable[[Any], None] = lambda values: None) -> None:
    values = apply_overrides(read_values(path), overrides)
    edit(values)
    Path("params.yaml").write_text(yaml.safe_dump(values))


def read_about(task: str, name: str) -> Any:
    return json.loads(Path(f"models/{task}/{name}/about.json").read_text())


def read_weights(task: str, name: str) -> bytes:
    return Path(f"models/{task}/{name}/weights.safetensors").read_bytes()


def test_networks_for_segmentation_are_trained_one_from_the_other(project: Path) -> None:
    train.main(["segmentation", "siamese_unet-joint"])
    train.main(["segmentation", "masknet-joint"])
    about = read_about("segmentation", "masknet-joint")
    assert {key: about[key] for key in ("trained", "net", "recipe", "n_seen", "n_seen_before", "seed")} == {
        "trained": True, "net": "masknet", "recipe": "fast", "n_seen": 32, "n_seen_before": 16, "seed": 5,
    }  # fmt: skip
    assert [training["name"] for training in about["trainings"]] == ["proposals", "discriminator"]
    assert about["settings"]["feature_maps"] == 2
    net, info = load_network(Path("models/segmentation/masknet-joint/weights.safetensors"), NETS)
    assert about["n_parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert info.training["n_seen_before"] == 16
    lines = Path("models/segmentation/masknet-joint/curve.csv").read_text().splitlines()
    assert lines[0] == "training,step,n_seen,loss,lr,error"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["proposals", "2", "16"], ["discriminator", "1", "16"]
    ]  # fmt: skip
    assert list(Path("runs").rglob("*.safetensors")) == []


def test_a_network_for_classification_is_trained_the_same_again(project: Path) -> None:
    train.main(["classification", "own"])
    about, weights = read_about("classification", "own"), read_weights("classification", "own")
    assert (about["net"], about["n_seen"], about["settings"]["base"]) == ("tiny", 4, "tiny")
    train.main(["classification", "own"])
    assert (read_about("classification", "own"), read_weights("classification", "own")) == (about, weights)


def test_two_processes_do_not_train_in_one_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "fingerprint", lambda task, resolved: "same")
    with (
        alone_in(Path("runs/train-own/same")),
        pytest.raises(BusyError, match="another process is training in runs/train-own/same"),
    ):
        train.main(["classification", "own"])
    assert not Path("models").exists()
    refused = []

    def save(*arguments: Any) -> None:
        with pytest.raises(BusyError), alone_in(Path("runs/train-own/same")):
            pass
        refused.append(True)
        save_network(*arguments)

    monkeypatch.setattr("oneshot.training.tensors.save_network", save)
    train.main(["classification", "own"])
    assert refused  # until the last file is written
    assert read_about("classification", "own")["trained"]


def test_a_training_whose_result_cannot_be_written_goes_on_from_its_end(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_provenance", refuse)
        with pytest.raises(OSError, match="No space left"):
            train.main(["classification", "own"])
    (checkpoint,) = Path("runs").rglob("*.safetensors")
    assert load_network(Path("models/classification/own/weights.safetensors"), CLASSIFIERS)
    train.main(["classification", "own"])
    assert read_about("classification", "own")["trained"]
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    ("task", "name", "training"),
    [("segmentation", "siamese_unet-joint", "segmentation"), ("classification", "own", "episodes")],
)
def test_an_interrupted_training_goes_on_and_ends_as_if_it_had_not_been(
    task: str, name: str, training: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.main([task, name])
    whole = read_weights(task, name)

    class StopsAtOnce:
        def __enter__(self) -> Any:
            return lambda: True

        def __exit__(self, *_: Any) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(train, "stopping_on_signals", StopsAtOnce)
        with pytest.raises(TrainingError, match=rf"{name} was interrupted at step 1 of \d \({training}\)"):
            train.main([task, name])
    assert list(Path("runs").rglob(f"{training}.safetensors"))
    train.main([task, name])
    assert read_weights(task, name) == whole


def test_what_is_not_trained_leaves_a_word_and_does_not_load_torch(project: Path) -> None:
    code = (
        "import sys; from stages.train import main\n"
        "main(['segmentation', 'siamese_unet-8']); main(['classification', 'pairs_90000'])\n"
        "assert not {'torch', 'numba', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    for task, name in (("segmentation", "siamese_unet-8"), ("classification", "pairs_90000")):
        assert read_about(task, name) == seal(
            {"task": task, "name": name, "scale": "smoke", "trained": False}
        )
        assert not Path(f"models/{task}/{name}/weights.safetensors").exists()


def test_own_images_have_no_drawers_to_split_by(project: Path) -> None:
    change(Path("params.yaml"), "omniglot.source=elsewhere")
    train.main(["classification", "background"])
    assert not read_about("classification", "background")["trained"]


def test_a_masknet_without_a_network_to_start_from_is_one_sentence(project: Path) -> None:
    with pytest.raises(TrainingError, match="masknet-joint starts from siamese_unet-joint, which is not"):
        train.main(["segmentation", "masknet-joint"])
