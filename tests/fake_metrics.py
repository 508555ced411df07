"""Results of a small checkout, as the stages write them: metrics, records, and records evaluated again."""

from collections.abc import Mapping
from typing import Any

from oneshot.records.run import Record
from tests.fake_records import fake_record, fake_scores

PUBLISHED = {
    "iou_percent": {
        "siamese_unet": {"test-one-shot": {"4": 97.1, "256": 38.4}},
        "masknet": {"test-one-shot": {"4": 95.8}},
    },
    "source": "a paper",
    "note": "nothing else was found",
}
ORACLE_ANSWERS = {"answer": 0.5, "top_4": 0.375, "location_given": 0.75, "candidates_given": 0.625,
                  "choice_given": 0.875}  # fmt: skip


def mean(value: float, n: int = 1000) -> dict[str, float]:
    return {"value": value, "low": value - 0.0125, "high": value + 0.02, "n": n}


def means(iou: float, n: int = 1000) -> dict[str, Any]:
    """Over all scenes, and half as good over the quarter of them with a same-class distractor."""

    def both(iou: float, n: int) -> dict[str, Any]:
        return {"iou": mean(iou, n), "localisation": mean(iou / 2, n)}

    groups = {"with_same_class": both(iou / 2, n // 4), "without_same_class": both(iou, n - n // 4)}
    return both(iou, n) | groups


def by_split(iou: float, n: int = 1000, **more: Any) -> dict[str, Any]:
    return {split: means(iou, n) | more for split in ("test-train", "test-one-shot")}


def own_net(
    n_scenes_seen: int, ious: float | Mapping[str, float], recipe: str = "fast", trained_on: str = "4, 8, 16"
) -> dict[str, Any]:
    """What the stage evaluate says of a net, whose answers have these IoUs; one number: its own alone."""
    ious = {"answer": ious} if isinstance(ious, float) else ious
    return {
        "recipe": recipe, "feature_maps": 8, "n_scenes_seen": n_scenes_seen, "seed": 1803,
        "trained_on": trained_on, "answers": {name: by_split(iou) for name, iou in ious.items()},
    }  # fmt: skip


def small_metrics() -> list[dict[str, Any]]:
    """Levels 4 and 32: a joint net at both, a net of its own at level 4 alone."""
    ink = {split: {"iou": mean(0.25)} for split in ("test-train", "test-one-shot")}
    return [
        {"scale": "laptop", "clutter_level": 4, "all_ink": ink, "level_4": own_net(5000, 0.9, "published"),
         "joint": own_net(60000, 0.5)},
        {"scale": "laptop", "clutter_level": 32, "all_ink": ink, "joint": own_net(60000, 0.125)},
    ]  # fmt: skip


def released_net(iou: float, agrees: bool | None = True) -> dict[str, Any]:
    """What the stage reevaluate says of a net; None: its scenes are not those of the record."""
    agreement = {
        "n": 200, "recorded_iou": 0.75, "difference_points": 0.0, "mean_absolute_difference_points": 4.0,
        "largest_difference_points": 9.0, "share_beyond_1_point": 0.5, "agrees": agrees,
    }  # fmt: skip
    more = {} if agrees is None else {"agreement": agreement}
    about = {"feature_maps": 24, "seed": 1803, "n_scenes_seen": 9}
    return about | {"answers": {"answer": by_split(iou, 200, **more)}}


def small_records() -> list[Record]:
    """Three runs at level 4, one of a further seed, and one at level 32, on several GPUs, cut short."""
    return [
        fake_record(4, "fast", fake_scores(0.75)),
        fake_record(4, "fast", fake_scores(0.25), name="4-seed-7", seed=7),
        fake_record(4, "published", fake_scores(0.5)),
        fake_record(32, "fast", fake_scores(0.625), n_processes=8, training={"n_steps": 5},
                    n_scenes_before=1000),
    ]  # fmt: skip


def small_reevaluated() -> list[dict[str, Any]]:
    """Level 4: nets of two recipes, one of which does not do what was recorded. Level 32: none."""
    nets = {
        "fast": {"4": released_net(0.75), "4-seed-7": released_net(0.25)},
        "published": {"4": released_net(0.5, False)},
    }
    level_4 = {"scale": "laptop", "clutter_level": 4, "nets": {"siamese_unet": nets}}
    return [level_4, {"scale": "laptop", "clutter_level": 32}]


def masknet_record(level: int | str, recipe: str = "fast", **changes: Any) -> Record:
    """Of a MaskNet with all its answers."""
    scores = {name: fake_scores(iou) for name, iou in ORACLE_ANSWERS.items()}
    own = scores.pop("answer")
    return fake_record(level, recipe, own, net="masknet", more=scores, **changes)


# How the sources of all these are called.
INK = "every character marked"
OWN = "trained here: a net for each level, recipe published, 8 feature maps, 5,000 scenes"
JOINT = "trained here: one net, on 4, 8, 16 characters, recipe fast, 8 feature maps, 60,000 scenes"
RECORDED = ["recorded: recipe published, 24 feature maps", "recorded: recipe fast, 24 feature maps"]
CUT_SHORT = f"{RECORDED[1]}, stopped early, from other weights"
RELEASED = [
    "released weights, here: recipe published, 24 feature maps",
    "released weights, here: recipe fast, 24 feature maps",
]


def cells(table: str, level: int | str) -> dict[str, str]:
    """One line of a Markdown table, by its columns' titles."""
    titles, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    place = titles.index("characters")
    return next(dict(zip(titles, row, strict=True)) for row in rows if row[place] == str(level))
