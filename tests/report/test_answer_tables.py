"""Tables of oracles, and of scenes with and without a same-class distractor."""

import pandas as pd

from oneshot.report.rows import collect_segmentation
from oneshot.report.runs import collect_runs
from oneshot.report.tables import render_tables
from tests.fake_metrics import (
    CUT_SHORT,
    INK,
    JOINT,
    ORACLE_ANSWERS,
    PUBLISHED,
    RECORDED,
    cells,
    masknet_record,
    own_net,
    small_metrics,
    small_records,
    small_reevaluated,
)
from tests.fake_records import fake_record, fake_scores


def small_results() -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, small_metrics(), small_records(), small_reevaluated())


def sections(results: pd.DataFrame, title: str) -> list[tuple[str, str, str]]:
    """The headings that begin so, each with its table and what follows it."""
    text = render_tables(results, collect_runs(PUBLISHED, [], []), PUBLISHED, "laptop", synthetic=False)
    parts = text.split("\n\n")
    return [
        (part, parts[place + 1], parts[place + 2])
        for place, part in enumerate(parts)
        if part.startswith(f"**{title}")
    ]


def test_oracles_stand_beside_both_networks_own_answers_of_the_same_source() -> None:
    metrics = small_metrics()
    metrics[0]["masknet_joint"] = own_net(7000, ORACLE_ANSWERS)
    metrics[0]["level_4"] = own_net(5000, 0.9)  # not joint, as MaskNet is here
    joint = fake_record("joint", "fast", fake_scores(0.5))  # as MaskNet is here, but recorded
    records = [*small_records(), joint, masknet_record(4), masknet_record(32)]
    results = collect_segmentation(PUBLISHED, metrics, records)
    recorded, here = sections(results, "How much is finding, how much is cutting out")
    assert recorded[0].endswith(f"IoU in %, {RECORDED[1]}")
    row = cells(recorded[1], 4)
    own, stopped = (f"Siamese-U-Net ({source.partition(': ')[2]})" for source in (RECORDED[1], CUT_SHORT))
    answers = ["MaskNet", "location given", "candidates given", "choice given"]
    assert list(row)[1:] == [
        f"{who}, {split}, n = 40"
        for split in ("one-shot characters", "known characters")
        for who in (own, stopped, *answers)
    ]
    assert row[f"{own}, one-shot characters, n = 40"].startswith("75.0 (")
    found = [row[f"{who}, known characters, n = 40"].partition(" ")[0] for who in answers]
    assert found == ["50.0", "75.0", "62.5", "87.5"]
    assert cells(recorded[1], 64)["MaskNet, known characters, n = 40"] == "–"
    assert "7,000 scenes" in here[0]
    siamese = f"Siamese-U-Net ({JOINT.partition(': ')[2]}), one-shot characters, n = 1,000"
    assert cells(here[1], 32)[siamese] == "12.5 (11.2 to 14.5)"
    beside = [title for title in cells(here[1], 4) if title.startswith("Siamese-U-Net")]
    assert beside == [siamese, siamese.replace("one-shot", "known")]
    assert "*Location given*: the decoder gets the proposal at the target's true centre. *Cand" in here[2]


def test_without_masknets_there_is_no_table_of_oracles() -> None:
    assert sections(small_results(), "How much") == []


def test_iou_is_split_by_same_class_distractors_with_the_share_of_scenes_that_have_one() -> None:
    one_shot, known = sections(small_results(), "IoU with and without a same-class distractor")
    row = cells(one_shot[1], 4)
    joint = f"Siamese-U-Net, {JOINT}, n = 1,000"
    assert row["scenes with one"] == "25.0 %"
    assert row[f"{joint}: with"] == "25.0 (23.8 to 27.0)"
    assert row[f"{joint}: without"] == "50.0 (48.8 to 52.0)"
    assert f"Siamese-U-Net, {RECORDED[0]}, n = 40: with" in row
    assert not [title for title in row if "released" in title or INK in title or title == "published"]
    assert cells(one_shot[1], 64)["scenes with one"] == "–"
    assert known[2].startswith("*Same-class distractor*: another instance of the target's character")


def test_the_share_of_scenes_is_of_the_largest_set_and_zero_where_none_has_a_distractor() -> None:
    (level_4, _), splits = small_metrics(), ("test-train", "test-one-shot")
    metrics = [{key: level_4[key] for key in ("scale", "clutter_level", "joint")}]
    for split in splits:
        del metrics[0]["joint"]["answers"]["answer"][split]["with_same_class"]
    small = collect_segmentation(PUBLISHED, metrics, [fake_record(4, "fast", fake_scores(0.5))])
    ((_, table, _),) = sections(small, "IoU with and without a same-class distractor, known")
    assert cells(table, 4)["scenes with one"] == "0.0 %"  # of 1,000 scenes, not of the record's 40
    assert cells(table, 4)[f"Siamese-U-Net, {JOINT}, n = 1,000: with"] == "–"
