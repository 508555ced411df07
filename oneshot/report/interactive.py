"""The page report.html: one file with tables, charts, scenes, trials, and the origin of every figure."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from oneshot.params import CLASSIFICATION
from oneshot.published import RISING_WAYS
from oneshot.records.run import CURVE, OWN_ANSWER, Run
from oneshot.report.curves import choose_points, choose_source
from oneshot.report.figures import HIT_COLOUR, MISS_COLOUR, TRUE_COLOUR, tint
from oneshot.report.headlines import Headline
from oneshot.report.published_rows import BASELINE_TITLES, NETWORK_TITLES, VARIANTS
from oneshot.report.rows import ALL_INK, Kind, choose, is_further
from oneshot.report.runs import describe_run, describe_seen
from oneshot.report.segmentation_tables import COVERED, SPLIT_TITLES, title_net
from oneshot.report.tables import KIND_TITLES, SHORT_TITLES, format_figure, join_words

WEB = Path(__file__).parent / "web"
ALL_SPLITS = SPLIT_TITLES | {name: f"{SPLIT_TITLES[like]}, target covered" for name, like in COVERED.items()}
HIT, WRONG, MISSED = 1, 2, 3  # colours of an answer's pixels; 0 is transparent
N_COLUMNS = 10  # of the sheet of drawings
N_BINS = 10  # of a histogram of IoU
MOST_POINTS = 120  # of a training curve
Change = tuple[str, str, float | None, float | None]  # network, what, at a revision and here


def render_report(
    data: Mapping[str, Any],
    headlines: Mapping[str, Headline],
    scale: str,
    revision: str = "",
    changes: Iterable[Change] | None = None,
) -> str:
    """Put everything into one page that loads nothing; the figures of the tables join those of `data`.

    changes: the figures that differ from a revision's, if the page is to compare with one.
    """
    from jinja2 import Environment, FileSystemLoader

    cells: list[list[dict[str, Any]]] = []
    tables = {}
    for title, table in headlines.items():
        lines: list[list[tuple[str, int | None]]] = [[(line, None)] for line in table.lines]
        for column in table.columns.values():
            for line, cell in zip(lines, column, strict=True):
                line.append((cell.text, len(cells) if cell.rows else None))
                cells += [[describe_figure(row) for row in cell.rows]] if cell.rows else []
        tables[title] = {"first": table.first, "columns": [*table.columns], "lines": lines,
                         "caption": table.caption.replace("`", "")}  # fmt: skip
    compared = None if changes is None else [describe_change(*change) for change in changes]
    text = json.dumps({**data, "cells": cells}, separators=(",", ":"), allow_nan=False)
    page = Environment(loader=FileSystemLoader(WEB), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("page.html").render(
        tables=tables, scale=scale, revision=revision, compared=compared, data=text.replace("<", "\\u003c"),
        has=lambda name: bool(data.get(name)),
    )  # fmt: skip


def describe_change(network: str, what: str, there: float | None, here: float | None) -> list[str]:
    """Describe a figure, a share, at a revision and here, and in words what became of it."""
    texts = ["–" if value is None else f"{100 * value:.1f}" for value in (there, here)]
    if there is None or here is None:
        return [network, what, *texts, "new" if there is None else "gone"]
    points = 100 * (here - there)
    return [network, what, *texts, f"{abs(points):.1f} points {'higher' if points > 0 else 'lower'}"]


def name_origin(row: Mapping[Any, Any]) -> str:
    """Name what a figure comes from: the kind, and the run, network or published method and its source."""
    owner = next(row[field] for field in ("run", "network", "title") if isinstance(row[field], str))
    if row["kind"] == Kind.PUBLISHED:
        return f"{Kind.PUBLISHED}/{owner}/{row['source']}"
    return f"{Kind.RECORDED if row['kind'] == Kind.RECHECKED else row['kind']}/{owner}"


def describe_figure(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Describe one figure: what it is of, in %, over how many scenes or trials, and its origin."""
    level = "" if pd.isna(row["clutter_level"]) else f"{row['clutter_level']} characters"
    benchmark = row["benchmark"] if isinstance(row["benchmark"], str) else ""
    split = ALL_SPLITS.get(row["split"], "")
    return {
        "what": join_words(row["metric"].replace("iou", "IoU"), benchmark, level, split),
        "value": f"{format_figure(row)} %",
        "n": None if pd.isna(row["n"]) else int(row["n"]),
        "origin": name_origin(row),
    }


def list_origins(
    task: str,
    rows: pd.DataFrame,
    runs: Iterable[Run],
    commands: Mapping[str, str],
    provenance: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """List where figures come from, by the names of `name_origin`.

    commands: by a recorded run's name, what records it again. provenance: by a network's name, where it was
    trained.
    """
    by_name = {run.name: run for run in runs}
    origins: dict[str, dict[str, Any]] = {}
    fields = ["kind", "run", "network", "title", "source"]
    for row in rows[rows["value"].notna()].drop_duplicates(fields).to_dict("records"):
        if row["kind"] == Kind.RECHECKED or (key := name_origin(row)) in origins:
            continue
        if row["kind"] == Kind.RECORDED:
            run = by_name[row["run"]]
            origins[key] = {"title": run.name, "facts": [*list_run_facts(run).items()],
                            "command": commands.get(run.name, "")}  # fmt: skip
            continue
        title = row["title"] or title_net(row["net"])
        facts = {"how": KIND_TITLES[row["kind"]], "source": row["source"], "what": row["variant"]}
        command = ""
        if row["kind"] == Kind.HERE:
            trained = isinstance(row["recipe"], str)
            about = provenance.get(row["network"], {}) if trained else {}
            facts |= {
                "network": row["network"], "recipe": row["recipe"],
                "seed": None if pd.isna(row["seed"]) else int(row["seed"]),
                "learned from": describe_seen(row) if trained else "nothing",
                "seconds of training": about.get("seconds"), "machine": about.get("machine"),
                "device": about.get("device"), "speed": about.get("speed"),
                "revision": about.get("git_revision"),
            }  # fmt: skip
            training = f"train_{task}@{row['network']} " if trained else ""
            command = f"dvc repro --force --single-item {training}evaluate_{task}"
        shown = [
            [name, str(value)]
            for name, value in facts.items()
            if isinstance(value, str | int | float) and value != ""
        ]
        shown = [fact for fact in shown if fact[1] != "nan"]
        origins[key] = {"title": title.replace("`", ""), "facts": shown, "command": command}
    return origins


def list_run_facts(run: Run) -> dict[str, str]:
    """List what a record says of how its figures were obtained."""
    row = describe_run(run, None)
    budget = f", budget {run.budget_minutes:g}" if run.budget_minutes else ", no budget"
    unit = run.trainings[-1].name if run.task == CLASSIFICATION else "scenes"
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items() if number)
    before = f", after {run.n_seen_before:,} of other weights" if run.n_seen_before else ""
    members = {"members": ", ".join(Path(one.file).parent.name for one in run.members)} if run.members else {}
    return members | {
        "how": KIND_TITLES[Kind.RECORDED],
        "record": f"recorded/{run.task}/{run.name}/run.json",
        "network": join_words(title_net(run.net), row["size"], f"{run.n_parameters:,} parameters"),
        "recipe": run.recipe,
        "seed": str(run.seed),
        "seen": f"{run.n_seen:,} {unit}{before}",
        "minutes": f"{row['training_minutes']:.1f} of training, {row['whole_minutes']:.1f} in all{budget}",
        "device": f"{run.device}; {run.machine}",
        "speed": row["speed"],
        "versions": versions,
        "revision": run.git_revision,
        "date": run.date,
        "weights": f"SHA-256 {row['weights_sha256']}",
    }


def list_points(rows: pd.DataFrame, x: str) -> list[list[Any]]:
    """List points of a line: x, and in % the value and its interval, if any; n; the origin."""
    percents = (100 * rows.sort_values(x)[["value", "low", "high"]].astype(float)).round(2)
    ordered = rows.sort_values(x)
    return [
        [None if pd.isna(value) else value for value in (int(row[x]), *of_row, row["n"], name_origin(row))]
        for of_row, row in zip(percents.to_numpy().tolist(), ordered.to_dict("records"), strict=True)
    ]


def chart_iou(rows: pd.DataFrame) -> dict[str, Any]:
    """Collect the lines of IoU over clutter level, by test set; those of the picture are shown at first."""
    points = choose_points(rows)
    points = points[points["answer"].eq(OWN_ANSWER) | points["network"].eq(ALL_INK)]
    points = points.assign(net=points["net"].fillna(ALL_INK))
    views: dict[str, list[dict[str, Any]]] = {title: [] for title in ALL_SPLITS.values()}
    for (kind, net), of_net in points.groupby(["kind", "net"], sort=False):
        shown = None if net in VARIANTS else choose_source(of_net)
        for title, line in of_net.groupby("title", sort=False):
            words = title_net(str(net)) if kind == Kind.PUBLISHED else str(title).replace("`", "")
            name = words if net == ALL_INK else f"{words}, {SHORT_TITLES[Kind(str(kind))]}"
            for split, of_split in line.groupby("split", sort=False):
                views[ALL_SPLITS[str(split)]].append({
                    "name": name, "kind": kind, "on": title == shown, "faint": net == ALL_INK,
                    "points": list_points(of_split, "clutter_level"),
                })  # fmt: skip
    views = {title: lines for title, lines in views.items() if lines}
    return {"views": views, "x": "characters in the scene", "y": "IoU in %", "log": True, "top": 100}


def chart_ways(rows: pd.DataFrame) -> dict[str, Any]:
    """Collect the lines of N-way accuracy over N, by whose characters."""
    points = choose(rows, benchmark=[*RISING_WAYS], kind=Kind.HERE)
    views: dict[str, list[dict[str, Any]]] = {}
    for (benchmark, network), line in points.groupby(["benchmark", "network"], sort=False):
        views.setdefault(f"{RISING_WAYS[str(benchmark)]} characters", []).append({
            "name": NETWORK_TITLES.get(str(network), str(network)), "kind": Kind.HERE, "on": True,
            "points": list_points(line, "n_way"),
            "faint": network in BASELINE_TITLES,
        })  # fmt: skip
    return {"views": views, "x": "N: characters to choose from", "y": "N-way 1-shot accuracy in %",
            "log": False, "top": 100}  # fmt: skip


def chart_training(runs: Iterable[Run], recorded: Path) -> dict[str, Any]:
    """Collect the training curves of recorded runs: loss, and the error of classifiers on validation."""
    views: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        path = recorded / run.task / run.name / CURVE
        if not path.is_file():
            continue
        curve = pd.read_csv(path)
        for field, words in {"loss": "training loss", "error": "validation error"}.items():
            known = curve[curve[field].notna() & (curve["n_seen"] > 0)]
            for training, found in known.groupby("training", sort=False):
                found = found.iloc[:: 1 + len(found) // MOST_POINTS]
                if len(found) < 2:
                    continue
                points = [
                    [int(x), float(y), None, None, None, f"{Kind.RECORDED}/{run.name}"]
                    for x, y in zip(found["n_seen"], found[field], strict=True)
                ]
                views.setdefault(f"{run.task}: {words}", []).append({
                    "name": run.name if len(run.trainings) == 1 else f"{run.name}, {training}",
                    "kind": Kind.RECORDED, "on": not is_further(run.name), "points": points,
                })  # fmt: skip
    return {"views": views, "x": "scenes, pairs or episodes seen", "y": "loss, or share of wrong answers",
            "log": True, "top": None}  # fmt: skip


def embed_png(image: Image.Image, **settings: Any) -> str:
    """Write a picture as a PNG in base64."""
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True, **settings)
    return base64.b64encode(content.getvalue()).decode()


def encode_colours(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """Encode an image of few colours by its palette, and without one if there are too many for that."""
    colours, numbers = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > 256:
        return embed_png(Image.fromarray(pixels))
    image = Image.fromarray(numbers.reshape(pixels.shape[:2]).astype(np.uint8), "P")
    image.putpalette(colours.astype(np.uint8).tobytes())
    return embed_png(image)


def encode_answers(answers: Bool[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]) -> str:
    """Encode one above another which pixels are right, wrong or missed: a layer to lie over the scenes."""
    layer = np.where(answers, np.where(masks, HIT, WRONG), np.where(masks, MISSED, 0)).astype(np.uint8)
    image = Image.fromarray(layer.reshape(-1, layer.shape[-1]), "P")
    image.putpalette(bytes((0, 0, 0, *HIT_COLOUR, *MISS_COLOUR, *TRUE_COLOUR)))
    return embed_png(image, transparency=0, bits=2)


def encode_drawings(drawings: UInt8[np.ndarray, "n h w"]) -> str:
    """Encode drawings, ink 1, as a sheet of black ink on white paper with N_COLUMNS columns."""
    n, height, width = drawings.shape
    sheet = np.zeros((-(-n // N_COLUMNS), N_COLUMNS, height, width), np.bool_)
    sheet.reshape(-1, height, width)[:n] = drawings
    return embed_png(Image.fromarray(~sheet.swapaxes(1, 2).reshape(-1, N_COLUMNS * width)))


def describe_answers(
    masks: Bool[np.ndarray, "n h w"], predictions: Mapping[str, np.ndarray], place: str, groups: str
) -> dict[str, Any]:
    """Describe a network's answers to the first scenes of a set, the true masks given.

    A MaskNet may have answered to fewer of them. place, groups: beginnings of the keys of its answers, and of
    the groups that a colour matcher ranked.
    """
    ious, answers = predictions[f"{place}/iou"], predictions[f"{place}/masks"][: len(masks)]
    found: dict[str, Any] = {
        "layer": encode_answers(answers, masks[: len(answers)]),
        "iou": [round(100 * float(iou)) for iou in ious[: len(answers)]],
        "bins": np.histogram(ious, N_BINS, (0, 1))[0].tolist(),
    }
    if f"{groups}/crops" in predictions:
        crops = np.stack([tint(crop) for crop in predictions[f"{groups}/crops"]])
        found["groups"] = {
            "crops": embed_png(Image.fromarray(crops[..., 0].reshape(-1, crops.shape[2]))),
            "scores": [round(float(score), 1) for score in predictions[f"{groups}/scores"]],
            "target": np.flatnonzero(predictions[f"{groups}/is_target"]).tolist(),
        }
    return found


def describe_trials(
    drawings: UInt8[np.ndarray, "n h w"],
    support: Int[np.ndarray, "episodes shown"],
    queries: Int[np.ndarray, "episodes queries"],
    answers: Int[np.ndarray, "episodes queries"],
    choices: Mapping[str, Int[np.ndarray, "episodes queries"]],
) -> dict[str, Any]:
    """Describe trials: numbers of drawings on a sheet, right classes, and the class each classifier chose."""
    return {
        "sheet": encode_drawings(drawings),
        "n": len(drawings),
        "columns": N_COLUMNS,
        "support": support.tolist(),
        "queries": queries.tolist(),
        "answers": answers.tolist(),
        "choices": {name: chosen.tolist() for name, chosen in choices.items()},
    }
