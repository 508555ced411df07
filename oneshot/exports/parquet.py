"""Export as Parquet files, one a job, that Hugging Face's datasets reads, with a dataset card."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oneshot.clutter.scenes import Scenes
from oneshot.exports.pictures import encode_scene
from oneshot.exports.source import SceneSource
from oneshot.machine import import_optional

ROW_GROUP = 100  # scenes that are read at once
IMAGE_COLUMNS = {
    "image": "the scene, RGB",
    "target": "the target image, RGB",
    "mask": "one bit a pixel: the target's ink",
    "labels": "8 or 16 bits a pixel: 0 without a character, else 1 + its place in the order of drawing",
}


def write_parquet(folder: Path, source: SceneSource, jobs: Iterator[Scenes]) -> None:
    """Write data/SPLIT-NUMBER-of-NUMBER.parquet and README.md; names of splits have _ in place of -."""
    arrow, parquet = import_optional("pyarrow"), import_optional("pyarrow.parquet")
    (folder / "data").mkdir()
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    columns = [(name, image) for name in IMAGE_COLUMNS]
    columns += [("target_character", arrow.int64()), ("characters", arrow.list_(arrow.int32()))]
    features = {"info": {"features": describe_features(source)}}
    schema = arrow.schema(columns, metadata={"huggingface": json.dumps(features)})
    n_jobs = len(source.parts)
    for job, scenes in enumerate(jobs):
        rows = [list_row(scenes, k) for k in range(len(scenes))]
        path = folder / "data" / f"{split_name(source)}-{job:05d}-of-{n_jobs:05d}.parquet"
        parquet.write_table(arrow.Table.from_pylist(rows, schema), path, row_group_size=ROW_GROUP)
    (folder / "README.md").write_text(write_card(source), encoding="utf-8")


def split_name(source: SceneSource) -> str:
    """Give the split's name as datasets allows it."""
    return source.split.name.replace("-", "_")


def list_row(scenes: Scenes, k: int) -> dict[str, Any]:
    """Give the row of the k-th scene."""
    pictures = {name: {"bytes": content, "path": None} for name, content in encode_scene(scenes, k).items()}
    numbers = {
        "target_character": int(scenes.target_characters[k]),
        "characters": scenes.characters[k].tolist(),
    }
    return pictures | numbers


def describe_features(source: SceneSource) -> dict[str, Any]:
    """Describe the columns as datasets keeps them in a Parquet file."""
    return {name: {"_type": "Image"} for name in IMAGE_COLUMNS} | {
        "target_character": {"names": source.character_names, "_type": "ClassLabel"},
        "characters": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"},
    }


def write_card(source: SceneSource) -> str:
    """Write the dataset card: a YAML header that datasets reads, and what the columns are."""
    names = {str(number): name for number, name in enumerate(source.character_names)}
    features: list[dict[str, Any]] = [{"name": name, "dtype": "image"} for name in IMAGE_COLUMNS]
    features += [
        {"name": "target_character", "dtype": {"class_label": {"names": names}}},
        {"name": "characters", "sequence": "int32"},
    ]
    split = split_name(source)
    header = {
        "license": "mit",
        "pretty_name": source.title,
        "task_categories": ["image-segmentation"],
        "tags": ["one-shot", "omniglot"],
        "dataset_info": {
            "features": features,
            "splits": [{"name": split, "num_examples": source.n_scenes}],
        },
        "configs": [{"config_name": "default", "data_files": [{"split": split, "path": "data/*.parquet"}]}],
    }
    columns = "".join(f"- `{name}`: {meaning}\n" for name, meaning in IMAGE_COLUMNS.items())
    import yaml  # here: an extra brings it

    return f"""---
{yaml.safe_dump(header, sort_keys=False)}---

# {source.title}

{source.n_scenes:,} scenes. In each of them the drawing that the target image shows, warped and tinted
anew, is to be found among others.

{columns}- `target_character`: the character of the target image
- `characters`: the character behind each label from 1 on, numbered as `target_character` is

The target has the label {source.recipe.clutter_level}. Drawings: SHA-256 {source.parts[0].drawings_sha256}.

Sources: Lake, Salakhutdinov, Tenenbaum, *Human-level concept learning through probabilistic program
induction*, Science 2015 (Omniglot, MIT licence); Michaelis, Bethge, Ecker, *One-Shot Segmentation in
Clutter*, ICML 2018 (Cluttered Omniglot).
"""
