"""Small results of both tasks in the form that stages and recorded runs have them, and looks into tables."""

from typing import Any

import pandas as pd

from oneshot.intervals import Figure
from oneshot.published import read_facts
from oneshot.records.run import Run
from oneshot.report.rows import collect_rows
from tests.fake_runs import fake_classification_run, fake_run

SPLITS = ("test-train", "test-one-shot")
PUBLISHED = {
    "iou_percent": {
        "siamese_unet": {"test-one-shot": {"4": 97.1, "256": 38.4}},
        "masknet": {"test-one-shot": {"4": 95.8}},
    },
    "source": "a paper",
    "note": "nothing else was found",
}
KOCH = read_facts("koch")
ORACLE_ANSWERS = {"answer": 0.5, "top_4": 0.375, "location_given": 0.75, "candidates_given": 0.625,
                  "choice_given": 0.875}  # fmt: skip


def figure(value: float, n: int = 1000) -> dict[str, Any]:
    return {"value": value, "low": value - 0.0125, "high": value + 0.025, "n": n}


def scene_figures(
    levels: tuple[int, ...], n: int = 1000, splits: tuple[str, ...] = SPLITS, **ious: float
) -> dict[str, dict[str, Any]]:
    """Make figures of every answer; half as good over the quarter of scenes with a same-class distractor."""
    figures = {}
    for level in levels:
        for answer, iou in ious.items():
            for split in splits:
                place = f"{level}/{answer}/{split}/iou"
                figures[place] = figure(iou, n)
                figures[f"{place}/with_same_class"] = figure(iou / 2, n // 4)
                figures[f"{place}/without_same_class"] = figure(iou, n - n // 4)
                figures[f"{level}/{answer}/{split}/localisation"] = figure(iou / 4, n)
    return figures


def scene_network(net: str, figures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    about = {"net": net, "recipe": "fast", "feature_maps": 8, "n_parameters": 99, "seed": 1803,
             "n_seen": 5000, "n_seen_before": 0, "trained_on": "4, 8"}  # fmt: skip
    return about | changes | {"figures": figures}


def segmentation(**changes: Any) -> dict[str, Any]:
    """Make metrics: a joint network at levels 4 and 32, one of its own level at 4, and a joint MaskNet."""
    networks = {
        "siamese_unet-4": scene_network("siamese_unet", scene_figures((4,), answer=0.75)),
        "siamese_unet-joint": scene_network("siamese_unet", scene_figures((4, 32), answer=0.5)),
        "masknet-joint": scene_network("masknet", scene_figures((4, 32), 40, **ORACLE_ANSWERS),
                                       n_seen_before=5000),
    }  # fmt: skip
    ink = {f"{level}/{split}/iou": figure(0.25) for level in (4, 32) for split in SPLITS}
    return {"scale": "laptop", "networks": networks, "all_ink": {"figures": ink}} | changes


def scene_run(name: str, levels: tuple[int, ...], iou: float, recipe: str = "fast", **changes: Any) -> Run:
    """Make the record of a run, whose network is in its name."""
    run = fake_run(name.partition(f"-{recipe}")[0], recipe)
    body = run.segmentation.model_dump() | {"levels": levels}
    figures = make_figures(scene_figures(levels, 10_000, answer=iou))
    return fake_run(run.network, recipe, name=name, figures=figures, body=body, **changes)


def class_run(name: str, value: float, base: str = "koch", **changes: Any) -> Run:
    names = ("validation", "within-alphabet", "within-alphabet-10000", "all_runs", "verification")
    fields = {"name": name, "settings": {"base": base}, "figures": make_figures(means(value, *names))}
    return fake_classification_run(name.partition("-")[0], base, scores={}, **fields | changes)


def means(value: float, *names: str) -> dict[str, dict[str, Any]]:
    return {name: figure(value, 400) for name in names}


def make_figures(figures: dict[str, dict[str, Any]]) -> dict[str, Figure]:
    return {key: Figure(**values) for key, values in figures.items()}


def small_runs() -> list[Run]:
    """Make runs out of order: one cut short, one of a further seed, one of another recipe, a plain one."""
    return [
        scene_run("siamese_unet-32-fast", (32,), 0.625, training={"n_steps": 5}),
        scene_run("siamese_unet-4-fast-seed-7", (4,), 0.25, seed=7),
        scene_run("siamese_unet-4-published", (4,), 0.5, "published", training={"n_seen": 5}),
        scene_run("siamese_unet-4-fast", (4,), 0.875),
    ]


def agreement(agrees: bool, recorded: float, n: int = 250) -> dict[str, Any]:
    return {"agrees": agrees, "recorded": recorded, "n": n, "difference_points": 1.0,
            "mean_absolute_difference_points": 4.0}  # fmt: skip


def rechecked_scenes() -> dict[str, Any]:
    """Make what the stage recheck says: one run agrees, another does not."""
    key = "4/answer/test-one-shot/iou"
    return {
        "scale": "laptop",
        "networks": {
            "siamese_unet-4-fast": {"figures": scene_figures((4,), 250, answer=0.875),
                                    "agreement": {key: agreement(True, 0.875)}},
            "siamese_unet-4-published": {"figures": scene_figures((4,), 250, answer=0.25),
                                         "agreement": {key: agreement(False, 0.5)}},
        },
    }  # fmt: skip


def class_network(value: float, recipe: str = "own", base: str | None = "koch_small") -> dict[str, Any]:
    counts = dict.fromkeys(("within-alphabet", "all_runs", "mnist"), 400)
    counts |= {"within-alphabet-10000": 10_000, "validation": 320, "mixed-5-way-1-shot": 5000}
    counts |= dict.fromkeys(("mixed-20-way-1-shot", "mixed-20-way-5-shot"), 20_000)
    counts |= dict.fromkeys(("rising-ways/2", "rising-ways/3", "rising-ways-training/2"), 400)
    counts |= {"verification": 10_000} if base else {}
    return {
        "net": "siamese" if base else "protonet", "recipe": recipe, "base": base, "n_parameters": 1234,
        "seed": 1803, "n_seen": 400, "n_pairs": None, "n_copies": None,
        "figures": {name: figure(value, n) for name, n in counts.items()},
    }  # fmt: skip


def classification(**changes: Any) -> dict[str, Any]:
    """Make metrics: Koch's network by two recipes, a prototypical one, baselines."""
    published = class_network(0.5, "published") | {"n_pairs": 30_000, "n_copies": 8}
    published["figures"]["verification/best-threshold"] = figure(0.25, 10_000)
    networks = {
        "pairs_30000_affine": published,
        "own": class_network(0.75),
        "protonet": class_network(0.875, "protonet", None),
    }
    baselines = {
        "cosine": {"figures": {"within-alphabet": figure(0.2175, 400)}},
        "hausdorff": {"figures": {"all_runs": figure(0.6125, 400)}},
    }
    about = {"scale": "laptop", "source": "omniglot", "protocols": {}, "not_computed": {}}
    return about | {"networks": networks, "baselines": baselines} | changes


def segmentation_rows(*runs: Run, **changes: Any) -> pd.DataFrame:
    chosen = [*runs] or small_runs()
    return collect_rows("segmentation", PUBLISHED, segmentation(**changes), rechecked_scenes(), chosen)


def classification_rows(*runs: Run, **changes: Any) -> pd.DataFrame:
    return collect_rows("classification", KOCH, classification(**changes), None, runs)


def find_table(paragraphs: list[str], title: str) -> str:
    """Find the table below the one title that holds these words."""
    (place,) = (n for n, text in enumerate(paragraphs) if text.startswith("### ") and title in text)
    return paragraphs[place + 1]


def titles_of(table: str) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[0].split("|")[1:-1]]


def lines_of(table: str) -> list[str]:
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def cells(table: str, line: int | str) -> dict[str, str]:
    """Read one line of a table, by its columns' titles."""
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    return next(dict(zip(titles_of(table), row, strict=True)) for row in rows if row[0] == str(line))


def column_of(table: str, title: int | str) -> dict[str, str]:
    """Read one column of a table, by its lines' first cells."""
    return {line: cells(table, line)[str(title)] for line in lines_of(table)}
