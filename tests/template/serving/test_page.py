"""The page, as a person uses it, in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from serving.running import Process


@pytest.fixture(scope="module")
def site(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service with everything that stands beside a champion."""
    folder = tmp_path_factory.mktemp("champion")
    shutil.copytree(made["species"], folder / "bundle")
    evaluation = folder / "evaluation"
    evaluation.mkdir()
    (folder / "decision.json").write_text(json.dumps({"verdict": "PROMOTE", "who": "Ada", "commit": "c" * 40}))
    (evaluation / "metrics.json").write_text(json.dumps({"accuracy": {"value": 0.95, "low": 0.9, "high": 0.98}}))
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><circle r="9" fill="teal"/></svg>'
    (evaluation / "confusion-matrix.svg").write_text(svg)
    with Process(folder / "bundle") as process:
        yield process


def opened(browser: Chrome, url: str) -> None:
    browser.get(url)
    WebDriverWait(browser, 30).until(lambda b: b.find_elements(By.CSS_SELECTOR, "button, h2 + p"))


def test_fill_the_form_with_the_keyboard_and_see_a_prediction(browser: Chrome, site: Process) -> None:
    opened(browser, site.url)
    assert browser.title == "flowers"
    height = browser.find_element(By.NAME, "height")
    height.clear()
    height.send_keys("9.5", Keys.ENTER)
    answer = WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "#answer strong").text)
    assert answer in ("rose", "lily", "fern")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#answer meter")) == 3
    table = WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "#answer table"))
    assert answer in table.find_element(By.TAG_NAME, "caption").text
    bars = table.find_elements(By.CSS_SELECTOR, ".more, .less")
    widths = [bar.size["width"] for bar in bars]
    assert len(widths) == 6
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 20
    numbers = [cell.text for cell in table.find_elements(By.CSS_SELECTOR, "td:last-child")]
    signs = {(number[0], bar.get_attribute("class")) for number, bar in zip(numbers, bars, strict=True)}
    assert {("+", "more"), ("-", "less")} <= signs <= {("+", "more"), ("-", "less"), ("0", "more"), ("0", "less")}
    browser.find_element(By.NAME, "height").send_keys("x", Keys.ENTER)
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.ID, "field-height-error").text)
    assert not browser.find_elements(By.CSS_SELECTOR, "#answer table")


def test_an_error_stands_beside_its_field_and_has_the_focus(browser: Chrome, site: Process) -> None:
    opened(browser, site.url)
    for name, text in (("height", "tall"), ("leaves", "200")):
        field = browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)
    browser.find_element(By.TAG_NAME, "button").click()
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.ID, "field-height-error").text)
    assert "number" in browser.find_element(By.ID, "field-height-error").text
    assert "less than" in browser.find_element(By.ID, "field-leaves-error").text
    assert browser.find_element(By.NAME, "height").get_attribute("aria-invalid") == "true"
    assert browser.switch_to.active_element.get_attribute("name") in ("height", "leaves")
    assert not browser.find_elements(By.CSS_SELECTOR, "#answer strong")


def test_the_card_and_the_plots_are_there_and_fit_a_phone(browser: Chrome, site: Process) -> None:
    opened(browser, site.url)
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "0.950" in text
    assert "0.900 to 0.980" in text
    assert "PROMOTE" in text
    image = browser.find_element(By.CSS_SELECTOR, "#plots img")
    assert image.get_attribute("naturalWidth") == "80"
    wide = browser.execute_script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length"
    )
    assert unnamed == 0


def test_the_api_page_tries_a_real_example(browser: Chrome, site: Process) -> None:
    opened(browser, f"{site.url}/docs")
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.ID, "operations-default-predict")).click()
    wait = WebDriverWait(browser, 30)
    wait.until(lambda b: b.find_element(By.CSS_SELECTOR, "#operations-default-predict button.execute")).click()
    answer = "#operations-default-predict .live-responses-table"
    wait.until(lambda b: '"label"' in b.find_element(By.CSS_SELECTOR, answer).text)


def test_nothing_breaks_the_content_security_policy(browser: Chrome, site: Process) -> None:
    browser.get_log("browser")
    for path in ("/", "/docs"):
        opened(browser, site.url + path)
        resources = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert resources
        assert all(name.startswith(site.url) for name in resources)
    errors = [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    assert errors == []
    blocked = browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
        "document.head.append(s); return window.ran"
    )
    assert blocked is None
