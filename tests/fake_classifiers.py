"""Recorded runs of the classification half, with answers and weights of tiny nets, written like real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from oneshot.classify.weights import save_scorer
from oneshot.records.classification_answers import save_answers, summarise_answers
from oneshot.records.classification_run import (
    VALIDATION,
    VERIFICATION,
    ClassifierRecord,
    published_sums,
    released_files,
    run_name,
    save_record,
)

from oneshot.classify.nets.koch import KochBase, SiamesePair
from oneshot.classify.protocols import RISING_WAYS
from oneshot.published import read_facts
from oneshot.training.tensors import file_sha256

N_EPISODES, N_WAY = 8, 20


class Tiny(KochBase):
    """A base of a few weights."""

    def __init__(self, channels: tuple[int, ...] = (2, 2, 2, 4), n_code: int = 8) -> None:
        super().__init__(channels, n_code)


def fake_answers(share: float = 0.8, seed: int = 0) -> dict[str, np.ndarray]:
    """Of all published benchmarks but MNIST, a few episodes each."""
    generator = np.random.default_rng(seed)
    names = [name for name in published_sums() if name != "mnist" and not name.startswith("background")]
    shapes = dict.fromkeys(names, (N_EPISODES, N_WAY))
    shapes |= dict.fromkeys(RISING_WAYS, (3, 10)) | {VERIFICATION: (50,)}
    return {name: (generator.random(shape) < share).astype(np.uint8) for name, shape in shapes.items()}


def fake_protocols(answers: dict[str, np.ndarray]) -> dict[str, Any]:
    sums = published_sums()
    described = {}
    for name, found in answers.items():
        if name == VERIFICATION:
            described[name] = {"n_pairs": found.size, "sha256": sums[name]}
            continue
        described[name] = {
            "n_way": [2, 4] if name in RISING_WAYS else N_WAY, "n_shot": 1, "n_episodes": len(found),
            "n_queries": found.size, "sha256": sums[name],
        }  # fmt: skip
    return described


def fake_record(
    answers: dict[str, np.ndarray], net_name: str = "own", seed: int = 1803, **changes: Any
) -> ClassifierRecord:
    """A whole record with the answers' means; `changes` replaces fields."""
    name = run_name(net_name, "koch", seed, 1803)
    fields: dict[str, Any] = {
        "net_name": net_name, "name": name, "net": "siamese_pair", "base": "koch", "recipe": "own",
        "numbers": {"lr": 0.001, "n_way": 20, "turned": True, "lrs": [0.1, 0.2]}, "seed": seed,
        "scale": "paper", "n_parameters": 38_951_745, "n_pairs": None, "n_copies": None, "n_episodes": 500,
        "n_epochs_asked": 100, "n_seen": 20_000, "n_epochs": 40.0, "n_steps": 20_000,
        "n_steps_planned": 20_000, "stopped_early": False, "best_step": 19_500, "budget_minutes": 9.0,
        "seconds": {"training": 450.0, "evaluation": 30.0, "total": 500.0}, "device": "a GPU",
        "machine": "a computer", "speed": ["bf16", "compiled"], "versions": {"torch": "2.11.0"},
        "git_revision": "0123456789ab", "date": "2026-11-22",
        "drawings_sha256": read_facts("omniglot")["drawings"]["sha256"],
        "protocols": fake_protocols(answers), "not_computed": {"mnist": "not at hand"},
        "weights": {"file": released_files(Path("results"), Path("weights"), name).weights.as_posix(),
                    "sha256": "0" * 64, "precision": "int4", "lost_points": {VALIDATION: 0.1}},
    }  # fmt: skip
    return ClassifierRecord.model_validate(fields | summarise_answers(answers, name) | changes)


def release_classifier(root: Path, answers: dict[str, np.ndarray], **changes: Any) -> ClassifierRecord:
    """Put an untrained tiny net, which must be registered as a base, and such a record in their places."""
    record = fake_record(answers, **changes)
    files = released_files(root / "results", root / "weights", record.name)
    save_scorer(files.weights, SiamesePair(Tiny()).initialise(torch.Generator().manual_seed(0)))
    weights = record.weights.model_copy(update={"sha256": file_sha256(files.weights)})
    record = record.model_copy(update={"weights": weights})
    save_answers(files.scores, answers)
    save_record(files.record, record)
    return record
