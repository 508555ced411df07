"""A built wheel, installed elsewhere, renders, segments and classifies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from oneshot.omniglot.drawings import Drawings, save_drawings
from tests.conftest import ROOT

USE = """
import sys
from pathlib import Path
import numpy as np
import torch
import oneshot
assert oneshot.__file__.startswith(sys.argv[1]), oneshot.__file__
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.protocols import find_protocols
from oneshot.classify.scoring import NetworkScorer, score_list
from oneshot.library import (
    classify, fetch_drawings, find, list_classifiers, load_classifier, load_network, load_scenes
)
from oneshot.params import OtherImages
from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import segment

drawings = fetch_drawings(Path(sys.argv[2]))
scenes = load_scenes("test-one-shot", 4, 6, drawings)
net, info = load_network()
print(segment(net, scenes, pixel_statistics(scenes)).shape, info.training["name"])
sizes = OtherImages(least_images=2, validation_share=0.2, test_share=0.2, n_way=5, n_episodes=4,
                    n_verification_pairs=4)
protocols = find_protocols(drawings, sizes)
untrained = NetworkScorer(ProtoNet().initialise(np.random.default_rng(0)))
scorer = load_classifier()[0] if list_classifiers() else untrained
print(score_list(scorer, protocols, protocols.validation).shape)
ink = drawings.unpack()
(ranking,) = classify(ink[0, 1], {"a": ink[0, 0], "b": ink[1, 0]}, reject_below="auto")
print(find(scenes.images()[0], scenes.targets()[0]).network, ranking.network)
"""


def test_an_installed_wheel_needs_no_checkout(tmp_path: Path, synthetic_drawings: Drawings) -> None:
    source, built, installed = tmp_path / "source", tmp_path / "built", tmp_path / "installed"
    source.mkdir()
    for name in ("oneshot", "stages", "recorded"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-index"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(built), str(source)]
    subprocess.run(wheel, check=True, capture_output=True)
    (found,) = built.iterdir()
    assert found.stat().st_size < 10 * 2**20
    install = [*pip, "install", *offline, "--target", str(installed), str(found)]
    subprocess.run(install, check=True, capture_output=True)
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    environment.pop("ONESHOT_RECORDED", None)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(installed), str(tmp_path / "drawings.npz")],
        env=environment, cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(6, 96, 96) siamese_unet-4",
        "(4, 5)",
        "colour_matcher-long contrastive-long",
    ]
    assert not list(ROOT.glob("oneshot/released")), "the checkout holds no second copy"
