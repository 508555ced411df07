"""A recorded classifier and its answers: what they say, where they lie, and when they are refused."""

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.protocols import find_protocols
from oneshot.omniglot.drawings import Drawings
from oneshot.params import Classifiers, load_params
from oneshot.records.classification_answers import (
    check_answers,
    compare_answers,
    load_answers,
    save_answers,
    summarise_answers,
)
from oneshot.records.classification_release import describe_answered, pairs_to_judge
from oneshot.records.classification_run import (
    ClassifierRecord,
    NetName,
    check_published,
    flat_files,
    load_record,
    published_sums,
    read_classifier_records,
    released_files,
    run_name,
    save_record,
)
from oneshot.records.run import RecordError, read_records
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_classifiers import fake_answers, fake_record

ANSWERS = fake_answers()
RECORD = fake_record(ANSWERS)


def place(results: Path, record: ClassifierRecord = RECORD) -> Path:
    return released_files(results, results, record.name).record


# ----------------------------------------------------------------------------------------------- the record


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_record(tmp_path / "a.json", RECORD)
    assert load_record(tmp_path / "a.json") == RECORD
    numbers = json.loads((tmp_path / "a.json").read_text())["numbers"]
    assert numbers == {"lr": 0.001, "n_way": 20, "turned": True, "lrs": [0.1, 0.2]}


def test_records_have_a_name_for_every_network_that_can_be_trained() -> None:
    assert get_args(NetName) == tuple(Classifiers.model_fields)


def test_runs_of_other_bases_and_seeds_are_told_apart() -> None:
    assert run_name("own", "koch", 1803, 1803) == "own"
    assert run_name("own", "koch_small", 1803, 1803) == "own-koch_small"
    assert run_name("own", "koch", 7, 1803) == "own-seed-7"
    assert run_name("pairs_30000", "koch_small", 7, 1803) == "pairs_30000-koch_small-seed-7"
    assert run_name("protonet", None, 1803, 1803) == "protonet"


def test_files_lie_side_by_side_or_in_their_places() -> None:
    flat = flat_files(Path("out"), "own")
    assert (flat.record.name, flat.weights.name) == (
        "classifier-own.json",
        "classifier-own.weights.safetensors",
    )
    places = released_files(Path("results"), Path("weights"), "own-seed-7")
    assert places.record == Path("results/classification/own-seed-7.json")
    assert places.curve == Path("results/classification/own-seed-7.curve.csv")
    assert places.scores == Path("results/classification/own-seed-7.scores.safetensors")
    assert places.weights == Path("weights/classification/own-seed-7.safetensors")


def test_all_records_are_read_and_none_by_the_other_half(tmp_path: Path) -> None:
    assert read_classifier_records(tmp_path) == []
    records = [fake_record(ANSWERS, seed=seed) for seed in (7, 1803)]
    for record in records:
        save_record(place(tmp_path, record), record)
    assert [record.name for record in read_classifier_records(tmp_path)] == ["own-seed-7", "own"]
    assert read_records(tmp_path) == []


def test_a_record_that_was_moved_is_refused(tmp_path: Path) -> None:
    save_record(tmp_path / "classification/background.json", RECORD)
    with pytest.raises(RecordError, match=r"background\.json is the record of own: it was moved"):
        read_classifier_records(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"n_steps": None}, "n_steps is None"),
        ({"surplus": 1}, "surplus is not a known parameter"),
        ({"accuracy": {"within-alphabet": {"value": 0.5}}}, "accuracy.within-alphabet.low is missing"),
        ({"net_name": "ownest"}, "net_name is 'ownest'"),
        ({"name": "background"}, "calls itself 'background', but is of own or own-seed-1803"),
        ({"seed": 8, "name": "own-seed-7"}, "calls itself 'own-seed-7', but is of own or own-seed-8"),
    ],
)
def test_a_record_that_cannot_be_is_refused(change: dict, complaint: str, tmp_path: Path) -> None:
    path = place(tmp_path)
    path.parent.mkdir()
    path.write_text(json.dumps(RECORD.model_dump(mode="json") | change))
    with pytest.raises(RecordError, match=re.escape(complaint)):
        read_classifier_records(tmp_path)


def test_a_cut_off_or_absent_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(RecordError, match=r"there is no record .*stages.record_classifier makes one"):
        load_record(path)
    save_record(path, RECORD)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecordError, match="is not a whole record"):
        load_record(path)


def test_a_run_is_complete_when_its_steps_are_done_or_its_patience_is() -> None:
    assert RECORD.complete
    assert not RECORD.model_copy(update={"n_steps": 5}).complete
    assert RECORD.model_copy(update={"n_steps": 5, "stopped_early": True}).complete


# ------------------------------------------------------------------------------------------ what may be kept


def test_only_omniglots_own_drawings_and_lists_may_be_kept() -> None:
    check_published(RECORD, "own.json")
    other = fake_record(ANSWERS, drawings_sha256="0" * 64)
    with pytest.raises(RecordError, match=r"own\.json is of drawings with the SHA-256 0000.* no result to"):
        check_published(other, "own.json")
    protocols = RECORD.model_dump(mode="json")["protocols"]
    protocols["mixed-20-way-1-shot"]["sha256"] = "0" * 64
    with pytest.raises(RecordError, match=r"by other lists than the published .*\(mixed-20-way-1-shot\)"):
        check_published(fake_record(ANSWERS, protocols=protocols), "own.json")


@pytest.mark.parametrize("name", ["validation", "verification", "within-alphabet-10000", "rising-ways"])
def test_a_record_without_a_protocol_that_needs_drawings_alone_is_refused(name: str) -> None:
    fewer = {key: about for key, about in RECORD.model_dump(mode="json")["protocols"].items() if key != name}
    with pytest.raises(RecordError, match=f"lacks protocols that its drawings suffice for: {name}"):
        check_published(fake_record(ANSWERS, protocols=fewer), "own.json")
    fewer = {key: about for key, about in fewer.items() if key != "all_runs"} | {
        name: RECORD.model_dump(mode="json")["protocols"][name]
    }
    check_published(fake_record(ANSWERS, protocols=fewer), "own.json")  # Lake's runs may be missing


# ---------------------------------------------------------------------------------------------- the answers


def test_means_are_those_of_the_answers() -> None:
    summary = summarise_answers(ANSWERS, "own")
    assert set(summary["accuracy"]) == {
        "all_runs", "selection", "within-alphabet", "within-alphabet-10000", "mixed-5-way-1-shot",
        "mixed-5-way-5-shot",
        "mixed-20-way-1-shot", "mixed-20-way-5-shot",
    }  # fmt: skip
    for name, share in summary["accuracy"].items():
        assert share["value"] == ANSWERS[name].mean()
        assert share["low"] < share["value"] < share["high"]
        assert share["n"] == 160
    assert summary["validation"]["value"] == ANSWERS["validation"].mean()
    assert (summary["verification"]["value"], summary["verification"]["n"]) == (
        ANSWERS["verification"].mean(),
        50,
    )
    assert summary["background_verification"] is None
    rows = summary["rising_ways"]
    assert [(row["characters"], row["n_way"]) for row in rows] == [
        (characters, n_way) for characters in ("evaluation", "training") for n_way in (2, 3, 4)
    ]
    assert rows[1]["percent"] == pytest.approx(100 * ANSWERS["rising-ways"][1].mean())
    assert (rows[4]["scorer"], rows[4]["n"]) == ("own", 10)
    assert rows[4]["percent"] == pytest.approx(100 * ANSWERS["rising-ways-training"][1].mean())


def test_answers_of_the_background_protocol_are_its_own() -> None:
    more = {f"background-verification/{split}": np.ones(4, np.uint8) for split in ("validation", "test")}
    summary = summarise_answers({**ANSWERS, **more}, "background")
    assert set(summary["background_verification"]) == {"validation", "test"}
    assert summary["background_verification"]["test"]["value"] == 1
    assert not any(name.startswith("background") for name in summary["accuracy"])


def test_answers_come_back_as_they_were_saved(tmp_path: Path) -> None:
    save_answers(tmp_path / "a", ANSWERS)
    found = load_answers(tmp_path / "a")
    assert found.keys() == ANSWERS.keys()
    assert all(np.array_equal(found[name], ANSWERS[name]) for name in found)
    assert found["rising-ways"].dtype == np.uint8
    with pytest.raises(RecordError, match=r"the answers .* are missing"):
        load_answers(tmp_path / "b")
    flip_bit(tmp_path / "a", 2)
    with pytest.raises(RecordError, match="is damaged or holds no answers"):
        load_answers(tmp_path / "a")


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_one_other_answer_is_noticed(name: str) -> None:
    check_answers(RECORD, ANSWERS, "own.json")
    changed = ANSWERS[name].copy()
    changed.flat[3] ^= 1
    with pytest.raises(RecordError, match=r"own\.json says other means of \w+ than its answers have"):
        check_answers(RECORD, {**ANSWERS, name: changed}, "own.json")


def test_other_protocols_or_more_queries_are_noticed() -> None:
    fewer = {name: found for name, found in ANSWERS.items() if name != "validation"}
    with pytest.raises(RecordError, match=r"are of different protocols \(validation\)"):
        check_answers(RECORD, fewer, "own.json")
    longer = {**ANSWERS, "validation": np.ones((9, 20), np.uint8)}
    with pytest.raises(RecordError, match="speaks of 160 answers of validation, its file of answers has 180"):
        check_answers(RECORD, longer, "own.json")


# -------------------------------------------------------------------------------------------- the agreement


@pytest.mark.parametrize(
    ("n", "n_lost", "n_gained", "agrees"),
    [
        (400, 0, 0, True),
        (400, 1, 0, True),  # a single answer may always turn
        (400, 1, 1, False),
        (2000, 2, 2, True),
        (2000, 3, 2, False),
        (10_000, 10, 10, True),
        (10_000, 11, 10, False),
        (10_000, 10, 0, True),
        (10_000, 11, 0, False),
        (10_000, 0, 11, False),
    ],
)
def test_answers_agree_but_for_a_few(n: int, n_lost: int, n_gained: int, agrees: bool) -> None:
    recorded = np.repeat([1, 0], n // 2).astype(np.uint8)
    here = recorded.copy()
    here[:n_lost] = 0
    here[n - n_gained :] = 1
    found = compare_answers(here, recorded.reshape(-1, 10))
    assert found.agrees == agrees
    assert (found.recorded, found.n) == (0.5, n)
    assert found.share_of_equal_answers == pytest.approx(1 - (n_lost + n_gained) / n)


def test_answers_to_other_queries_cannot_be_compared() -> None:
    with pytest.raises(RecordError, match="3 answers cannot be compared with 4 recorded ones"):
        compare_answers(np.ones(3, np.uint8), np.ones(4, np.uint8))


# ----------------------------------------------------------------------------------------- on real Omniglot


@pytest.mark.omniglot
def test_what_is_drawn_from_omniglot_has_the_published_sums(drawings: Drawings) -> None:
    protocols = find_protocols(drawings, load_params(ROOT / "params.yaml").other_images)
    described = describe_answered(protocols, {}, pairs_to_judge(protocols, "background"))
    sums = published_sums()
    assert {name: about["sha256"] for name, about in described.items()} == {
        name: sums[name] for name in sums.keys() - {"mnist", "all_runs"}
    }


@pytest.mark.omniglot
def test_lakes_runs_have_the_published_sum(mirror: Path) -> None:
    assert read_all_runs(mirror / "all_runs.zip")[1].sha256() == published_sums()["all_runs"]
