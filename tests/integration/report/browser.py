"""A headless Chromium, and what a test asks of a page in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE_PX = 500
"""Narrower windows behave as a phone does: no scroll bar takes room."""

OUT_OF_PLACE = """
// Texts that a reader cannot see whole: beyond the page, or beyond a box that hides what does not fit.
const wrong = [], width = document.documentElement.clientWidth;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || element.closest('title, desc, .skip')) continue;
  if (element.closest('details:not([open]) > :not(summary)')) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  let left = 0, right = width;
  const box = element.closest('.scroll');
  if (box) {
    left = box.getBoundingClientRect().left - box.scrollLeft;
    right = left + box.scrollWidth;
  }
  for (const rect of range.getClientRects())
    if (rect.left < left - 1 || rect.right > right + 1) wrong.push(['beyond its box', node.data.trim()]);
  if (!range.getClientRects().length) wrong.push(['not shown', node.data.trim()]);
  for (let up = element; up && up !== document.body && up !== box; up = up.parentElement) {
    const style = getComputedStyle(up);
    if (style.overflowX !== 'visible' && !up.closest('svg') && up.scrollWidth > up.clientWidth + 1)
      wrong.push(['clipped', node.data.trim()]);
  }
}
return wrong;
"""

PALE = """
// Texts whose colour is less than 4.5 times as light or dark as what is behind them (WCAG 2.2, 1.4.3).
const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parsed = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = parsed(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
    if (colour[3] > 0) throw new Error('half transparent');
  }
  return [255, 255, 255];
};
const wrong = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest('title, desc')) continue;
  const style = getComputedStyle(element);
  const ink = light(parsed(element.closest('svg') ? style.fill : style.color));
  const ground = light(behind(element));
  const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  if (ratio < 4.5) wrong.push([ratio.toFixed(2), walker.currentNode.data.trim()]);
}
return wrong;
"""


@contextmanager
def chromium(profile: Path) -> Iterator[WebDriver]:
    """A browser that reaches nothing but files.

    Args:
        profile: A folder of its own, which may not exist yet.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: WebDriver, page: Path, *, width: int, scheme: str) -> None:
    """Show a file in a window of some width, with the user's wish for light or dark."""
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < PHONE_PX}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
    driver.get(page.as_uri())


def ask(driver: WebDriver, script: str) -> Any:
    """What a script in the page returns."""
    return driver.execute_script(script)
