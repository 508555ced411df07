"""Whose answers the pictures show, and what the caption says of them."""

from typing import Any

import pytest

from oneshot.report.caption import Shown, choose_shown, render_caption
from tests.fake_metrics import JOINT, own_net, small_metrics, small_reevaluated


@pytest.mark.parametrize(
    ("released", "own", "expected"),
    [
        (["siamese_unet/fast/4", "siamese_unet/published/4"], ["level_4"], "siamese_unet/fast/4"),
        (["siamese_unet/published/4", "siamese_unet/fast/4-seed-7"], [], "siamese_unet/published/4"),
        (["siamese_unet/fast/joint", "masknet/fast/4"], ["level_4"], "siamese_unet/fast/joint"),
        (["siamese_unet/fast/joint", "siamese_unet/fast/4"], [], "siamese_unet/fast/4"),
        (["masknet/fast/joint"], ["level_4"], "masknet/fast/joint"),
        ([], ["joint", "level_4"], "level_4"),
        ([], ["masknet_level_4", "joint"], "joint"),
        ([], ["masknet_joint"], "masknet_joint"),
        ([], [], None),
    ],
)
def test_pictures_show_released_nets_before_those_trained_here(
    released: list[str], own: list[str], expected: str | None
) -> None:
    nets: dict[str, Any] = {}
    for place in released:
        net, recipe, name = place.split("/")
        nets.setdefault(net, {}).setdefault(recipe, {})[name] = {"feature_maps": 24}
    metrics = {"clutter_level": 4} | {name: own_net(9, 0.5) for name in own}
    shown = choose_shown(metrics, {"clutter_level": 4, "nets": nets})
    assert isinstance(shown, Shown | None)
    assert (shown and shown.key) == (expected and f"{expected}/answer")
    if shown is not None:
        assert shown.stage == ("reevaluated" if released else "segmentation")


def test_the_caption_says_whose_answers_are_shown_at_which_levels() -> None:
    metrics, reevaluated = small_metrics(), small_reevaluated()
    text = render_caption([*metrics, {"clutter_level": 64}], [*reevaluated, {"clutter_level": 64}])
    assert text.endswith(
        "Answers at 4 characters of the released networks (Siamese-U-Net, recipe fast, 24 feature maps); at "
        f"32 characters of the network trained here (Siamese-U-Net, {JOINT.partition(': ')[2]}); at 64 "
        "characters of no network.*\n"
    )
