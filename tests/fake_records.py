"""Recorded runs of tiny networks, with their scores and released weights, written as real ones are."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from oneshot.batches import PixelStatistics
from oneshot.metrics import mean_of_hits, mean_of_values
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.records import TEST_SPLITS, Record, SceneScores, released_files, save_record, save_scores
from oneshot.weights import WeightsInfo, file_sha256, save_weights

SHA256 = "0" * 64


def fake_scores(iou: float, n: int = 40, seed: int = 0) -> dict[str, SceneScores]:
    """Scores spread evenly around a mean, in another order for each test set."""
    generator = np.random.default_rng(seed)
    spread = np.linspace(-0.1, 0.1, n)
    ious = {split: (iou + generator.permutation(spread)).astype(np.float32) for split in TEST_SPLITS}
    return {split: SceneScores(values, values > iou) for split, values in ious.items()}


def fake_record(
    level: int, recipe: str, scores: dict[str, SceneScores], *, name: str | None = None, **changes: Any
) -> Record:
    """A whole record with the scores' means; `changes` replace its other fields."""
    fields: dict[str, Any] = {
        "net": "siamese_unet", "recipe": recipe, "clutter_level": level, "name": name or str(level),
        "scale": "paper", "feature_maps": 24, "n_parameters": 3_223_922, "seed": 1803, "batch_size": 250,
        "lr": 0.0005, "matching_weight": 0.0, "lower_levels": 0.0, "n_epochs": 20, "n_jobs": 1000,
        "phases": [{"clutter_levels": [level], "n_scenes": 40_000_000}], "start_from": None,
        "n_scenes_seen": 4_000_000, "n_scenes_before": 0, "n_steps": 16_000, "n_steps_planned": 16_000,
        "complete": True, "budget_minutes": 30.0,
        "seconds": {"training": 1500.0, "waiting": 15.0, "evaluation": 60.0, "total": 1650.0},
        "scenes_per_second": 2666.7, "waiting_share": 0.01, "device": "a GPU", "n_processes": 1,
        "speed": ["bf16", "compiled"], "versions": {"torch": "2.11.0"}, "git_revision": "0123456789ab",
        "date": "2026-11-22", "machine": "a computer", "drawings_sha256": SHA256, "pixel_mean": 10.0,
        "pixel_std": 50.0,
        "test_sets_as_published": dict.fromkeys(TEST_SPLITS, "yes"),
        "weights": {"file": "weights/net.safetensors", "sha256": SHA256, "dtype": "float16",
                    "iou_lost_points": dict.fromkeys(TEST_SPLITS, 0.0)},
    }  # fmt: skip
    for split, found in scores.items():
        iou, hits = mean_of_values(found.iou), mean_of_hits(found.hits)
        fields[split] = {
            "iou": iou.value, "iou_interval": (iou.low, iou.high), "localisation": hits.value,
            "localisation_interval": (hits.low, hits.high), "n": iou.n,
        }  # fmt: skip
    return Record.model_validate(fields | changes)


def release_net(
    root: Path, level: int, recipe: str, scores: dict[str, SceneScores], *, seed: int = 0,
    name: str | None = None, **changes: Any,
) -> Record:  # fmt: skip
    """Put an untrained net of 2 feature maps, and a record of such scores, in their places under `root`."""
    name = name or str(level)
    files = released_files(Path("results"), Path("weights"), "siamese_unet", recipe, name)
    net = SiameseUNet(2).initialise(torch.Generator().manual_seed(seed))
    info = WeightsInfo("siamese_unet", 2, recipe, PixelStatistics(10.0, 50.0), 4_000_000)
    save_weights(root / files.weights, net, info, torch.float16)
    released = {
        "file": files.weights.as_posix(), "sha256": file_sha256(root / files.weights), "dtype": "float16",
        "iou_lost_points": dict.fromkeys(TEST_SPLITS, 0.0),
    }  # fmt: skip
    record = fake_record(level, recipe, scores, name=name, feature_maps=2, weights=released, **changes)
    save_scores(root / files.scores, scores)
    save_record(root / files.record, record)
    return record
