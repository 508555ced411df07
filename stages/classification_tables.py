"""Tables and the plot of classification, as the stage tables writes them beside those of segmentation."""

import json
from typing import Any

import pandas as pd

from oneshot.published import read_facts
from oneshot.records.classification_run import read_classifier_records
from oneshot.report.classification_curves import draw_rising_ways
from oneshot.report.classification_rows import collect_classification
from oneshot.report.classification_tables import render_classification
from oneshot.report.figures import save_figure
from stages.places import FIGURES, METRICS, RESULTS, TABLES
from stages.written import write

RISING = ("rising_ways_networks", "rising_ways_baselines")


def write_classification(scale: str) -> str:
    """tables/classification.csv and .md, tables/rising_ways.csv, figures/rising_ways.png.

    Gives the Markdown, for the README.
    """
    published = read_facts("koch")
    baselines, trained, reevaluated = map(read, ("baselines", "classification", "reclassified"))
    records = [record.model_dump(mode="json") for record in read_classifier_records(RESULTS)]
    results = collect_classification(published, baselines, trained, records, reevaluated)
    markdown = render_classification(results, records, published, scale, trained["source"])
    write(TABLES / "classification.csv", results.to_csv(index=False, lineterminator="\n"))
    write(TABLES / "classification.md", markdown)
    rising = pd.concat([pd.read_csv(METRICS / f"{name}.csv") for name in RISING])
    write(TABLES / "rising_ways.csv", spread(rising).to_csv(lineterminator="\n", float_format="%.6g"))
    save_figure(draw_rising_ways(rising), FIGURES / "rising_ways.png")
    return markdown


def spread(rising: pd.DataFrame) -> pd.DataFrame:
    """A column for every line of the plot, such as own_evaluation, as DVC's plots want them."""
    lines = rising.assign(line=rising["scorer"] + "_" + rising["characters"])
    return lines.pivot(index="n_way", columns="line", values="percent")


def read(name: str) -> dict[str, Any]:
    return json.loads((METRICS / f"{name}.json").read_text())
