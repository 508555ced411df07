"""Score the networks of the classification half on every benchmark, each image encoded once."""

import json
from typing import Any

from oneshot.classify.classifiers import judge_pairs, judge_validation, make_scorer
from oneshot.classify.scoring import score_protocols, summarise, summarise_rising
from oneshot.classify.weights import load_scorer
from oneshot.params import Classifiers, load_params
from oneshot.training.speed import choose_speed
from stages.classified import write_metrics, write_rising
from stages.command import run
from stages.images import read_outside, read_protocols
from stages.places import net_folder
from stages.source import read_manifest

REPEATED = (
    "net", "base", "recipe", "n_parameters", "n_pairs", "n_copies", "n_seen", "n_epochs", "stopped_early",
    "seed",
)  # fmt: skip


def main() -> None:
    params = load_params()
    protocols = read_protocols(params)
    outside, not_computed = read_outside(protocols)
    speed = choose_speed(params.device, "plain")
    scorers: dict[str, Any] = {}
    rising: list[dict[str, Any]] = []
    for name in Classifiers.model_fields:
        folder = net_folder("classification", name)
        about = json.loads((folder / "about.json").read_text())
        if not about["trained"]:
            continue
        scorer = make_scorer(load_scorer(folder / "weights.safetensors")[0], speed)
        hits = score_protocols(scorer, protocols, outside, [*outside, *protocols.lists])
        scorers[name] = {
            **{key: about[key] for key in REPEATED},
            "validation": judge_validation(scorer, protocols),
            **judge_pairs(scorer, protocols, about["recipe"]),
            "accuracy": summarise(hits),
        }
        rising += summarise_rising(name, hits)
    metrics = {
        "scale": params.scale_name,
        "source": protocols.source,
        "protocols": read_manifest()["protocols"],
        "not_computed": not_computed,
        "scorers": scorers,
    }
    write_metrics("classification", metrics)
    write_rising("rising_ways_networks", rising)


if __name__ == "__main__":
    run(main)
