"""A headless browser for the tests of the pages, which are skipped where there is none."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module", name="browser")
def headless_browser():
    """Start Chromium by playwright, with an empty profile."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, path: Path, viewport=DESK, **options) -> Iterator:
    """Open a page from disk; afterward, check that it had no error and requested nothing."""
    context = browser.new_context(viewport=viewport, **options)
    context.set_default_timeout(120_000)  # Of a machine that is busy with other tests.
    page = context.new_page()
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (errors.append("a dialog"), dialog.dismiss()))
    page.goto(path.resolve().as_uri())
    page.evaluate("document.querySelector('.explorer')?.explorer.ready")
    yield page
    assert not errors, errors
    others = [url for url in requests if not url.startswith("data:")]
    assert others == [path.resolve().as_uri()]
    context.close()


def wait_until(page, condition: str, argument=None, seconds: float = 15) -> None:
    """Wait for a JavaScript condition; the page's policy forbids playwright's own method."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition, argument):
        assert time.monotonic() < deadline, f"never true: {condition}"
        page.wait_for_timeout(20)


def width_of_content(page) -> int:
    """Return the width of the page's content, to compare with that of the window."""
    return page.evaluate("document.documentElement.scrollWidth")
