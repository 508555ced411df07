"""Whose answers the picture of predictions shows, and its caption."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import NET_TITLES
from oneshot.report.rows import ALL, Kind, choose, find_place
from oneshot.report.segmentation_tables import SHOWN_SPLIT, title_net

FILES = {Kind.RECHECKED: "rechecked", Kind.HERE: "segmentation"}  # of predictions, by kind


@dataclass(frozen=True)
class Shown:
    """Network whose masks the pictures show at a clutter level: their file, their key in it, in words who."""

    file: str
    key: str
    who: str


def choose_shown(rows: pd.DataFrame, level: int) -> Shown | None:
    """Choose a rechecked network of the usual seed, else one trained here, if there is any.

    Siamese-U-Net goes before MaskNet, recipe fast before published, a level's own network before a joint one.
    """
    found = choose(rows, clutter_level=level, split=SHOWN_SPLIT, metric="iou", subset=ALL, answer=OWN_ANSWER)
    found = choose(found, kind=[*FILES], further=False)
    if found.empty:
        return None

    def key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
        recipe = find_place(("fast", "published"), str(row["recipe"]))
        return row["kind"] == Kind.HERE, find_place(NET_TITLES, str(row["net"])), recipe, row["joint"]

    first = min(found.to_dict("records"), key=key)
    whose = f"{title_net(first['net'])}, {first['title']}"
    kind, place = first["kind"], f"{level}/{OWN_ANSWER}"
    if kind == Kind.RECHECKED:
        return Shown(FILES[kind], f"{first['run']}/{place}", f"recorded networks ({whose})")
    return Shown(FILES[kind], f"{first['network']}/{place}", f"the network trained here ({whose})")


def render_caption(shown: Mapping[int, Shown | None]) -> str:
    """Write whose answers the picture of predictions shows, level by level."""
    levels: dict[str, list[str]] = {}
    for level, one in shown.items():
        levels.setdefault(one.who if one else "no network", []).append(str(level))
    answers = "; ".join(f"at {', '.join(of_who)} characters of {who}" for who, of_who in levels.items())
    return (
        "*Target, scene, truth, answer: green pixels are right, red ones wrong, yellow ones missed. One-shot "
        f"characters, the first scenes of each test set. Answers {answers}.*"
    )
