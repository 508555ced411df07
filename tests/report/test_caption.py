"""Whose answers the pictures show, and what the caption says of them."""

from oneshot.report.caption import choose_shown, render_caption
from oneshot.report.rows import collect_rows
from tests.report.fakes import PUBLISHED, segmentation_rows


def test_recorded_weights_go_before_networks_trained_here_and_recipe_fast_first() -> None:
    rows = segmentation_rows()
    shown = choose_shown(rows, 4)
    assert shown is not None
    assert (shown.file, shown.key) == ("rechecked", "siamese_unet-4-fast/4/answer")
    here = choose_shown(rows, 32)
    assert here is not None
    assert (here.file, here.key) == ("segmentation", "siamese_unet-joint/32/answer")
    assert here.who == "the network trained here (Siamese-U-Net, `siamese_unet-joint`)"


def test_the_caption_names_each_network_once_with_its_levels() -> None:
    rows = segmentation_rows()
    caption = render_caption({level: choose_shown(rows, level) for level in (4, 8, 32)})
    assert "at 4 characters of recorded networks (Siamese-U-Net" in caption
    assert "at 8 characters of no network; at 32 characters of the network trained here" in caption


def test_without_a_network_nobody_is_shown() -> None:
    assert choose_shown(collect_rows("segmentation", PUBLISHED, {}), 4) is None
