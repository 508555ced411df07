"""The page report.html: what it holds, and, in a real browser, how it behaves."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oneshot.report import interactive
from oneshot.report.headlines import head_classification, head_segmentation
from oneshot.report.interactive import (
    chart_iou,
    chart_training,
    chart_ways,
    describe_answers,
    describe_trials,
    encode_answers,
    encode_colours,
    list_origins,
    name_origin,
    render_report,
)
from tests.browser import open_browser, require_browser
from tests.report.fakes import classification_rows, scene_run, segmentation_rows

RUN = scene_run("siamese_unet-4-fast", (4,), 0.875)
PLACE, NET = "4/test-one-shot", "a net, recorded"


def decode(code: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGBA"))


def fake_data(folder: Path) -> dict[str, Any]:
    """All that the page shows, from fake figures, one run with a curve, two scenes and two trials."""
    run_folder = folder / "segmentation" / RUN.name
    run_folder.mkdir(parents=True, exist_ok=True)
    lines = [f"segmentation,{k},{100 * k},{1 / k},0.1,,{k}" for k in range(1, 9)]
    (run_folder / "curve.csv").write_text("\n".join(["training,step,n_seen,loss,lr,error,seconds", *lines]))
    scenes, classes = segmentation_rows(RUN), classification_rows()
    origins = list_origins("segmentation", scenes, [RUN], {RUN.name: "python -m stages.record x"}, {})
    origins |= list_origins("classification", classes, [], {}, {})
    masks = np.zeros((2, 8, 8), np.bool_)
    masks[:, :2] = True
    arrays = {"net/iou": np.array([1.0, 0.25, 0.5], np.float32), "net/masks": masks.swapaxes(1, 2)}
    arrays |= {"groups/crops": np.full((2, 2, 4, 4), 90, np.uint8), "groups/scores": np.array([3.0, 1.0])}
    arrays["groups/is_target"] = np.array([True, False])
    image = np.zeros((8, 8, 3), np.uint8)
    one_set = {"scenes": [encode_colours(image)] * 2, "targets": [encode_colours(image)] * 2,
               "truth": encode_answers(masks & False, masks)}  # fmt: skip
    drawings = np.eye(12, dtype=np.uint8).reshape(12, 3, 4)
    queries, answers = np.array([[8, 9]]), np.array([[0, 1]])
    choices = {"right": answers, "confused": answers[:, ::-1]}
    return {
        "origins": origins,
        "runs": [f"recorded/{RUN.name}"],
        "iou": chart_iou(scenes),
        "ways": chart_ways(classes),
        "training": chart_training([RUN], folder),
        "scenes": {"levels": [4, 8], "splits": {"test-one-shot": "one-shot characters"},
                   "sets": {PLACE: one_set},
                   "answers": {f"{NET}/{PLACE}": describe_answers(masks, arrays, "net", "groups")}},
        "trials": describe_trials(drawings, np.arange(4)[None], queries, answers, choices),
    }  # fmt: skip


def render(data: dict[str, Any], **comparison: Any) -> str:
    tables = {
        "Segmentation": head_segmentation(segmentation_rows(RUN)),
        "Classification": head_classification(classification_rows()),
    }
    return render_report(data, tables, "laptop", **comparison)


def read_data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_figure_of_a_table_leads_to_its_origin(tmp_path: Path) -> None:
    page = render(fake_data(tmp_path))
    data = read_data(page)
    assert len(data["cells"]) == page.count("data-cell=") > 10
    assert {figure["origin"] for cell in data["cells"] for figure in cell} <= data["origins"].keys()
    number = re.search(r'data-cell="(\d+)">87.5 \(86.2 to 90.0\)<', page)
    assert number
    (figure,) = data["cells"][int(number[1])]
    assert (figure["n"], figure["origin"]) == (10_000, f"recorded/{RUN.name}")
    origin = data["origins"][figure["origin"]]
    facts = dict(origin["facts"])
    assert facts["revision"] == RUN.git_revision
    assert facts["seed"] == "1803"
    assert "budget 30" in facts["minutes"]
    assert "a GPU" in facts["device"]
    assert origin["command"] == "python -m stages.record x"


def test_each_of_a_masknets_trainings_is_a_line(tmp_path: Path) -> None:
    run = scene_run("masknet-4-fast", (4,), 0.5)
    folder = tmp_path / "segmentation" / run.name
    folder.mkdir(parents=True)
    seen = {"proposals": (100, 200, 300), "discriminator": (100, 200)}
    lines = [f"{name},{k},{n},0.5,0.1,,{k}" for name, counts in seen.items() for k, n in enumerate(counts, 1)]
    (folder / "curve.csv").write_text("\n".join(["training,step,n_seen,loss,lr,error,seconds", *lines]))
    chart = chart_training([run], tmp_path)
    found = {line["name"]: [point[0] for point in line["points"]]
             for line in chart["views"]["segmentation: training loss"]}  # fmt: skip
    assert found == {f"masknet-4-fast, {name}": [*counts] for name, counts in seen.items()}


def test_what_was_trained_here_has_the_commands_of_its_stages() -> None:
    provenance = {"masknet-joint": {"seconds": 7.0, "speed": "bf16"}}
    origins = list_origins("segmentation", segmentation_rows(RUN), [RUN], {}, provenance)
    found = origins["here/masknet-joint"]
    assert "train_segmentation@masknet-joint evaluate_segmentation" in found["command"]
    for fact in (["seconds of training", "7.0"], ["speed", "bf16"]):
        assert fact in found["facts"]
    assert "train_" not in origins["here/all_ink"]["command"]


def test_one_methods_figures_from_two_publications_name_their_own() -> None:
    rows = classification_rows()
    origins = list_origins("classification", rows, [], {}, {})
    found = [name_origin(row) for row in rows[rows["title"].eq("hierarchical deep")].to_dict("records")]
    assert len(found) == len(set(found)) == 2
    assert all(found[k].endswith(dict(origins[found[k]]["facts"])["source"]) for k in range(2))


def test_the_page_loads_nothing_and_says_what_is_left_out(tmp_path: Path) -> None:
    page = render(fake_data(tmp_path))
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", page)
    assert "@import" not in page
    for words in ("There are no figures for this chart", "No answers to scenes", "No classifier answered"):
        assert words not in page
    empty = render({"origins": {}, "runs": []})
    assert empty.count("There are no figures for this chart.") == 3
    for words in ("No answers to scenes", "No classifier answered", "No figures of recorded runs"):
        assert words in empty


def test_figures_that_differ_from_a_revision_stand_side_by_side(tmp_path: Path) -> None:
    changes = [
        ("colour_matcher", "256, iou", 0.921, 0.927), ("own", "mnist, accuracy", 0.5, 0.4),
        ("old", "4, iou", 0.5, None), ("young", "4, iou", None, 0.5),
    ]  # fmt: skip
    page = render(fake_data(tmp_path), revision="<main>", changes=changes)
    assert "<h2>Compared with &lt;main&gt;</h2>" in page
    for cells in (
        "256, iou</td><td>92.1</td><td>92.7</td><td>0.6 points higher",
        "mnist, accuracy</td><td>50.0</td><td>40.0</td><td>10.0 points lower",
        "4, iou</td><td>50.0</td><td>–</td><td>gone",
        "4, iou</td><td>–</td><td>50.0</td><td>new",
    ):
        assert cells in page
    assert "All figures of the summary are the same." in render({}, revision="main", changes=[])
    assert "Compared with" not in render(fake_data(tmp_path))


def test_data_cannot_end_the_script_that_holds_it(tmp_path: Path) -> None:
    page = render(fake_data(tmp_path) | {"odd": "</script><b>"})
    assert "</script><b>" not in page
    assert read_data(page)["odd"] == "</script><b>"


def test_lines_have_values_intervals_and_counts_and_the_chosen_ones_are_on(tmp_path: Path) -> None:
    data = fake_data(tmp_path)
    lines = {line["name"]: line for line in data["iou"]["views"]["one-shot characters"]}
    assert lines["siamese_unet-N-fast, 24 feature maps, recorded"]["points"] == [
        [4, 87.5, 86.25, 90.0, 10_000, f"recorded/{RUN.name}"]
    ]
    assert lines["Siamese-U-Net, published"]["points"][0] == [
        4, 97.1, None, None, None, "published/siamese_unet-4/a paper",
    ]  # fmt: skip
    assert lines["siamese_unet-joint, trained here"]["on"]
    assert not lines["siamese_unet-N, trained here"]["on"]
    (curve,) = data["training"]["views"]["segmentation: training loss"]
    assert curve["points"][1][:2] == [200, 0.5]
    assert data["ways"]["views"].keys() == {"evaluation characters", "training characters"}


def test_pixels_are_right_wrong_or_missed() -> None:
    answers = np.array([[[True, True], [False, False]]])
    masks = np.array([[[True, False], [True, False]]])
    pixels = decode(encode_answers(answers, masks))
    assert pixels[0, 0].tolist() == [*interactive.HIT_COLOUR, 255]
    assert pixels[0, 1].tolist() == [*interactive.MISS_COLOUR, 255]
    assert pixels[1, 0].tolist() == [*interactive.TRUE_COLOUR, 255]
    assert pixels[1, 1, 3] == 0


@pytest.mark.parametrize("n_colours", [3, 300])
def test_scenes_are_kept_pixel_by_pixel(n_colours: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (n_colours, 3), np.uint8)
    image = colours[np.arange(32 * 32) % n_colours].reshape(32, 32, 3)
    assert (decode(encode_colours(image))[..., :3] == image).all()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require_browser()
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_browser_shows_it_without_errors_or_barriers(
    width: int, scheme: str, browser: Any, tmp_path: Path
) -> None:
    from axe_core_python.selenium import Axe

    path = tmp_path / "report.html"
    path.write_text(render(fake_data(tmp_path)), encoding="utf-8")
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())

    def ask(script: str) -> Any:
        return browser.execute_script(f"const $ = (s) => document.querySelector(s); {script}")

    def list_serious() -> list[str]:
        found = Axe().run(browser)["violations"]
        return [one["id"] for one in found if one["impact"] in ("serious", "critical")]

    assert ask("return document.documentElement.scrollWidth") <= width
    assert list_serious() == []
    count = "return document.querySelectorAll('[data-chart=iou] .plot path[fill=none]').length"
    before = ask(count)
    ask("$('[data-chart=iou] fieldset label:last-child input').click()")
    assert ask(count) == before - 1
    ask("$('[data-chart=iou] .plot').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))")
    assert "97.1 %" in ask("return $('[data-chart=iou] .tip').textContent")
    captions = ask(
        "return [...document.querySelectorAll('#scene-list figcaption')].map((one) => one.textContent)"
    )
    assert captions[3::4] == ["answer: IoU 25 %", "answer: IoU 100 %"]
    ask("const one = document.querySelectorAll('#scene-controls select')[1]; one.value = 8; one.onchange()")
    assert ask("return $('#scene-summary').textContent") == "This network was not evaluated there."
    assert "Trial 1 of 2" in ask("return $('#trial-summary').textContent")
    assert ask("return document.querySelectorAll('#trial .bad').length") == 1
    ask("$('[data-cell]').click()")
    assert ask("return $('dialog').open")
    assert "97.1 %" in ask("return $('dialog').textContent")
    assert list_serious() == []
    assert browser.get_log("browser") == []


def test_of_a_network_that_answered_to_fewer_scenes_those_are_described() -> None:
    masks = np.ones((3, 8, 8), np.bool_)
    arrays = {"net/iou": np.array([1.0, 0.5], np.float32), "net/masks": masks[:2]}
    found = describe_answers(masks, arrays, "net", "groups")
    assert found["iou"] == [100, 50]
    assert decode(found["layer"]).shape[0] == 16
