"""Evaluate the released networks of the classification half again, and compare with what was recorded."""

from dataclasses import asdict
from typing import Any

from oneshot.params import Params, load_params
from oneshot.records.classification_run import ClassifierRecord, read_classifier_records, released_files
from stages.classified import write_metrics
from stages.command import run
from stages.places import RESULTS, WEIGHTS
from stages.source import find_source


def main() -> None:
    params = load_params()
    source = find_source(params)
    records = read_classifier_records(RESULTS)
    nets: dict[str, Any] = {}
    if records and source == "omniglot":
        nets = reevaluate(params, records)
    else:
        print("no network is released yet" if not records else f"{source} says nothing of released networks")
    write_metrics("reclassified", {"scale": params.scale_name, "source": source, "nets": nets})


def reevaluate(params: Params, records: list[ClassifierRecord]) -> dict[str, Any]:
    """By record: shares of right answers on the protocols of this scale, and their agreement with the record.

    Raises:
        WeightsError: weights are missing or not those of their record.
        RecordError: a record contradicts its own answers.
    """
    # Imported here, since torch takes seconds to load, which a project without records need not wait for.
    from oneshot.classify.classifiers import make_scorer
    from oneshot.classify.scoring import summarise_hits
    from oneshot.records.classification_answers import check_answers, compare_answers, load_answers
    from oneshot.records.classification_release import answer, draw_once, pairs_to_judge
    from oneshot.training.speed import choose_speed
    from stages.images import read_outside, read_protocols

    protocols = draw_once(read_protocols(params))
    outside, _ = read_outside(protocols)
    speed = choose_speed(params.device, "plain")
    nets = {}
    for record in records:
        files = released_files(RESULTS, WEIGHTS, record.name)
        recorded = load_answers(files.scores)
        check_answers(record, recorded, str(files.record))
        scorer = make_scorer(load_released(record), speed)
        pairs = pairs_to_judge(protocols, record.recipe)
        entry: dict[str, Any] = {"accuracy": {}}
        here = answer(scorer, protocols, outside, pairs, params.scale.classification.reevaluate)
        for name, answers in here.items():
            found = summarise_hits(answers.ravel().astype(bool))
            if name in recorded:  # MNIST may not have been at hand on the machine that recorded
                found["agreement"] = asdict(compare_answers(answers, recorded[name]))
            if name in pairs:
                entry[name] = found
            else:
                entry["accuracy"][name] = found
        nets[record.name] = entry
    return nets


def load_released(record: ClassifierRecord) -> Any:
    """The network of a record, proved by its checksum."""
    from oneshot.classify.weights import load_scorer
    from oneshot.training.tensors import WeightsError, file_sha256

    files = released_files(RESULTS, WEIGHTS, record.name)
    if not files.weights.is_file():
        raise WeightsError(
            f"the weights of {files.record} are missing: fetch them by git checkout -- weights."
        )
    if file_sha256(files.weights) != record.weights.sha256:
        raise WeightsError(
            f"{files.weights} does not have the SHA-256 in {files.record}: take both from the same commit."
        )
    return load_scorer(files.weights)[0]


if __name__ == "__main__":
    run(main)
