"""Evaluate the trained networks on the test sets of one clutter level."""

import argparse
import json
from typing import Any

import numpy as np

from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS
from oneshot.segment.metrics import has_same_class_distractor, iou_of_all_ink
from oneshot.segment.weights import load_weights
from oneshot.training.speed import choose_speed
from stages.command import run
from stages.places import net_folder
from stages.scores import write_scores
from stages.test_scenes import read_test_sets, score_network, summarise

KINDS = {"siamese_unet": "", "masknet": "masknet_"}  # and what their names begin with in the metrics


def main(clutter_level: int) -> None:
    params = load_params()
    size = params.scale.evaluate
    sets, statistics = read_test_sets(clutter_level, size)
    speed = choose_speed(params.device, "plain")  # what a recorded run is evaluated with, too
    metrics: dict[str, Any] = {
        "scale": params.scale_name,
        "clutter_level": clutter_level,
        "all_ink": {
            split: summarise(iou_of_all_ink(scenes), None, has_same_class_distractor(scenes))
            for split, scenes in ((split, whole[: size.n_scenes]) for split, whole in sets.items())
        },
    }
    arrays: dict[str, np.ndarray] = {}
    for kind, prefix in KINDS.items():
        for net in (f"level_{clutter_level}", "joint"):
            folder = net_folder(kind, net)
            about = json.loads((folder / "about.json").read_text())
            if not about["trained"]:
                continue
            network, _ = load_weights(folder / "weights.safetensors")
            key = f"{prefix}{net}"
            means, of_net = score_network(network, sets, statistics, size=size, speed=speed, key=key)
            metrics[key] = describe_net(about) | {"answers": means}
            arrays |= of_net
    write_scores(f"segmentation-{clutter_level}", metrics, arrays)


def describe_net(about: dict[str, Any]) -> dict[str, Any]:
    """What the metrics repeat of a training."""
    described = {key: about[key] for key in ("recipe", "feature_maps", "n_scenes_seen", "seed")}
    phases = [phase for training in about["training"].values() for phase in training["phases"]]
    levels = sorted({level for phase in phases for level in phase["clutter_levels"]})
    described["n_scenes_before"] = about.get("n_scenes_before", 0)
    return described | {"trained_on": ", ".join(map(str, levels))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clutter_level", type=int, choices=CLUTTER_LEVELS)
    arguments = parser.parse_args()
    run(lambda: main(arguments.clutter_level))
