"""Tests of the pages in a browser: light, dark, on a phone, printed."""

import json
import shutil

import handmade
import handmade_text
import pytest
from handmade_search import several_architectures
from PIL import Image

from tl_keras.report.pages import page, side_by_side

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
if not CHROMIUM:
    pytest.skip("no Chromium on PATH: pages cannot be looked at", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the `test` extra")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the `test` extra")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # The system's browser, also in a container; nothing is downloaded.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict:
    """Returns the path of each kind of page, with hostile names on it, by name."""
    folder = tmp_path_factory.mktemp("pages")
    run = handmade.make(folder)
    handmade.write_pictures(run)
    (run / "findings.json").write_text(json.dumps(handmade.findings()))
    long = "a_name_without_any_place_to_break_it_" * 4
    for i in range(12):
        Image.new("RGB", (300, 200), "teal").save(folder / "data" / f"{long}{i}.png")
    handmade.change(run, "data.json", quarantined=[{"file": f"{long}.png", "reason": long}])
    names = ("other", "audit", "begun", "searched")
    other, audit, begun, searched = (folder / name for name in names)
    for copy in (other, searched):
        shutil.copytree(run, copy)
    handmade.rewrite(searched, search=several_architectures())
    for name, files in ((audit, ("data.json", "findings.json")), (begun, ("config.yaml",))):
        name.mkdir()
        for file in files:
            shutil.copy(run / file, name / file)
    written = {path.name: page.write(path) for path in (run, audit, begun, searched)}
    written["texts"] = page.write(handmade_text.make(folder / "of_texts"))
    return written | {"comparison": side_by_side.write([run, other], folder / "comparison.html")}


NAMES = ("run", "audit", "begun", "searched", "texts", "comparison")
LOOKS = {"light": ("light", 1100), "dark": ("dark", 1100), "phone": ("light", 360)}


def opened(browser, path, look: str):
    """Opens a page; returns it with its console messages and the URLs that it requested."""
    scheme, width = LOOKS[look]
    # The page forbids scripts, but axe is one.
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )
    page = context.new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    return page, messages, requests


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_page_is_valid_and_accessible(browser, pages, name, look):
    page, messages, requests = opened(browser, pages[name], look)
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == LOOKS[look][1]
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in violations] == []
    page.context.close()


def test_content_security_policy_blocks_requests(browser, pages):
    page = browser.new_page()
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(pages["run"].as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://a.test/x\">')")
    page.wait_for_timeout(100)
    assert any("Content Security Policy" in line for line in messages)
    page.close()


def test_dark_is_dark(browser, pages):
    def brightness(look: str) -> int:
        page, _, _ = opened(browser, pages["run"], look)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.context.close()
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    assert brightness("dark") < 100 < 700 < brightness("light")


def test_printed_pages_are_light_and_not_clipped(browser, pages, tmp_path):
    page, _, _ = opened(browser, pages["run"], "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without margins, at 96 dpi.
    clipped = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > 718).length"
    assert page.evaluate(clipped) == 0
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.context.close()


def test_wide_tables_can_be_scrolled_by_keyboard(browser, pages):
    page, _, _ = opened(browser, pages["run"], "phone")
    box = page.locator(".scroll").filter(has=page.locator("pre")).first
    box.focus()
    assert box.evaluate("e => e === document.activeElement")
    page.context.close()
