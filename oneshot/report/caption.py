"""Whose answers the picture of predictions shows, and its caption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oneshot.records.run import JOINT
from oneshot.report.rows import NET_TITLES, describe_own, find_net
from oneshot.segment.answers import OWN

SHOWN_RECIPES = ("fast", "published")


@dataclass(frozen=True)
class Shown:
    """Whose masks the pictures show at a clutter level: the stage that made them, their key, in words who."""

    stage: str
    key: str
    who: str


def choose_shown(metrics: Mapping[str, Any], reevaluated: Mapping[str, Any]) -> Shown | None:
    """A released network of the usual seed, else one of this checkout's own, if there is any.

    Siamese-U-Net goes before MaskNet, recipe fast before published, a level's own network before a joint one.
    """
    level = metrics["clutter_level"]
    for net, title in NET_TITLES.items():
        for recipe in SHOWN_RECIPES:
            for name in (str(level), JOINT):
                found = reevaluated.get("nets", {}).get(net, {}).get(recipe, {}).get(name)
                if found is not None:
                    joint = ", one net for all levels" if name == JOINT else ""
                    about = f"{title}, recipe {recipe}, {found['feature_maps']} feature maps{joint}"
                    who = f"the released networks ({about})"
                    return Shown("reevaluated", f"{net}/{recipe}/{name}/{OWN}", who)
    for prefix in ("", "masknet_"):
        for key in (f"{prefix}level_{level}", f"{prefix}{JOINT}"):
            if "answers" in metrics.get(key, {}):
                who = f"{NET_TITLES[find_net(key)]}, {describe_own(key, metrics[key])}"
                return Shown("segmentation", f"{key}/{OWN}", f"the network trained here ({who})")
    return None


def render_caption(metrics: Sequence[Mapping[str, Any]], reevaluated: Sequence[Mapping[str, Any]]) -> str:
    """Whose answers the picture of predictions shows, level by level, as `choose_shown` has chosen them."""
    levels: dict[str, list[str]] = {}
    for own, released in zip(metrics, reevaluated, strict=True):
        shown = choose_shown(own, released)
        levels.setdefault(shown.who if shown else "no network", []).append(str(own["clutter_level"]))
    answers = "; ".join(f"at {', '.join(of_who)} characters of {who}" for who, of_who in levels.items())
    return (
        "*Target, scene, truth, answer: green pixels are right, red ones wrong, yellow ones missed. One-shot "
        f"characters, the first scenes of each test set. Answers {answers}.*\n"
    )
