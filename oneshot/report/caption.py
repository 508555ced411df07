"""Whose answers the picture of predictions shows, and its caption."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import NET_TITLES, VARIANTS
from oneshot.report.rows import ALL, Kind, choose, choose_most_trained, find_place
from oneshot.report.segmentation_tables import SHOWN_SPLIT, title_net

FILES = {Kind.RECHECKED: "rechecked", Kind.HERE: "segmentation"}  # of predictions, by kind


@dataclass(frozen=True)
class Shown:
    """Network whose masks the pictures show at a clutter level: their file, their key in it, in words who."""

    file: str
    key: str
    who: str


def choose_shown(rows: pd.DataFrame, level: int) -> dict[str, Shown]:
    """Choose a network of every kind, by its title, as the README's table does: of the usual seed, rechecked.

    Where none was recorded, one that was trained here.
    """
    found = choose(rows, clutter_level=level, split=SHOWN_SPLIT, metric="iou", subset=ALL, answer=OWN_ANSWER)
    found = choose(found, kind=[*FILES], further=False)
    found = found[found["net"].notna() & ~found["net"].isin([*VARIANTS])]
    nets = sorted(dict.fromkeys(found["net"]), key=lambda net: find_place(NET_TITLES, net))
    chosen = {net: choose_most_trained(choose(found, net=net)) for net in nets}
    return {title_net(net): show_row(rows.to_dict("records")[0]) for net, rows in chosen.items()}


def show_row(row: Mapping[Any, Any]) -> Shown:
    kind, place = row["kind"], f"{row['clutter_level']}/{OWN_ANSWER}"
    if kind == Kind.RECHECKED:
        return Shown(FILES[kind], f"{row['run']}/{place}", f"{row['title']}, recorded")
    return Shown(FILES[kind], f"{row['network']}/{place}", f"{row['title']}, trained here")


def render_caption(shown: Mapping[int, Mapping[str, Shown]]) -> str:
    """Write whose answers the picture of predictions shows, network by network."""
    levels: dict[str, dict[str, list[str]]] = {}
    for level, of_level in shown.items():
        for title, one in of_level.items():
            levels.setdefault(title, {}).setdefault(one.who, []).append(str(level))
    answers = "; ".join(
        f"{title}: " + ", ".join(f"{who}, at {', '.join(of_who)} characters" for who, of_who in whose.items())
        for title, whose in levels.items()
    )
    return (
        "*Target, scene, truth, answers: green pixels are right, red ones wrong, yellow ones missed. "
        f"One-shot characters, the first scenes of each test set. {answers or 'No network answers'}.*"
    )
