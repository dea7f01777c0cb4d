"""Draws the pictures of docs/see-the-loop.md: the stories of the tour, as a browser shows them, and the race.

Owns: a server of the example for each story, a browser without a window, and the cut of each picture.
Must not know: what the page draws.
Invariant: nothing is retouched: each picture is what the page showed a second after the story was played.

`python -m benchmarks.pictures`, after `pip install playwright pillow`, with the Chromium on PATH or playwright's own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.processes import free_port

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs/images"
# Which step of the tour each story is, and the file of its picture.
STORIES = {1: "sleep", 2: "computing", 4: "pool", 5: "slow-client", 6: "n-plus-one"}
WIDTH = 1200
# From where to where something is drawn in the rows of requests.
DRAWN = """() => {
  const names = 290, boxes = [...document.querySelectorAll("#lanes rect[data-tip], #lanes line[data-tip]")]
    .map((each) => each.getBBox()).filter((box) => box.x >= names);
  return [Math.min(...boxes.map((box) => box.x)), Math.max(...boxes.map((box) => box.x + box.width))];
}"""


def play(page: Page, address: str, step: int, name: str) -> None:
    """Play one step of the tour, zoom to what it did, and take the picture."""
    page.goto(f"{address}/_loop?tour")
    page.locator("#tiles dd").first.wait_for()
    for _ in range(step):
        page.get_by_role("button", name="Next").click()
    page.select_option("#window", "10000")
    page.get_by_role("button", name="Make it happen").click()
    page.get_by_text("Look: ").wait_for()
    page.wait_for_timeout(1000)  # the feed speaks twice a second
    page.get_by_role("button", name="Freeze").click()
    start, end = page.evaluate(DRAWN)
    box: Any = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + max(start - 4, 292), box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + end + 4, box["y"] + 30, steps=4)
    page.mouse.up()
    page.mouse.move(2, 2)
    box = page.locator("#hint").bounding_box()
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": box["y"]})
    Image.open(BytesIO(shot)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(
        IMAGES / f"{name}.png", optimize=True
    )


def story(page: Page, step: int, name: str) -> None:
    """A server that knows no other story yet."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PROJECT / "examples/users_app.py"), "--watch", "--port", str(port)]
        server = subprocess.Popen(
            [*command, "--loop", "asyncio", "--database", f"sqlite:///{folder}/users.db"],
            cwd=PROJECT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            print(end=server.stdout.readline() if server.stdout else "")  # it serves
            play(page, f"http://127.0.0.1:{port}", step, name)
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 1400}, color_scheme="light")
        for step, name in STORIES.items():
            story(page, step, name)
            print(f"docs/images/{name}.png", flush=True)
        browser.close()
    subprocess.run([sys.executable, "-m", "minihttp", "race", "--picture", str(IMAGES / "race.svg")], check=True)


if __name__ == "__main__":
    main()
