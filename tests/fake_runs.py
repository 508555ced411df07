"""Recorded runs of both tasks with their scores, and with weights where a test needs them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from oneshot.classify.nets.koch import Koch
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.results import SUMMARISE, save_scores
from oneshot.records.run import CURVE, SCORES, TEST_SPLITS, WEIGHTS, Run, save_index, save_run
from oneshot.training.tensors import NetworkInfo, file_sha256, save_network

SHA256 = "0" * 64
TRAININGS = {"masknet": ("proposals", "discriminator"), "siamese_unet": ("segmentation",)}


class Tiny(Koch):
    """Koch's network with next to no channels."""

    def __init__(
        self, channels: tuple[int, ...] = (2, 2, 2, 4), n_code: int = 8, normalised: bool = False
    ) -> None:
        super().__init__(channels, n_code, normalised)


def fake_scores(
    levels: Iterable[int], iou: float, n: int = 40, seed: int = 0, answers: Iterable[str] = ("answer",)
) -> dict[str, np.ndarray]:
    """Spread scores evenly around a mean; every fourth scene has a same-class distractor."""
    generator = np.random.default_rng(seed)
    scores: dict[str, np.ndarray] = {}
    for level in levels:
        for split in TEST_SPLITS:
            for answer in answers:
                values = (iou + generator.permutation(np.linspace(-0.1, 0.1, n))).astype(np.float32)
                scores[f"{level}/{answer}/{split}/iou"] = values
                scores[f"{level}/{answer}/{split}/hits"] = values > iou
            scores[f"{level}/{split}/same_class"] = np.arange(n) % 4 == 0
    return scores


def fake_answers(share: float, protocols: Iterable[str], n: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Give right answers at random; of rising N-way for 2, 3 and 4 ways."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.random((3, n) if name.startswith("rising") else n) < share).astype(np.uint8)
        for name in protocols
    }


def fake_training(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "settings": {"lr": 0.0005, "batch_size": 250}, "n_seen": 4_000_000, "n_steps": 16_000,
        "n_steps_planned": 16_000, "stopped_early": False, "best_step": 16_000, "seconds": 1500.0,
        "seconds_waiting": 15.0,
    } | changes  # fmt: skip


def fake_run(
    network: str = "siamese_unet-32", recipe: str = "fast", scores: Mapping[str, np.ndarray] | None = None,
    training: Mapping[str, Any] | None = None, **changes: Any,
) -> Run:  # fmt: skip
    """Make a whole record of a segmentation network, with the figures of some scores.

    `training` replaces fields of its trainings, `changes` other fields.
    """
    net, _, level = network.rpartition("-")
    levels = CLUTTER_LEVELS if level == "joint" else (int(level),)
    body = {
        "feature_maps": 24, "levels": levels, "pixel_mean": 10.0, "pixel_std": 50.0,
        "test_sets_as_published": {f"{one}/{split}": "yes" for one in levels for split in TEST_SPLITS},
    }  # fmt: skip
    trainings = [fake_training(name, **(training or {})) for name in TRAININGS[net]]
    figures = SUMMARISE["segmentation"](scores if scores is not None else fake_scores(levels, 0.6))
    fields = {
        "task": "segmentation", "name": f"{network}-{recipe}", "network": network, "net": net,
        "recipe": recipe, "body": body, "trainings": trainings, "figures": figures,
    }  # fmt: skip
    return Run.model_validate(shared_fields() | fields | changes)


def fake_classification_run(
    network: str = "own", net: str = "koch", scores: Mapping[str, np.ndarray] | None = None, **changes: Any
) -> Run:
    """Make a whole record of a classification network, with the figures of some scores."""
    if scores is None:
        scores = fake_answers(0.9, ("validation", "selection", "within-alphabet", "rising-ways"))
    protocols = {
        name: {"n_way": 20, "n_shot": 1, "n_episodes": 1, "n_queries": answers.size, "sha256": SHA256}
        for name, answers in scores.items()
    }
    fields = {
        "task": "classification", "name": network, "network": network, "net": net, "recipe": "own",
        "body": {"protocols": protocols, "not_computed": {}},
        "trainings": [fake_training("episodes", n_seen=20_000)],
        "figures": SUMMARISE["classification"](scores),
    }  # fmt: skip
    return Run.model_validate(shared_fields() | fields | changes)


def shared_fields() -> dict[str, Any]:
    return {
        "settings": {"feature_maps": 24}, "seed": 1803, "scale": "paper", "n_parameters": 3_223_922,
        "start_from": None, "budget_minutes": 30.0,
        "seconds": {"training": 1500.0, "waiting": 15.0, "evaluation": 60.0, "total": 1650.0},
        "device": "a GPU", "machine": "a computer", "n_processes": 1, "speed": ["bf16", "compiled"],
        "versions": {"torch": "2.11.0"}, "git_revision": "0123456789ab", "date": "2026-11-22",
        "drawings_sha256": SHA256,
        "weights": {"sha256": SHA256, "precision": "float16", "lost_points": {}},
    }  # fmt: skip


def put_run(
    recorded: Path, run: Run, scores: Mapping[str, np.ndarray], net: nn.Module, settings: dict[str, Any]
) -> Run:
    """Put a run in its place under a folder, with a network that `settings` build; give its record."""
    folder = recorded / run.task / run.name
    training = {"name": run.network, "recipe": run.recipe, "seed": run.seed, "n_seen": run.n_seen,
                "n_seen_before": run.n_seen_before}  # fmt: skip
    save_network(folder / WEIGHTS, net, NetworkInfo(run.task, run.net, settings, training), "float16")
    save_scores(folder / SCORES, scores)
    (folder / CURVE).write_text("training,step,n_seen,loss,lr,error,seconds\n")
    assert run.weights is not None
    weights = run.weights.model_copy(update={"sha256": file_sha256(folder / WEIGHTS)})
    run = run.model_copy(update={"weights": weights})
    save_run(folder, run)
    save_index(recorded)
    return run
