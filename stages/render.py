"""Render the validation and test sets of all clutter levels, published and ours, each part checked."""

import sys
from collections import defaultdict

from tqdm import tqdm

from oneshot.clutter.parts import Part, PartRecord, complete_parts, list_parts, summarise_set
from oneshot.clutter.scenes import lay_out
from oneshot.manifests import write_sealed
from oneshot.omniglot.drawings import load_drawings
from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS, RENDERED_SPLITS
from stages.command import run
from stages.places import MANIFESTS, SCENES
from stages.source import check_drawings


def main() -> None:
    params = load_params()
    size = params.scale.render
    drawings = load_drawings(check_drawings())
    drawings_sha256 = drawings.sha256()
    pens = {character_set: lay_out(drawings, character_set) for character_set in ("train", "eval", "test")}
    parts = [
        part
        for level in CLUTTER_LEVELS
        for split in RENDERED_SPLITS
        for part in list_parts(level, split, drawings_sha256, size.n_jobs, size.job_scenes)
    ]
    remove_other_files(parts)
    records: dict[int, list[PartRecord]] = defaultdict(list)
    n_kept, checked_against = 0, set()
    done = complete_parts(
        SCENES, parts, pens, params.render.n_workers, params.render.backend, params.render.address
    )
    with tqdm(done, total=len(parts), unit="part") as bar:
        for record in bar:
            level = record.part.clutter_level
            records[level].append(record)
            n_kept += record.kept
            bar.set_postfix(kept=n_kept)
            if len(records[level]) == len(parts) // len(CLUTTER_LEVELS):
                sets = {
                    split: summarise_set([one for one in records[level] if one.part.split.name == split])
                    for split in RENDERED_SPLITS
                }
                checked_against |= {entry["checked_against"] for entry in sets.values()}
                manifest = {
                    "scale": params.scale_name,
                    "clutter_level": level,
                    "drawings_sha256": drawings_sha256,
                    "sets": sets,
                }
                write_sealed(MANIFESTS / f"scenes-{level}.json", manifest)
    print(
        f"{len(parts)} parts whole ({n_kept} kept), checked against {', '.join(sorted(checked_against))}",
        file=sys.stderr,
    )


def remove_other_files(parts: list[Part]) -> None:
    """Delete what another scale or a killed run left: the folder of scenes is an output as a whole."""
    names = {part.name for part in parts}
    for path in SCENES.rglob("*"):
        if path.is_file() and str(path.relative_to(SCENES)) not in names:
            path.unlink()


if __name__ == "__main__":
    run(main, __doc__)
