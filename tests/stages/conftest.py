"""Small checkouts for stages: fake scenes at every level, networks of next to no weights."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.clutter.scenes import Scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS
from oneshot.records.run import TEST_SPLITS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from stages import prepare_classes
from tests.conftest import ROOT
from tests.fake_runs import Tiny
from tests.fake_scenes import fake_scenes

N_RENDERED = 30
SETS = {name: fake_scenes(N_RENDERED, 4, seed) for seed, name in enumerate(TEST_SPLITS)}
N_COVERED = 10


@cache
def covered_scenes(clutter_level: int, split: str) -> Scenes:
    n_occluders = clutter_level // 2
    seed = COVERED_SPLITS.index(split)
    return fake_scenes(N_COVERED, clutter_level - n_occluders, seed, size=64, n_occluders=n_occluders)


def unet() -> SiameseUNet:
    """Of weights that float16 holds, as a record does: rounded only then, they could turn an answer."""
    return SiameseUNet(2).initialise(np.random.default_rng(0)).half().float()


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder whose rendered sets are the same at every level, but for those of covered targets."""
    monkeypatch.chdir(tmp_path)
    write_manifests("published checksums")

    def read_set(folder: Path, clutter_level: int, split: str, n_scenes: int) -> Scenes:
        assert folder == Path("data/scenes")
        if split in COVERED_SPLITS:
            assert n_scenes <= N_COVERED
            return covered_scenes(clutter_level, split)[:n_scenes]
        assert n_scenes <= N_RENDERED
        return SETS[split][:n_scenes]

    monkeypatch.setattr("oneshot.clutter.parts.read_set", read_set)
    return tmp_path


def write_manifests(checked_against: str) -> None:
    for level in CLUTTER_LEVELS:
        path = Path(f"data/manifests/scenes-{level}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        sizes = dict.fromkeys(TEST_SPLITS, N_RENDERED) | dict.fromkeys(COVERED_SPLITS, N_COVERED)
        sets = {name: {"n_scenes": size, "checked_against": checked_against} for name, size in sizes.items()}
        path.write_text(json.dumps({"sets": sets}))


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> Path:
    """Drawings of synthetic alphabets as the stage prepare leaves them, and a few small trials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"scale": "smoke"}
    values["other_images"] |= {"n_way": 3, "n_episodes": 8, "n_verification_pairs": 30}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    save_drawings(tmp_path / "data/drawings/drawings.npz", synthetic_drawings)
    prepare_classes.main()
    return tmp_path
