"""Published figures under the keys of our own, and what networks and methods are called in tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from oneshot.published import BEST_THRESHOLD
from oneshot.segment.answers import COSINE, EVERY_CHARACTER, LARGEST_COLOUR, OWN_NUMBER, SNAPPED

# Table 1's columns, and ends of networks' names.
DISTORTED_ENDS = {"no distortions": "", "affine x 8": "_affine"}
TRAINING_SETS = {
    f"pairs_{n}{end}": f"{n:,} pairs, {title}"
    for n in (30_000, 90_000, 150_000)
    for title, end in DISTORTED_ENDS.items()
}
COLOUR_MATCHER = "colour_matcher"
NET_TITLES = {"siamese_unet": "Siamese-U-Net", "masknet": "MaskNet", COLOUR_MATCHER: "colour matcher"}
# Answers of a colour matcher to which only a part of it contributes, or nothing of it.
MATCHER_PARTS = {
    COSINE: "cosine alone",
    OWN_NUMBER: "own number alone",
    LARGEST_COLOUR: "largest colour",
    EVERY_CHARACTER: "every character",
}
# Colour matchers that were trained without one of its inputs, or on other scenes, by their kind.
VARIANTS = {
    f"{COLOUR_MATCHER}_covered": "trained on covered targets, too",
    f"{COLOUR_MATCHER}_without_others": "without other characters' channel",
    f"{COLOUR_MATCHER}_without_boxes": "without box normalisation",
}
ORACLES = {
    "location_given": "location given",
    "candidates_given": "candidates given",
    "choice_given": "choice given",
}  # answers of a MaskNet for which part of its work is done
DEFINITIONS = {
    "location_given": "the decoder gets the proposal at the target's true centre",
    "candidates_given": "the true visible pixels of every character of the scene are given, among which the "
    "discriminator has only to choose",
    "choice_given": "the best of MaskNet's own 144 segmentations",
}
BASELINE_TITLES = {
    "cosine": "1-nearest neighbour, cosine",
    "cosine_centred": "1-nearest neighbour, cosine, ink centred",
    "euclidean": "1-nearest neighbour, Euclidean",
    "euclidean_centred": "1-nearest neighbour, Euclidean, ink centred",
    "hausdorff": "modified Hausdorff distance",
    "guess": "guessing",
}
# Of networks of classification and baselines, in the order of tables; others go by their own names.
NETWORK_TITLES = {
    **{name: f"siamese net, {words}" for name, words in TRAINING_SETS.items()},
    "ensemble": "ensemble of cosine nets",
    "contrastive": "cosine net, contrastive recipe",
    "contrastive_40": "cosine net, contrastive recipe",
    "contrastive_koch": "siamese net, contrastive recipe",
    "own": "siamese net, own recipe",
    "background": "siamese net, background drawers 12 / 4 / 4",
    "protonet": "prototypical network",
    **BASELINE_TITLES,
}
# Published methods that are also computed, by benchmark: their figure stands in the row of ours.
SAME_METHODS = {
    ("within-alphabet", "1-nearest neighbour"): "cosine",
    ("all_runs", "modified Hausdorff distance"): "hausdorff",
}
# Published figures of methods that are computed too, but whose training (or distance) is not known to be that
# of one of our rows: they have rows of their own without being "published only".
KOCH_NAMES = ("convolutional siamese net", "Koch's network")
SIMILAR_METHODS = (
    *KOCH_NAMES,
    "siamese net with cosine",
    "1-nearest neighbour",
    "Koch re-implemented",
    "prototypical networks",
    "a PyTorch re-implementation",
    "a tutorial's network",
)
PUBLISHED_TABLES = {
    "one_shot_percent": "within-alphabet",
    "all_runs_error_percent": "all_runs",
    "mnist_percent": "mnist",
    "vinyals_20_way_1_shot_percent": "vinyals-20-way-1-shot",
}

PublishedFigures = Iterator[tuple[dict[str, Any], dict[str, dict[str, Any]]]]


def list_segmentation(facts: Mapping[str, Any]) -> PublishedFigures:
    """List the published figures by key, with what describes them in fields of rows; facts: the task's."""
    for net, by_split in facts["iou_percent"].items():
        for split, percents in by_split.items():
            for level, percent in percents.items():
                about = {"network": f"{net}-{level}", "net": net, "source": facts["source"]}
                yield about, {f"{level}/answer/{split}/iou": {"value": percent / 100}}


def list_classification(facts: Mapping[str, Any]) -> PublishedFigures:
    """List accuracies; those of errors are what is left of 1."""
    table_1 = facts["verification_percent"]
    for distortions, end in DISTORTED_ENDS.items():
        for n_pairs, percent in table_1[distortions].items():
            network = f"pairs_{n_pairs}{end}"
            about = {"network": network, "title": NETWORK_TITLES[network], "source": table_1["source"]}
            figure = {"value": percent / 100, "n": facts["n_verification_pairs"]}
            yield about | {"variant": "base koch", "base": "koch"}, {BEST_THRESHOLD: figure}
    for name, benchmark in PUBLISHED_TABLES.items():
        table = facts[name]
        for method in [name for name in table if name != "source"]:
            share = table[method] / 100
            value = 1 - share if "error" in name else share
            figure = {"value": value, "n": facts["n_trials"].get(benchmark)}
            yield describe_method(method, benchmark, table["source"]), {benchmark: figure}
    for one in facts["further"]:
        for benchmark, percent in one["error_percent"].items():
            about = describe_method(one["method"], benchmark, one["source"])
            about["second_hand"] = one.get("second_hand", False)
            yield about, {benchmark: {"value": 1 - percent / 100}}
    other, tutorial = facts["background_splits"], facts["rising_ways_percent"]
    for method, prefix, percents, source in (
        (
            "a PyTorch re-implementation",
            "background-verification",
            other["verification_percent"],
            other["source"],
        ),
        ("a tutorial's network", "rising-ways", tutorial, tutorial["source"]),
    ):
        for name in [name for name in percents if name != "source"]:
            benchmark = f"{prefix}/{name}"
            yield describe_method(method, benchmark, source), {benchmark: {"value": percents[name] / 100}}


def describe_method(method: str, benchmark: str, source: str) -> dict[str, Any]:
    """Describe a published method; one that is computed, too, goes by our name."""
    network = SAME_METHODS.get((benchmark, method))
    title = NETWORK_TITLES[network] if network else method
    only = network is None and method not in SIMILAR_METHODS
    return {"network": network, "title": title, "published_only": only, "source": source}


def title_answer(name: str) -> str:
    """Name an answer, such as best 4 proposals for top_4; the network's own has no title."""
    if name.startswith("top_"):
        k = name.removeprefix("top_")
        return "best proposal alone" if k == "1" else f"best {k} proposals"
    return {**ORACLES, **MATCHER_PARTS, SNAPPED: "snapped to colours"}.get(name, "")
