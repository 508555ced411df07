"""Recorded runs of tiny networks, with their scores and released weights, written as real ones are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from oneshot.records.scene_scores import SceneScores, save_scores
from oneshot.segment.weights import WeightsInfo, save_weights

from oneshot.records.release import summarise
from oneshot.records.run import TEST_SPLITS, Record, list_levels, released_files, save_record
from oneshot.segment.answers import OWN
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import Evaluation
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import file_sha256

SHA256 = "0" * 64
STEPS = {"siamese_unet": ("segmentation",), "masknet": ("proposals", "discriminator")}

Scores = Mapping[str, SceneScores]  # by test set


def fake_scores(iou: float, n: int = 40, seed: int = 0) -> dict[str, SceneScores]:
    """Scores spread evenly around a mean, in another order for each test set."""
    generator = np.random.default_rng(seed)
    spread = np.linspace(-0.1, 0.1, n)
    ious = {split: (iou + generator.permutation(spread)).astype(np.float32) for split in TEST_SPLITS}
    return {split: SceneScores(values, values > iou) for split, values in ious.items()}


def with_distractors(n: int) -> np.ndarray:
    """Which of n fake scenes have a same-class distractor: every fourth."""
    return np.arange(n) % 4 == 0


def spread_scores(
    level: int | str, scores: Scores, more: Mapping[str, Scores]
) -> dict[str, dict[str, dict[str, SceneScores]]]:
    """The same scores at every level of a network: its own answer's, and those of more answers."""
    answers = {name: dict(found) for name, found in {OWN: scores, **more}.items()}
    return {str(one): answers for one in list_levels(level)}


def fake_training(step: str, level: int | str, **changes: Any) -> dict[str, Any]:
    return {
        "name": step, "batch_size": 250, "lr": 0.0005, "matching_weight": 0.0, "n_epochs": 20,
        "phases": [{"clutter_levels": list_levels(level), "n_scenes": 40_000_000}],
        "n_scenes_seen": 4_000_000, "n_steps": 16_000, "n_steps_planned": 16_000,
        "seconds": 1500.0, "seconds_waiting": 15.0,
    } | changes  # fmt: skip


def fake_record(
    level: int | str, recipe: str, scores: Scores, *, name: str | None = None, net: str = "siamese_unet",
    more: Mapping[str, Scores] | None = None, training: Mapping[str, Any] | None = None, **changes: Any,
) -> Record:  # fmt: skip
    """A whole record with the scores' means at every level of the network.

    more: scores of further answers; `training` replaces fields of its trainings, `changes` all other fields.
    """
    steps = [fake_training(step, level, **(training or {})) for step in STEPS[net]]
    seconds = {part: sum(step[key] for step in steps)
               for part, key in {"training": "seconds", "waiting": "seconds_waiting"}.items()}  # fmt: skip
    fields: dict[str, Any] = {
        "net": net, "recipe": recipe, "clutter_level": level, "name": name or str(level),
        "scale": "paper", "feature_maps": 24, "n_parameters": 3_223_922, "seed": 1803, "n_jobs": 1000,
        "lower_levels": 0.0, "proposals_share": None, "training": steps, "start_from": None,
        "n_scenes_before": 0,
        "budget_minutes": 30.0, "seconds": seconds | {"evaluation": 60.0, "total": 1650.0},
        "device": "a GPU", "n_processes": 1,
        "speed": ["bf16", "compiled"], "versions": {"torch": "2.11.0"}, "git_revision": "0123456789ab",
        "date": "2026-11-22", "machine": "a computer", "drawings_sha256": SHA256, "pixel_mean": 10.0,
        "pixel_std": 50.0,
        "test_sets_as_published": verdicts(level, "yes"),
        "weights": {"file": "weights/net.safetensors", "sha256": SHA256, "dtype": "float16",
                    "iou_lost_points": {str(one): dict.fromkeys(TEST_SPLITS, 0.0)
                                        for one in list_levels(level)}},
    }  # fmt: skip
    fields["scores"] = {
        one: {
            answer: {
                split: summarise(Evaluation(found.iou, found.hits), with_distractors(len(found.iou)))
                for split, found in by_split.items()
            }
            for answer, by_split in answers.items()
        }
        for one, answers in spread_scores(level, scores, more or {}).items()
    }
    return Record.model_validate(fields | changes)


def verdicts(level: int | str, verdict: str) -> dict[str, dict[str, str]]:
    return {str(one): dict.fromkeys(TEST_SPLITS, verdict) for one in list_levels(level)}


def release_net(
    root: Path, level: int | str, recipe: str, scores: Scores, *, seed: int = 0,
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
        "iou_lost_points": {str(one): dict.fromkeys(TEST_SPLITS, 0.0) for one in list_levels(level)},
    }  # fmt: skip
    record = fake_record(level, recipe, scores, name=name, feature_maps=2, weights=released, **changes)
    save_scores(root / files.scores, spread_scores(level, scores, {}))
    save_record(root / files.record, record)
    return record
