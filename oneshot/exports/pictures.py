"""Export as PNG files in folders, with a preview; how any export makes a PNG."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from oneshot.clutter.scenes import Scenes
from oneshot.exports.source import SceneSource

Pixels = (
    UInt8[np.ndarray, "h w 3"]
    | UInt8[np.ndarray, "h w"]
    | UInt16[np.ndarray, "h w"]
    | Bool[np.ndarray, "h w"]
)
PREVIEW_ROWS, PREVIEW_COLUMNS = 4, 3  # scenes
PREVIEW_GAP = 8  # pixels
PREVIEW_GREY = 128


def encode_png(pixels: Pixels) -> bytes:
    """Encode colours, grey values or labels of 8 or 16 bits, or a mask (1 bit: white is True) as PNG."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return content.getvalue()


def encode_scene(scenes: Scenes, k: int) -> dict[str, bytes]:
    """Encode what belongs to the k-th scene: image, target, mask, and the label of every pixel."""
    one = scenes[k : k + 1]
    return {
        "image": encode_png(one.images()[0]),
        "target": encode_png(one.targets()[0]),
        "mask": encode_png(one.masks[0]),
        "labels": encode_png(one.labels[0]),
    }


def write_pictures(folder: Path, source: SceneSource, jobs: Iterator[Scenes]) -> None:
    """Write a folder each of images, targets, masks and label maps, a table of the targets, a preview."""
    names = source.character_names
    number = 0
    with (folder / "targets.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "character"))
        for scenes in jobs:
            if number == 0:
                draw_preview(scenes[: PREVIEW_ROWS * PREVIEW_COLUMNS]).save(folder / "preview.png")
            for k, character in enumerate(scenes.target_characters.tolist()):
                for kind, content in encode_scene(scenes, k).items():
                    path = folder / kind / f"{number:07d}.png"
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(content)
                table.writerow((path.name, names[character]))
                number += 1


def draw_preview(scenes: Scenes) -> Image.Image:
    """Draw some scenes on one sheet, each as target, image and mask side by side."""
    _, height, width = scenes.labels.shape
    target_height, target_width = scenes.target_inks.shape[1:]
    step_down = max(height, target_height) + PREVIEW_GAP
    step_right = target_width + 2 * width + 3 * PREVIEW_GAP
    n_rows = -(-len(scenes) // PREVIEW_COLUMNS)
    size = (PREVIEW_COLUMNS * step_right + PREVIEW_GAP, n_rows * step_down + PREVIEW_GAP)
    sheet = Image.new("RGB", size, (PREVIEW_GREY,) * 3)
    masks = np.repeat(255 * scenes.segmentation(), 3, axis=-1)
    for k, pictures in enumerate(zip(scenes.targets(), scenes.images(), masks, strict=True)):
        left = PREVIEW_GAP + k % PREVIEW_COLUMNS * step_right
        for picture in pictures:
            sheet.paste(Image.fromarray(picture), (left, PREVIEW_GAP + k // PREVIEW_COLUMNS * step_down))
            left += picture.shape[1] + PREVIEW_GAP
    return sheet
