"""The page in a real browser: all three games, by pointer and keyboard, and what axe finds wrong with it."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from oneshot.classify.episodes import Episodes
from oneshot.records.played import read_played
from tests.browser import open_browser, require_browser
from tests.play.conftest import N_ASKED

require_browser()

from axe_core_python import selenium as axe  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(folder: Path, port: int) -> Iterator[Any]:
    with open_browser(folder) as opened:
        opened.get(f"http://127.0.0.1:{port}/")
        yield opened


def get(browser: Any, css: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, css)


def wait_for(browser: Any, css: str) -> Any:
    return WebDriverWait(browser, 20).until(
        lambda _: next((one for one in browser.find_elements(By.CSS_SELECTOR, css) if one.text), None)
    )


def press(browser: Any, css: str) -> None:
    browser.execute_script("arguments[0].click()", get(browser, css))


def draw(browser: Any, pad: Any, points: list[tuple[int, int]]) -> None:
    """Draw a line through points, as seen from the pad's middle."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
    actions = ActionChains(browser, duration=10).move_to_element_with_offset(pad, *points[0]).click_and_hold()
    for (x, y), (next_x, next_y) in pairwise(points):
        actions.move_by_offset(next_x - x, next_y - y)
    actions.release().perform()


def find_violations(browser: Any) -> list[str]:
    found = axe.Axe().run(browser)["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]


def test_networks_find_what_is_clicked_by_pointer_or_keyboard(browser: Any) -> None:
    wait_for(browser, "#find-hint")
    WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#scene-keys button"))
    press(browser, "[value=click]")
    first = get(browser, "#scene-keys button")
    scene = get(browser, "#scene-canvas")
    x, y = (float(first.value_of_css_property(side)[:-2]) for side in ("left", "top"))
    middle = scene.size["width"] / 2
    ActionChains(browser).move_to_element_with_offset(scene, x - middle, y - middle).click().perform()
    assert "colour matcher" in wait_for(browser, "#find-result table").text
    browser.execute_script("document.getElementById('find-result').replaceChildren()")
    first.send_keys(Keys.ARROW_DOWN)
    chosen = browser.switch_to.active_element
    assert chosen != first
    assert chosen.get_attribute("aria-label").startswith("character ")
    chosen.send_keys(Keys.ENTER)
    assert "%" in wait_for(browser, "#find-result table").text


def test_a_player_races_the_networks(browser: Any) -> None:
    press(browser, "[value=race]")
    WebDriverWait(browser, 20).until(lambda _: get(browser, "#find-clock").text not in ("", "0.0 s"))
    get(browser, "#scene-keys button").send_keys(Keys.ENTER)
    rows = wait_for(browser, "#find-result table").find_elements(By.CSS_SELECTOR, "tbody tr")
    assert [row.text.split()[0] for row in rows] == ["you", "colour", "Siamese-U-Net"]


def test_networks_find_a_drawing_by_pointer_or_keyboard(browser: Any) -> None:
    press(browser, "[value=draw]")
    pad = get(browser, "#find-pad canvas")
    draw(browser, pad, [(-50, -60), (40, 0), (-30, 60)])
    assert "score" in wait_for(browser, "#find-result table").text
    press(browser, "#find-pad button")
    WebDriverWait(browser, 20).until(lambda _: not get(browser, "#find-result").text)
    pad.send_keys(Keys.SPACE, *5 * [Keys.ARROW_RIGHT], *5 * [Keys.ARROW_DOWN], Keys.SPACE)
    assert "score" in wait_for(browser, "#find-result table").text
    assert find_violations(browser) == []


def test_a_player_answers_all_questions_and_saves_the_result(
    browser: Any, folder: Path, episodes: Episodes
) -> None:
    press(browser, "#tab-which")
    press(browser, "#which-start")
    for number in range(1, N_ASKED + 1):
        WebDriverWait(browser, 20).until(
            lambda _, n=number: get(browser, "#which-number").text == f"Question {n} of {N_ASKED}"
        )
        WebDriverWait(browser, 20).until(lambda _: not get(browser, "#which-next").is_displayed())
        if number == 1:
            first = get(browser, "#which-shown button")
            first.send_keys(Keys.ARROW_RIGHT)
            assert browser.switch_to.active_element.get_attribute("aria-label") == "candidate 2"
            browser.switch_to.active_element.send_keys(Keys.ENTER)
        else:
            press(browser, "#which-shown button")
        wait_for(browser, "#which-said table")
        if number == 1:
            assert find_violations(browser) == []
        press(browser, "#which-next")
    table = wait_for(browser, "#which-result table").text
    assert "you" in table
    assert "people" not in table  # who answered Lake's trials, not these
    press(browser, "#which-result button")
    saved = folder / "synthetic-answers.json"
    WebDriverWait(browser, 20).until(lambda _: saved.exists())
    played = read_played(saved, episodes)
    assert len(played.answers) == N_ASKED
    assert played.answers[0].choice == 1
    assert json.loads(saved.read_text())["sha256"] == episodes.sha256()


def test_drawings_of_ones_own_become_classes(browser: Any) -> None:
    press(browser, "#tab-own")
    lines = [
        [(-40, 0), (40, 0)],
        [(0, -40), (0, 40)],
        [(-30, -40), (-30, 40), (40, 40)],
        [(-40, 30), (0, -40), (40, 30)],
        [(40, -30), (-40, -40), (-40, 40), (40, 30)],
    ]
    pads = browser.find_elements(By.CSS_SELECTOR, "#own-classes canvas")
    for pad, line in zip(pads, lines, strict=True):
        draw(browser, pad, line)
    get(browser, "#own-classes input").send_keys("<b>stroke", Keys.TAB)
    draw(browser, get(browser, "#own-query canvas"), [(-60, -4), (60, 6)])
    table = wait_for(browser, "#own-result table")
    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert len(rows) == 5
    assert rows[0].text.startswith("✓ <b>stroke")
    assert find_violations(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_every_game_without_scrolling_sideways(browser: Any, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for tab in ("find", "which", "own"):
        press(browser, f"#tab-{tab}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360, tab
        assert find_violations(browser) == []


def test_nothing_was_wrong_in_the_console(browser: Any) -> None:
    """Comes last: of all that the other tests did."""
    assert browser.get_log("browser") == []
