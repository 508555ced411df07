"""A real browser, headless Chromium driven by Selenium, to try pages in; and their pictures in docs/pictures.

`python -m tests.browser` takes the pictures: of report.html, and of `python -m oneshot play`.
"""

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oneshot.files import replacing
from tests.conftest import ROOT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PICTURES = ROOT / "docs/pictures"
DESKTOP, TELEPHONE = (1280, 900), (390, 844)


def require_browser() -> None:
    """Skip a test, or a module of tests, where there is no browser, or nothing to drive it by."""
    for package in ("selenium", "axe_core_python"):
        pytest.importorskip(package, reason=f"{package.replace('_', '-')} is not installed")
    if BROWSER is None or DRIVER is None:
        pytest.skip("Chromium and chromedriver are not installed", allow_module_level=True)


@contextmanager
def open_browser(folder: Path, size: tuple[int, int] = DESKTOP) -> Iterator[Any]:
    """Open a browser that keeps its profile, and what it downloads, in a folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in (*QUIET, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder}/profile"):
        options.add_argument(word)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as browser:
        yield browser


def resize(browser: Any, size: tuple[int, int]) -> None:
    """Give a page just this size, also below the width that a window must have."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def take(browser: Any, name: str) -> None:
    """Keep what is seen as a picture of few colours."""
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    with replacing(PICTURES / f"{name}.png") as file:
        image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            file, "PNG", optimize=True
        )


def picture_report(browser: Any) -> None:
    browser.get((ROOT / "report.html").as_uri())
    for name, size in (("report-desktop", DESKTOP), ("report-telephone", TELEPHONE)):
        resize(browser, size)
        browser.execute_script("document.getElementById('charts').scrollIntoView({behavior: 'instant'})")
        time.sleep(1)
        take(browser, name)


def picture_play(browser: Any, address: str) -> None:
    browser.get(address)
    for name, size in (("play-desktop", DESKTOP), ("play-telephone", TELEPHONE)):
        resize(browser, size)
        browser.execute_script("document.getElementById('find-new').click()")
        time.sleep(5)
        take(browser, name)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as browser:
        picture_report(browser)
        command = [sys.executable, "-u", "-m", "oneshot", "play"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                found = re.search(r"http://\S+", server.stdout.readline())
                assert found, "the server did not start"
                picture_play(browser, found[0])
            finally:
                server.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
