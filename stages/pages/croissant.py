"""docs/croissant.json: the data sets in the form of Croissant (JSON-LD), from the published facts."""

from collections.abc import Iterator, Mapping
from typing import Any

from oneshot.omniglot.drawings import SIDE
from oneshot.published import (
    CLUTTER_LEVELS,
    COVERED_SPLITS,
    RENDERED_SPLITS,
    SET_SPLITS,
    find_set,
    find_split,
    read_facts,
)

FORM = "http://mlcommons.org/croissant/1.0"
DESCRIPTION = (
    "Omniglot's drawings, and Cluttered Omniglot: scenes of 96 x 96 pixels in which a character is to be "
    "found by a target image of 32 x 32. Scenes are not stored: a generator renders them from the drawings, "
    "the same bits everywhere. The record set `splits` says what each split is drawn from, `sets` has the "
    "checksums of all scenes of validation and test."
)
PUBLISHED_ON = "2018-09-05"  # the corrected generator, whose sets these are
LICENCE = "https://spdx.org/licenses/MIT.html"
# Words of Croissant in its JSON-LD context.
CROISSANT_WORDS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet",
    "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{word: f"cr:{word}" for word in CROISSANT_WORDS},
}
KINDS_OF_VALUES = {bool: "sc:Boolean", int: "sc:Integer", str: "sc:Text"}
SPLIT_FIELDS = {
    "split": "Name of the split.",
    "characters": "Character set: train (images_background), eval or test (of images_evaluation).",
    "first_drawer": "First drawer, counted from 0.",
    "end_drawer": "Drawer behind the last one.",
    "split_seed": "Seed of the job seeds.",
    "n_jobs": "Jobs at every clutter level.",
    "n_scenes": "Scenes at every clutter level.",
    "published": "Whether the split is one of the published ones; the others are of this project.",
}
SET_FIELDS = {
    "clutter_level": "Characters in a scene.",
    "split": "Name of the split.",
    "md5_of_last_image": "MD5 of the last scene image.",
    "images_sha256": "SHA-256 of all scene images, n x 96 x 96 x 3 bytes.",
    "segmentation_sha256": "SHA-256 of all masks.",
    "targets_sha256": "SHA-256 of all target images, n x 32 x 32 x 3 bytes.",
}


def describe_data(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the data sets; citation: what CITATION.cff holds."""
    facts = read_facts("omniglot")
    archives = {name: found for name, found in facts["archives"].items() if found["character_sets"]}
    of_data = [each for each in citation["references"] if "Siamese" not in each["title"]]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": FORM,
        "name": "omniglot-and-cluttered-omniglot",
        "description": DESCRIPTION,
        "license": LICENCE,
        "url": facts["repository"],
        "version": citation["version"],
        "datePublished": PUBLISHED_ON,
        "creator": [
            {"@type": "sc:Person", "name": f"{author['given-names']} {author['family-names']}"}
            for reference in of_data
            for author in reference["authors"]
        ],
        "citeAs": " ".join(map(cite, of_data)),
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": name,
                    "name": name,
                    "contentUrl": f"{facts['address']}/{facts['revision']}/{found['path']}",
                    "encodingFormat": "application/zip",
                    "md5": found["md5"],
                }
                for name, found in archives.items()
            ),
            {
                "@type": "cr:FileSet",
                "@id": "images",
                "name": "images",
                "containedIn": [{"@id": name} for name in archives],
                "encodingFormat": "image/png",
                "includes": "images_*/*/*/*.png",
            },
        ],
        "recordSet": [
            describe_records(facts["drawings"]["n_drawings"]),
            describe_table("splits", "What each split is drawn from.", SPLIT_FIELDS, list_splits()),
            describe_table("sets", "Checksums of the rendered sets.", SET_FIELDS, list_sets()),
        ],
    }


def cite(reference: Mapping[str, Any]) -> str:
    """Write a reference of CITATION.cff in one sentence."""
    authors = ", ".join(f"{each['family-names']}, {each['given-names'][0]}." for each in reference["authors"])
    place = reference.get("collection-title") or reference["journal"]
    return f"{authors} ({reference['year']}). {reference['title']}. {place}."


def describe_records(n_drawings: int) -> dict[str, Any]:
    """Describe the record set of Omniglot's drawings: an image, and what its path says of it."""
    return {
        "@type": "cr:RecordSet",
        "@id": "drawings",
        "name": "drawings",
        "description": f"{n_drawings:,} drawings; the same drawers drew all characters of an alphabet.",
        "field": [
            describe_field("image", f"{SIDE} x {SIDE} pixels, black on white.", "sc:ImageObject", "content"),
            describe_field(
                "alphabet", "Name of the alphabet.", "sc:Text", "fullpath", r".*/([^/]+)/character"
            ),
            describe_field(
                "character",
                "Counted from 1 in its alphabet.",
                "sc:Integer",
                "fullpath",
                r".*/character(\d+)/",
            ),
            describe_field("drawer", "Counted from 1.", "sc:Integer", "fullpath", r".*_(\d+)\.png"),
        ],
    }


def describe_field(
    name: str, words: str, kind: str, of_file: str, pattern: str | None = None
) -> dict[str, Any]:
    """Describe a field of the drawings, which is a property of a file, or what a pattern finds in it."""
    source: dict[str, Any] = {"fileSet": {"@id": "images"}, "extract": {"fileProperty": of_file}}
    if pattern:
        source["transform"] = {"regex": pattern}
    return {
        "@type": "cr:Field",
        "@id": f"drawings/{name}",
        "name": name,
        "description": words,
        "dataType": kind,
        "source": source,
    }


def describe_table(
    name: str, words: str, fields: Mapping[str, str], rows: Iterator[dict[str, Any]]
) -> dict[str, Any]:
    """Describe a record set whose rows stand in the description itself."""
    records = [{f"{name}/{key}": value for key, value in row.items()} for row in rows]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": words,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{key}",
                "name": key,
                "description": about,
                "dataType": KINDS_OF_VALUES[type(records[0][f"{name}/{key}"])],
            }
            for key, about in fields.items()
        ],
        "data": records,
    }


def list_splits() -> Iterator[dict[str, Any]]:
    """List the splits of the scenes."""
    job_scenes = read_facts("cluttered_omniglot")["job_scenes"]
    for name in ("train", *SET_SPLITS, *COVERED_SPLITS):
        split = find_split(name)
        yield {
            "split": name,
            "characters": split.characters,
            "first_drawer": split.drawers[0],
            "end_drawer": split.drawers[1],
            "split_seed": split.split_seed,
            "n_jobs": split.n_jobs,
            "n_scenes": split.n_jobs * job_scenes,
            "published": not split.ours,
        }


def list_sets() -> Iterator[dict[str, Any]]:
    """List the rendered sets with their checksums."""
    for clutter_level in CLUTTER_LEVELS:
        for split in RENDERED_SPLITS:
            found = find_set(clutter_level, split)
            assert found is not None
            yield {
                "clutter_level": clutter_level,
                "split": split,
                "md5_of_last_image": found["md5_of_last_image"],
                **{f"{name}_sha256": found["sha256"][name] for name in ("images", "segmentation", "targets")},
            }
