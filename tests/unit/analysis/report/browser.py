"""A real headless Chromium that shows a page of this machine, with no way to the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.faults.processes import comes_true
from tests.support import needs


@dataclass
class Shown:
    """A page, and what its browser had to say about it.

    Attributes:
        page: Playwright's own.
        complaints: console messages and errors.
        requests: what it asked for beside its own file.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def panels(self, figure: str) -> Any:
        """The traces of a figure's panels, as Plotly holds them, once they are drawn."""
        self.page.locator(f"#{figure}").scroll_into_view_if_needed()
        assert comes_true(lambda: self.page.evaluate(f"!raylot.waiting.has('{figure}')"), 30)
        return self.page.evaluate(
            """(figure) => [...document.querySelectorAll(`#${figure} .plot`)].map((plot) => ({
                title: plot.parentElement.firstChild.textContent,
                traces: plot.data.map((trace) => Object.fromEntries([
                    "name", "type", "x", "y", "z", "text", "hovertext", "hovertemplate", "mode",
                    "customdata", "colorscale", "line", "marker",
                ].map((key) => [key, trace[key]]))),
            }))""",
            figure,
        )

    def draws(self) -> list[str]:
        """All figures, scrolled to one after another; those that show something."""
        figures = self.page.evaluate("raylot.figures.map(({ id }) => id)")
        return [figure for figure in figures if self.panels(figure)]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts it for as long as the context lasts."""
    program = needs.browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def shown(browser: Browser, file: Path, **context: Any) -> Iterator[Shown]:
    """Opens a page from its file, offline, and waits until it has been put together."""
    own = browser.new_context(offline=True, **context)
    found = Shown(own.new_page())
    page = found.page
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(file.as_uri())
    ready = "!!window.raylot || !document.getElementById('broken').hidden"
    assert comes_true(lambda: page.evaluate(ready), 60)
    assert not page.locator("#broken").text_content()
    assert found.requests.pop(0) == file.as_uri()
    yield found
    own.close()
