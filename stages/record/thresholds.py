"""Print the scores below which recorded classifiers see none of the classes, by validation pairs."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from oneshot.classify.own_drawings import choose_rejection
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.protocols import VERIFICATION_SEED
from oneshot.errors import ParameterError
from oneshot.library import fetch_drawings, find_weights, list_classifiers, load_classifier
from oneshot.params import WITH_VALIDATION
from oneshot.published import read_facts
from oneshot.training.tensors import file_sha256
from stages.command import run as run_stage


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.record.thresholds", description=__doc__)
    parser.add_argument("name", nargs="*", help="of a recorded classifier (default: all)")
    parser.add_argument(
        "--drawings", type=Path, metavar="FILE", help="packed drawings (default: a checkout's, else fetched)"
    )
    arguments = parser.parse_args(words)
    drawings = fetch_drawings(arguments.drawings)
    pairs = draw_set(
        koch_source(drawings, "validation"), read_facts("koch")["n_verification_pairs"], VERIFICATION_SEED
    )
    loaded = {name: load_classifier(name) for name in arguments.name or list_classifiers()}
    seen = [name for name, (_, info) in loaded.items() if info.training["recipe"] == WITH_VALIDATION]
    if seen and arguments.name:
        raise ParameterError(f"{seen[0]} was trained on the alphabets whose pairs choose a threshold.")
    networks = {}
    for name, (scorer, _) in loaded.items():
        if name in seen:
            continue
        threshold, right = choose_rejection(scorer, drawings.numbered(), pairs)
        networks[name] = {
            "weights_sha256": file_sha256(find_weights("classification", name)),
            "score": scorer.net.score_name,
            "threshold": round(threshold, 4),
            "right": round(right, 4),
        }
    about = "the score from which on most of the validation pairs are judged rightly"
    command = "python -m stages.record.thresholds"
    described = {"about": about, "command": command, "n_pairs": len(pairs), "pairs_sha256": pairs.sha256()}
    print(json.dumps(described | {"networks": networks}, indent=1))


if __name__ == "__main__":
    run_stage(main)
