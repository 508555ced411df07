"""Evaluate the trained networks on the test sets of one clutter level."""

import argparse
import json
from typing import Any

import numpy as np

from oneshot.metrics import has_same_class_distractor, iou_of_all_ink
from oneshot.params import load_params
from oneshot.scenes import CLUTTER_LEVELS
from oneshot.speed import choose_speed
from oneshot.weights import load_weights
from stages.command import run
from stages.places import net_folder
from stages.scores import write_scores
from stages.test_sets import read_test_sets, score_network, summarise


def main(clutter_level: int) -> None:
    params = load_params()
    size = params.scale.evaluate
    sets, statistics = read_test_sets(clutter_level, size.n_scenes)
    speed = choose_speed(params.device, "plain")  # what a recorded run is evaluated with, too
    metrics: dict[str, Any] = {
        "scale": params.scale_name,
        "clutter_level": clutter_level,
        "all_ink": {
            split: summarise(iou_of_all_ink(scenes), None, has_same_class_distractor(scenes))
            for split, scenes in sets.items()
        },
    }
    arrays: dict[str, np.ndarray] = {}
    for net in (f"level_{clutter_level}", "joint"):
        about = json.loads((net_folder(net) / "about.json").read_text())
        if not about["trained"]:
            continue
        network, _ = load_weights(net_folder(net) / "weights.safetensors")
        metrics[net] = {key: about[key] for key in ("recipe", "feature_maps", "n_scenes_seen", "seed")}
        levels = {level for phase in about["phases"] for level in phase["clutter_levels"]}
        metrics[net]["trained_on"] = ", ".join(str(level) for level in sorted(levels))
        means, of_net = score_network(
            network, sets, statistics, batch_size=size.batch_size, speed=speed, key=net
        )
        metrics[net]["answers"] = means
        arrays |= of_net
    write_scores(f"segmentation-{clutter_level}", metrics, arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clutter_level", type=int, choices=CLUTTER_LEVELS)
    arguments = parser.parse_args()
    run(lambda: main(arguments.clutter_level))
