"""``make screenshots``: pictures of every page in both languages, both themes and two widths.

Without ``--url``, a platform with sample data is started. The data includes a dataset with fixes,
runs with curves and logs, and a deployment. Each page's pictures are in their own folder, and
``index.html`` shows them side by side.
"""

import argparse
import html
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from tests.e2e.conftest import PASSWORD, running_platform
from tests.ui.addresses import ENTRY, fill, page_patterns, route_patterns, values
from tests.ui.browser import ARGUMENTS, Watched, find_chromium, require_page, window
from tests.ui.conftest import signed_in_state
from tests.ui.sample import make_sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
WIDTHS = (1440, 390)
SHOWN = {
    "report": "project-datasets-dataset/report-{language}-light-1440.png",
    "compare": "project-experiments-compare/{language}-light-1440.png",
}
"""Pictures in ``docs/images``, which the documentation shows."""


@dataclass
class Site:
    """A running platform to take pictures of."""

    url: str
    username: str
    password: str


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def site(url: str | None, username: str, password: str) -> Iterator[Site]:
    """Yield the platform at ``url``, or a new platform with sample data."""
    if url is not None:
        yield Site(url, username, password)
        return
    limits = dict.fromkeys(("LOGIN", "ANONYMOUS", "NORMAL"), "off")
    settings = {f"AIPLATFORM_RATE_LIMIT_{name}": value for name, value in limits.items()}
    with running_platform(**settings) as platform:
        with platform.client() as client:
            make_sample(client)
        yield Site(platform.url, "admin", PASSWORD)


def chosen_addresses(place: Site, project: str | None, only: str) -> dict[str, str]:
    """Return the addresses of pages, keyed by the name of the folder for each page's pictures."""
    with httpx.Client(base_url=f"{place.url}/api/v1/", timeout=30) as api:
        form = {"username": place.username, "password": place.password}
        token = api.post("auth/token", data=form).raise_for_status().json()["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        listed = api.get("projects").raise_for_status().json()["items"]
        if not listed:
            raise SystemExit("the platform has no project to show")
        chosen = next((one for one in listed if one["name"] == project), listed[0])
        known = values(api, chosen["uuid"])
        reported = api.get(f"projects/{chosen['uuid']}/runs").raise_for_status().json()["items"]
    compared = json.dumps([run["uuid"] for run in reported if run["status"] == "completed"][-3:])
    found = {}
    for pattern in page_patterns():
        address = fill(pattern, known)
        name = pattern.strip("/").replace("$", "").replace("/", "-").removeprefix("p-") or "home"
        if address is None:
            say(f"left out, since the project has none: {pattern}")
        elif only in name:
            found[name] = address
    comparison = "project-experiments-compare"
    if comparison in found:
        found[comparison] += f"?run={quote(compared)}"
    return found


def settle(watched: Watched) -> None:
    """Wait until the page has loaded; ignore a timeout, because any page is worth a picture."""
    from playwright.sync_api import TimeoutError as Slow

    with suppress(Slow):
        watched.settle()


def take(watched: Watched, folder: Path, name: str, address: str) -> list[str]:
    """Take pictures of a page and each of its tabs; return the faults of the page."""
    page = watched.page
    folder.mkdir(parents=True, exist_ok=True)
    page.goto(address)
    page.get_by_role("heading").first.wait_for()
    settle(watched)
    page.screenshot(path=folder / f"{name}.png")
    # The page's own tabs; a tab may hold others, such as examples in several languages.
    for tab in page.get_by_role("main").get_by_role("tablist").first.get_by_role("tab").all()[1:]:
        label = (tab.get_attribute("id") or "").rpartition("-tab-")[2] or "tab"
        tab.click()
        settle(watched)
        page.screenshot(path=folder / f"{label}-{name}.png")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    faults = [f"{address}: {fault}" for fault in watched.faults]
    watched.faults.clear()
    return [*faults, *([f"{address}: {wide} px too wide"] if wide > 0 else [])]


def shoot(browser: "Browser", place: Site, out: Path, addresses: dict[str, str]) -> list[str]:
    """Take all pictures and return the faults."""
    faults: list[str] = []
    state = signed_in_state(place, place.username, place.password)
    looks = itertools.product(("en", "zh"), ("light", "dark"), WIDTHS)
    for language, theme, width in looks:
        name = f"{language}-{theme}-{width}"
        look: dict[str, Any] = {"language": language, "theme": theme, "width": width}
        with window(browser, place.url, **look) as watched:
            for entry in ENTRY:
                if f"/{entry}" in route_patterns():
                    faults += take(watched, out / entry, name, f"/{entry}")
        with window(browser, place.url, state=state, **look) as watched:
            for folder, address in addresses.items():
                try:
                    faults += take(watched, out / folder, name, address)
                except Exception as error:  # noqa: BLE001 - the other pages are still worth a picture
                    faults.append(f"{address}: {error}")
        say(f"{name}: {len(addresses)} pages")
    return faults


def keep(out: Path, images: Path) -> None:
    """Copy the new pictures that the documentation shows."""
    for name, picture in SHOWN.items():
        for language, folder in (("en", images), ("zh", images / "zh")):
            taken = out / picture.format(language=language)
            if taken.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(taken, folder / f"{name}.png")


def write_index(out: Path) -> None:
    """Write a page that shows all pictures, with one row per page."""
    rows = []
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        pictures = "".join(
            f'<a href="{folder.name}/{file.name}"><img loading="lazy" '
            f'alt="{html.escape(file.stem)}" src="{folder.name}/{file.name}"></a>'
            for file in sorted(folder.glob("*.png"))
        )
        rows.append(f"<h2>{html.escape(folder.name)}</h2><div>{pictures}</div>")
    style = "body{font:14px system-ui}div{display:flex;flex-wrap:wrap;gap:8px}img{height:300px}"
    out.joinpath("index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>Screenshots</title><style>{style}</style>"
        + "".join(rows),
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ui.screenshots", description=__doc__)
    parser.add_argument("--url", help="a running platform; AIPLATFORM_PASSWORD has its password")
    parser.add_argument("--user", default="admin", help="who signs in at --url")
    parser.add_argument("--project", help="name of the project to show")
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    chosen = parser.parse_args()
    require_page()
    from playwright.sync_api import sync_playwright

    if not chosen.only:
        shutil.rmtree(chosen.out, ignore_errors=True)
    password = os.environ.get("AIPLATFORM_PASSWORD", "")
    if chosen.url and not password:
        parser.error("set AIPLATFORM_PASSWORD to the password of the user at --url")
    with site(chosen.url, chosen.user, password) as place, sync_playwright() as playwright:
        addresses = chosen_addresses(place, chosen.project, chosen.only)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        faults = shoot(browser, place, chosen.out, addresses)
        browser.close()
    write_index(chosen.out)
    keep(chosen.out, ROOT / "docs" / "images")
    for fault in faults:
        say(fault)
    say(f"{sum(1 for _ in chosen.out.rglob('*.png'))} pictures: {chosen.out / 'index.html'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
