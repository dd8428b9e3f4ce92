"""A service of the first bundle, shared by the tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from serving.running import Direct, Process, quiet


@pytest.fixture(scope="session")
def process(bundle: Path) -> Iterator[Process]:
    """A running service, for tests that leave it as it was."""
    with Process(bundle) as running:
        yield running


@pytest.fixture
def direct(bundle: Path) -> Iterator[Direct]:
    """A service of one's own, without a network."""
    service = Direct(quiet(bundle))
    yield service
    service.close()


@pytest.fixture(scope="session")
def row() -> dict[str, Any]:
    """A row that the contract allows."""
    return {"site": "north", "height": 4.5, "leaves": 3, "potted": True}


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """A real browser, as wide as a phone."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=390,844"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(driver))
    yield chrome
    chrome.quit()
