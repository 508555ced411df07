"""Small checkouts for stages: fake scenes at every level, networks of next to no weights."""

import json
from pathlib import Path

import pytest
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.run import TEST_SPLITS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from tests.fake_scenes import fake_scenes

N_RENDERED = 30
SETS = {name: fake_scenes(N_RENDERED, 4, seed) for seed, name in enumerate(TEST_SPLITS)}


def unet() -> SiameseUNet:
    return SiameseUNet(2).initialise(torch.Generator().manual_seed(0))


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder whose rendered sets are the same at every level."""
    monkeypatch.chdir(tmp_path)
    write_manifests("published checksums")

    def read_set(folder: Path, clutter_level: int, split: str, n_scenes: int) -> Scenes:
        assert folder == Path("data/scenes")
        assert n_scenes <= N_RENDERED
        return SETS[split][:n_scenes]

    monkeypatch.setattr("oneshot.clutter.parts.read_set", read_set)
    return tmp_path


def write_manifests(checked_against: str) -> None:
    for level in CLUTTER_LEVELS:
        path = Path(f"data/manifests/scenes-{level}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"n_scenes": N_RENDERED, "checked_against": checked_against}
        path.write_text(json.dumps({"sets": dict.fromkeys(TEST_SPLITS, entry)}))
