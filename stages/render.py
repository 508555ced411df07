"""Render the four validation and test sets of one clutter level, part by part, each checked."""

import argparse
import json
import sys

from tqdm import tqdm

from oneshot.clutter.parts import SET_SPLITS, complete_parts, list_parts, summarise_set
from oneshot.clutter.scenes import lay_out
from oneshot.files import replacing
from oneshot.omniglot.drawings import load_drawings
from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS
from stages.command import run
from stages.places import DRAWINGS, MANIFESTS, SCENES


def main(clutter_level: int) -> None:
    params = load_params()
    size = params.scale.render
    drawings = load_drawings(DRAWINGS)
    drawings_sha256 = drawings.sha256()
    pens = {character_set: lay_out(drawings, character_set) for character_set in ("train", "eval", "test")}
    parts = [
        part
        for split in SET_SPLITS
        for part in list_parts(clutter_level, split, drawings_sha256, size.n_jobs, size.job_scenes)
    ]
    remove_strangers(clutter_level, {part.name for part in parts})
    records = []
    done = complete_parts(SCENES, parts, pens, params.render.n_workers)
    with tqdm(done, total=len(parts), desc=f"level {clutter_level}", unit="part") as bar:
        for record in bar:
            records.append(record)
            bar.set_postfix(kept=sum(record.kept for record in records))
    manifest = {
        "scale": params.scale_name,
        "clutter_level": clutter_level,
        "drawings_sha256": drawings_sha256,
        "sets": {
            split: summarise_set([record for record in records if record.part.split.name == split])
            for split in SET_SPLITS
        },
    }
    with replacing(MANIFESTS / f"scenes-{clutter_level}.json") as file:
        file.write((json.dumps(manifest, indent=1) + "\n").encode())
    n_kept = sum(record.kept for record in records)
    how = {entry["checked_against"] for entry in manifest["sets"].values()}
    print(
        f"level {clutter_level}: {len(records)} parts whole ({n_kept} kept), "
        f"checked against {', '.join(sorted(how))}",
        file=sys.stderr,
    )


def remove_strangers(clutter_level: int, names: set[str]) -> None:
    """Delete what another scale, or a killed run, left in the level's folder: it is an output as a whole."""
    for path in (SCENES / str(clutter_level)).rglob("*"):
        if path.is_file() and str(path.relative_to(SCENES)) not in names:
            path.unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clutter_level", type=int, choices=CLUTTER_LEVELS)
    arguments = parser.parse_args()
    run(lambda: main(arguments.clutter_level))
