"""Draws the pictures of docs/see-the-loop.md: stories of the tour and a load, as a browser shows them, and the race.

Owns: a server of the example for each picture, a browser without a window, slow clients, and the cut of each picture.
Must not know: what the page draws.
Invariant: nothing is retouched: each picture is what the page showed a second after it happened. An error in the page's
script ends this.

`python -m benchmarks.pictures [NAME ...]`, after `pip install playwright pillow`, with the Chromium on PATH or
playwright's own.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.processes import free_port

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs/images"
# The file of each picture, and which step of the tour it shows. The load is in dark colors.
STORIES = {"sleep": 1, "computing": 2, "pool": 4, "slow-client": 5, "n-plus-one": 6}
NAMES = [*STORIES, "load", "race"]
CLIENTS = 200
APART = 0.005  # seconds between two clients: at most 1,000 requests per second are recorded
BODY = b'{"age": 35}'
WIDTH, HEIGHT = 1200, 1400
# From where to where something is drawn in the rows of requests.
DRAWN = """() => {
  const names = 290, boxes = [...document.querySelectorAll("#lanes rect[data-tip], #lanes line[data-tip]")]
    .map((each) => each.getBBox()).filter((box) => box.x >= names);
  return [Math.min(...boxes.map((box) => box.x)), Math.max(...boxes.map((box) => box.x + box.width))];
}"""


@contextmanager
def example() -> Iterator[int]:
    """The port of a server that nothing has happened to yet."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PROJECT / "examples/users_app.py"), "--watch", "--port", str(port)]
        server = subprocess.Popen(
            [*command, "--loop", "asyncio", "--database", f"sqlite:///{folder}/users.db"],
            cwd=PROJECT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            print(end=server.stdout.readline() if server.stdout else "")  # it serves
            yield port
        finally:
            server.terminate()
            server.wait()


def play(page: Page, port: int, step: int) -> None:
    """Play one step of the tour."""
    page.goto(f"http://127.0.0.1:{port}/_loop?tour")
    page.locator("#tiles dd").first.wait_for()
    for _ in range(step):
        page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Make it happen").click()
    page.get_by_text("Look: ").wait_for()


def load(page: Page, port: int) -> None:
    """Let many slow clients come while the page looks on."""

    async def come() -> None:
        await asyncio.gather(*(change_slowly(port, number) for number in range(CLIENTS)))

    page.goto(f"http://127.0.0.1:{port}/_loop")
    page.locator("#tiles dd").first.wait_for()
    with ThreadPoolExecutor(1) as thread:  # this one has a loop of its own, that of the browser
        thread.submit(asyncio.run, come()).result()


async def change_slowly(port: int, number: int) -> None:
    """Change one of three users; half of the body takes one to two seconds to come."""
    await asyncio.sleep(number * APART)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"PATCH /api/users/{number % 3 + 1} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(BODY)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n".encode() + BODY[:6])
    await asyncio.sleep(1 + number % 40 / 40)
    writer.write(BODY[6:])
    answer = await reader.read()
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"client {number} was answered {answer[:300]!r}")


def take(page: Page, name: str) -> None:
    """Zoom to what happened, and take the picture."""
    page.select_option("#window", "10000")
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
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": box["y"]}, full_page=True)
    # The usual way to choose 256 colors would lose the rare ones, and red is rare.
    colors = Image.open(BytesIO(shot)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    colors.save(IMAGES / f"{name}.png", optimize=True)
    print(f"docs/images/{name}.png", flush=True)


def picture(browser: Browser, name: str) -> None:
    """Make it happen, and take the picture. Raises RuntimeError where the page's script failed."""
    errors: list[object] = []
    scheme: Any = "light" if name in STORIES else "dark"
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
    page.on("pageerror", lambda error: errors.append(error))  # a builtin method it cannot take
    with example() as port:
        if name in STORIES:
            play(page, port, STORIES[name])
        else:
            load(page, port)
        take(page, name)
        page.close()
    if errors:
        raise RuntimeError(f"{name}: the page's script failed: {errors}")


def main() -> None:
    wanted = [name for name in NAMES if name in sys.argv or len(sys.argv) == 1]
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in wanted:
            if name != "race":
                picture(browser, name)
        browser.close()
    if "race" in wanted:
        subprocess.run([sys.executable, "-m", "minihttp", "race", "--picture", str(IMAGES / "race.svg")], check=True)


if __name__ == "__main__":
    main()
