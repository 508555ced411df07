"""Whose answers the pictures show, and what the caption says of them."""

from oneshot.report.caption import choose_shown, render_caption
from oneshot.report.rows import collect_rows
from tests.report.fakes import PUBLISHED, scene_figures, scene_network, segmentation_rows


def test_recorded_weights_go_before_networks_trained_here_and_what_saw_most_first() -> None:
    rows = segmentation_rows()
    shown = choose_shown(rows, 4)
    assert [*shown] == ["Siamese-U-Net", "MaskNet"]
    recorded = shown["Siamese-U-Net"]
    assert (recorded.file, recorded.key) == ("rechecked", "siamese_unet-4-fast/4/answer")
    assert shown["MaskNet"].key == "masknet-joint/4/answer"
    here = choose_shown(rows, 32)["Siamese-U-Net"]
    assert (here.file, here.key) == ("segmentation", "siamese_unet-joint/32/answer")
    assert here.who == "`siamese_unet-joint`, trained here"


def test_variants_of_the_colour_matcher_are_not_shown() -> None:
    figures = scene_figures((4,), answer=0.5)
    kinds = ("colour_matcher", "colour_matcher_without_boxes")
    networks = {kind: scene_network(kind, figures) for kind in kinds}
    shown = choose_shown(segmentation_rows(networks=networks), 4)
    assert [*shown] == ["Siamese-U-Net", "colour matcher"]


def test_the_caption_names_each_network_once_with_its_levels() -> None:
    rows = segmentation_rows()
    caption = render_caption({level: choose_shown(rows, level) for level in (4, 8, 32)})
    assert "Siamese-U-Net: `siamese_unet-N-fast`, 24 feature maps, recorded, at 4 characters, " in caption
    assert "`siamese_unet-joint`, trained here, at 32 characters; " in caption
    assert "MaskNet: `masknet-joint`, trained here, at 4, 32 characters.*" in caption


def test_without_a_network_nobody_is_shown() -> None:
    shown = choose_shown(collect_rows("segmentation", PUBLISHED, {}), 4)
    assert shown == {}
    assert "No network answers" in render_caption({4: shown})
