"""Small checkouts for stages: fake scenes at every level, networks of next to no weights."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.clutter.scenes import Scenes
from oneshot.files import find_sha256
from oneshot.manifests import write_sealed
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS, SET_SPLITS
from oneshot.records.run import TEST_SPLITS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from stages import prepare, prepare_classes
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

    def read_set(folder: Path, clutter_level: int, split: str, n_scenes: int, entries: Any) -> Scenes:
        assert folder == Path("data/scenes")
        assert [entry.seed for entry in entries] == [seed_of(clutter_level, split)]
        if split in COVERED_SPLITS:
            assert n_scenes <= N_COVERED
            return covered_scenes(clutter_level, split)[:n_scenes]
        assert n_scenes <= N_RENDERED
        return SETS[split][:n_scenes]

    monkeypatch.setattr("stages.rendered.read_set", read_set)
    return tmp_path


def write_manifests(checked_against: str, scale: str = "tiny") -> None:
    drawings = {"source": "omniglot", "sha256": "", "file_sha256": ""}
    write_sealed(Path("data/manifests/drawings.json"), drawings)
    for level in CLUTTER_LEVELS:
        path = Path(f"data/manifests/scenes-{level}.json")
        sizes = dict.fromkeys(SET_SPLITS, N_RENDERED) | dict.fromkeys(COVERED_SPLITS, N_COVERED)
        sets = {
            name: {
                "n_scenes": size, "checked_against": checked_against, "md5_of_last_image": "",
                "parts": [{"seed": seed_of(level, name), "n_scenes": size, "sha256": {}, "file_sha256": ""}],
            }
            for name, size in sizes.items()
        }  # fmt: skip
        about = {"scale": scale, "clutter_level": level, "drawings_sha256": ""}
        write_sealed(path, about | {"sets": sets})


def seed_of(clutter_level: int, split: str) -> int:
    """Seed of a set's one part in the manifests of this folder."""
    return 10 * clutter_level + [*SET_SPLITS, *COVERED_SPLITS].index(split)


def prepare_drawings(folder: Path, drawings: Drawings) -> None:
    """Leave drawings and their manifest as the stage prepare does."""
    path = folder / "data/drawings/drawings.npz"
    save_drawings(path, drawings)
    manifest = prepare.describe_drawings(drawings) | {"file_sha256": find_sha256(path, "")}
    write_sealed(folder / "data/manifests/drawings.json", manifest)


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_drawings: Drawings) -> Path:
    """Drawings of synthetic alphabets as the stage prepare leaves them, and a few small trials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"scale": "smoke"}
    values["other_images"] |= {"n_way": 3, "n_episodes": 8, "n_verification_pairs": 30}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    prepare_drawings(tmp_path, synthetic_drawings)
    prepare_classes.main()
    return tmp_path
