"""The short summary of what was trained here that DVC shows as metrics."""

import pandas as pd

from oneshot.records.run import OWN_ANSWER
from oneshot.report.headlines import BENCHMARKS
from oneshot.report.rows import ALL, Kind, choose

SPLIT_NAMES = {"test-one-shot": "iou_one_shot", "test-train": "iou_known"}


def summarise_networks(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Choose one value for each network, clutter level and test set, or benchmark of the README's table.

    Left out are episodes of other ways and shots, rising N-way, MNIST, verification at a probability of 1/2
    and the validation trials: docs/results.md and metrics/ have all. Of images other than Omniglot's only
    rising N-way is left out.

    By place: NETWORK/LEVEL, with three digits, or NETWORK/BENCHMARK. `dvc metrics show` makes a line of each
    file and a column of each name in it, hence a file for every place.
    """
    trained = choose(rows, kind=Kind.HERE)
    trained = trained[trained["recipe"].notna() & trained["n_way"].isna()]
    if not choose(rows, kind=Kind.PUBLISHED).empty:
        trained = trained[trained["benchmark"].isna() | trained["benchmark"].isin([*BENCHMARKS])]
    summary: dict[str, dict[str, float]] = {}
    for row in trained.to_dict("records"):
        value = round(row["value"], 4)
        if isinstance(row["benchmark"], str):
            place = f"{row['network']}/{row['benchmark'].replace('/', '-')}"
            summary[place] = {row["metric"]: value}
        elif row["split"] in SPLIT_NAMES and (row["metric"], row["subset"], row["answer"]) == (
            "iou", ALL, OWN_ANSWER,
        ):  # fmt: skip
            place = f"{row['network']}/{row['clutter_level']:03}"
            summary.setdefault(place, {})[SPLIT_NAMES[row["split"]]] = value
    return summary
