"""A recorded run against the published facts: what may be kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oneshot.published import read_facts
from oneshot.records.check import check_curve, check_published, check_run
from oneshot.records.run import RecordError
from tests.conftest import ROOT
from tests.fake_runs import SHA256, fake_classification_run, fake_run, fake_scores

DRAWINGS = read_facts("omniglot")["drawings"]["sha256"]


def published_protocols() -> dict[str, Any]:
    facts = read_facts("episodes")
    sums = {name: about["sha256"] for name, about in facts["benchmarks"].items()}
    sums["validation"] = sums.pop("within-alphabet-validation")
    sums["selection"] = sums.pop("within-alphabet-validation-10000")
    episodes = {"n_way": 20, "n_shot": 1, "n_episodes": 20, "n_queries": 400}
    pairs = {"verification": {"n_pairs": 10_000, "sha256": facts["pairs"]["verification"]["sha256"]}}
    sums["mnist"] = facts["mnist"]["picked_sha256"]
    return {name: episodes | {"sha256": sha256} for name, sha256 in sums.items()} | pairs


def own(protocols: dict[str, Any], **more: Any) -> Any:
    body = {"protocols": protocols, "not_computed": more.pop("not_computed", {})}
    return fake_classification_run(drawings_sha256=DRAWINGS, body=body, **more)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("recorded/*/*/run.json")), ids=lambda path: path.parent.name
)
def test_what_the_project_has_recorded_is_whole(path: Any) -> None:
    assert check_run(path.parent).complete


def test_published_scenes_and_lists_are_kept() -> None:
    check_published(fake_run(drawings_sha256=DRAWINGS, scores=fake_scores((32,), 0.6, 10_000)), "run")
    check_published(own(published_protocols()), "run")
    alone = published_protocols()
    del alone["verification"]
    check_published(own(alone, not_computed={"verification": "it judges no pairs"}), "run")


def test_lists_that_were_added_later_are_missing_in_older_records_alone() -> None:
    facts = read_facts("episodes")["benchmarks"]
    protocols = published_protocols()
    added = [name for name, about in facts.items() if "added" in about]
    for name in added:
        del protocols[name]
    check_published(own(protocols, date=facts[added[0]]["added"]), "run")
    with pytest.raises(RecordError, match=f"lacks protocols .*: .*{added[0]}"):
        check_published(own(protocols, date="2027-01-01"), "run")


def test_networks_that_trained_on_the_validation_alphabets_need_no_trials_of_them() -> None:
    protocols = published_protocols()
    names = ("within-alphabet", "within-alphabet-10000", "rising-ways-training", "verification", "mnist")
    kept = {name: protocols[name] for name in names}
    check_published(own(kept, recipe="contrastive_40"), "run")
    with pytest.raises(RecordError, match=r"lacks protocols .*: .*mixed-5-way-1-shot.*selection, validation"):
        check_published(own(kept), "run")
    with pytest.raises(RecordError, match=r"run was scored on alphabets that it was trained on: selection\."):
        check_published(own(kept | {"selection": protocols["selection"]}, recipe="contrastive_40"), "run")
    del kept["within-alphabet-10000"]
    with pytest.raises(
        RecordError, match=r"lacks protocols that its drawings suffice for: within-alphabet-10000\."
    ):
        check_published(own(kept, recipe="contrastive_40"), "run")


def test_other_drawings_are_refused() -> None:
    with pytest.raises(RecordError, match=f"run is of drawings with the SHA-256 {SHA256}, not of Omniglot's"):
        check_published(fake_run(), "run")


@pytest.mark.parametrize(
    "verdicts", [{"32/test-train": "yes", "32/test-one-shot": "no"}, {"32/test-train": "yes"}]
)
def test_other_scenes_are_refused(verdicts: dict[str, str]) -> None:
    run = fake_run(drawings_sha256=DRAWINGS)
    body = run.segmentation.model_copy(update={"test_sets_as_published": verdicts})
    with pytest.raises(RecordError, match=r"on other scenes than the published ones \(32/test-one-shot\)"):
        check_published(run.model_copy(update={"body": body}), "run")


def test_a_run_on_few_scenes_is_refused() -> None:
    run = fake_run(drawings_sha256=DRAWINGS, scores=fake_scores((32,), 0.6, 10_000))
    own_iou = "32/answer/test-one-shot/iou"
    few = run.figures | {own_iou: replace(run.figures[own_iou], n=9_999)}
    with pytest.raises(RecordError, match="evaluated on 9,999 of the 10,000 scenes of test-one-shot"):
        check_published(run.model_copy(update={"figures": few}), "run")


def test_a_file_that_is_no_training_curve_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    for content in (b"", b"step,loss\n1,2\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(RecordError, match=r"curve\.csv is no training curve"):
            check_curve(path)


def test_other_lists_and_missing_ones_are_refused() -> None:
    strange = published_protocols()
    strange["within-alphabet"]["sha256"] = SHA256
    with pytest.raises(RecordError, match=r"by other lists than the published ones \(within-alphabet\)"):
        check_published(own(strange), "run")
    few = published_protocols()
    del few["rising-ways"], few["verification"]
    with pytest.raises(RecordError, match=r"lacks protocols .*: rising-ways, verification"):
        check_published(own(few), "run")
    with pytest.raises(RecordError, match=r"lacks protocols .*: background-verification/test"):
        check_published(own(published_protocols(), recipe="background"), "run")
