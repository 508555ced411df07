"""Score what needs no training: nearest neighbours, the modified Hausdorff distance, guessing."""

from typing import Any

from oneshot.classify.baselines import make_baselines
from oneshot.classify.protocols import RISING_WAYS
from oneshot.classify.scoring import score_protocols, summarise, summarise_rising
from oneshot.params import Params, load_params
from stages.classified import write_metrics, write_rising
from stages.command import run
from stages.images import read_outside, read_protocols
from stages.source import read_manifest

PLOTTED = ("euclidean", "guess")  # beside networks, over rising N-way


def main() -> None:
    params = load_params()
    protocols = read_protocols(params)
    outside, not_computed = read_outside(protocols)
    names = [*outside, *protocols.lists]
    scorers: dict[str, Any] = {}
    rising: list[dict[str, Any]] = []
    for name, scorer in make_baselines(params.seed).items():
        hits = score_protocols(scorer, protocols, outside, choose_lists(name, names, params))
        scorers[name] = {"accuracy": summarise(hits)}
        rising += summarise_rising(name, hits)
    metrics = {
        "scale": params.scale_name,
        "source": protocols.source,
        "protocols": read_manifest()["protocols"],
        "not_computed": not_computed,
        "scorers": scorers,
    }
    write_metrics("baselines", metrics)
    write_rising("rising_ways_baselines", rising)


def choose_lists(scorer: str, names: list[str], params: Params) -> list[str]:
    """All but what would take long and nobody asks for."""
    if scorer == "hausdorff":
        return [name for name in names if name in params.scale.classification.hausdorff]
    return [name for name in names if scorer in PLOTTED or name not in RISING_WAYS]


if __name__ == "__main__":
    run(main)
