"""Export as COCO's instances: scenes as PNG files, and a JSON file of all that can be seen in them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.clutter.scenes import Scenes
from oneshot.exports.pictures import encode_png
from oneshot.exports.source import SceneSource
from oneshot.machine import import_optional

INSTANCES = "instances.json"


def write_coco(folder: Path, source: SceneSource, jobs: Iterator[Scenes]) -> None:
    """Write images/, targets/ and instances.json, in which the target's annotation has "is_target": 1.

    An annotation is the visible part of one character; one that is covered whole has none. Categories count
    the split's characters from 1. Annotations are written one by one: 256 characters a scene are many.
    """
    rle = import_optional("pycocotools.mask")
    for name in ("images", "targets"):
        (folder / name).mkdir()
    characters: list[int] = []  # of the targets
    n_annotations = 0
    head = {
        "info": {"description": source.title, **source.identity()},
        "licenses": [{"id": 1, "name": "MIT License", "url": "https://opensource.org/license/mit"}],
        "categories": list_categories(source),
    }
    with (folder / INSTANCES).open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for scenes in jobs:
            for k, (image, target) in enumerate(zip(scenes.images(), scenes.targets(), strict=True)):
                name = f"{len(characters):07d}.png"
                (folder / "images" / name).write_bytes(encode_png(image))
                (folder / "targets" / name).write_bytes(encode_png(target))
                for annotation in annotate(rle, scenes, k, source.recipe.clutter_level):
                    numbers = {"id": n_annotations + 1, "image_id": len(characters)}
                    file.write((",\n" if n_annotations else "\n") + json.dumps(numbers | annotation))
                    n_annotations += 1
                characters.append(int(scenes.target_characters[k]))
        file.write('\n], "images": [')
        width, height = source.recipe.scene_size
        for number, character in enumerate(characters):
            entry = {
                "id": number,
                "file_name": f"{number:07d}.png",
                "width": width,
                "height": height,
                "license": 1,
                "target_file_name": f"{number:07d}.png",
                "target_category_id": character + 1,
            }
            file.write((",\n" if number else "\n") + json.dumps(entry))
        file.write("\n]}\n")


def list_categories(source: SceneSource) -> list[dict[str, Any]]:
    """List the characters of the split as categories, each under its alphabet."""
    return [
        {"id": number, "name": name, "supercategory": name.partition("/")[0]}
        for number, name in enumerate(source.character_names, 1)
    ]


def annotate(rle: Any, scenes: Scenes, k: int, target: int) -> Iterator[dict[str, Any]]:
    """Describe what can be seen of every character of the k-th scene, in the order of drawing.

    rle: pycocotools.mask; target: the target's label.
    """
    labels = scenes.labels[k]
    visible = np.unique(labels[labels > 0])
    masks = rle.encode(np.asfortranarray(labels[..., None] == visible, dtype=np.uint8))
    for label, mask, area, box in zip(
        visible.tolist(), masks, rle.area(masks).tolist(), rle.toBbox(masks).tolist(), strict=True
    ):
        yield {
            "category_id": int(scenes.characters[k, label - 1]) + 1,
            "bbox": box,
            "area": area,
            "segmentation": mask | {"counts": mask["counts"].decode("ascii")},
            "iscrowd": 0,
            "is_target": int(label == target),
        }
