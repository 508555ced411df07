"""What the stages of classification leave behind, in one form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.files import replacing
from stages.places import METRICS

RISING_FIELDS = ("scorer", "characters", "n_way", "percent", "low", "high", "n")


def write_metrics(name: str, metrics: Mapping[str, Any]) -> None:
    """metrics/NAME.json"""
    with replacing(METRICS / f"{name}.json") as file:
        file.write((json.dumps(metrics, indent=1) + "\n").encode())


def write_rising(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """metrics/NAME.csv: accuracy over N-way, for the plot."""
    table = pd.DataFrame(rows, columns=list(RISING_FIELDS))
    with replacing(METRICS / f"{name}.csv") as file:
        file.write(table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())
