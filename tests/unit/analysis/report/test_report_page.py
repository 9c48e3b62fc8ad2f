"""The report in a real browser: filters, figures, numbers, keyboard, phone, dark, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LinearSegmentedColormap
from playwright.sync_api import Browser

from raylot import results
from raylot.analysis import command, correlation
from raylot.analysis.figures.style import CORRELATION_COLOURS, PALE, contrast
from raylot.analysis.report import report
from raylot.analysis.statistics.coefficients import STATISTICS
from raylot.analysis.tables.probe_gaps import probe_gaps
from raylot.config import Study
from raylot.results.commands import record
from raylot.storage import Storage
from tests.faults.processes import comes_true
from tests.unit.analysis.report.browser import Shown, chromium, shown
from tests.unit.analysis.studies import (
    falling,
    falling_metrics,
    write_rows,
    write_study,
    write_ticket_stream,
)

SHIFTS = ("permuted_pixels", "stationary")
SNAPSHOTS = (0, 10, 20, 30)
#: Seed and task -> gradient norm.
INFINITE = {(0, 30): float("inf"), (1, 20): float("inf"), (1, 30): float("-inf")}
FIGURES = [
    "along-stream", "tickets-and-plasticity", "correlations", "ticket-streams",
    "plastic-parameters", "controls",
]  # fmt: skip
EVIL = "<img src=x onerror=document.title='hurt'>"
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shifts, two interventions, two sparsities, five seeds; ticket streams, a failed run."""
    folder = tmp_path_factory.mktemp("report") / ("wider_than_a_phone_" * 4)

    def values(shift: str, seed: int, *place: Any) -> dict[str, float]:
        accuracy = falling(shift, seed, *place)["test_accuracy"]
        return {
            **falling(shift, seed, *place), "dense_accuracy": accuracy,
            "ticket_accuracy": accuracy - 0.01, "random_accuracy": accuracy - 0.1,
        }  # fmt: skip

    def treated(shift: str, seed: int, *place: Any) -> dict[str, float]:
        return values(shift, seed + 5, *place)

    def metrics(shift: str, seed: int, task: int) -> dict[str, float]:
        own = dict(falling_metrics(shift, seed, task))
        if (seed, task) in INFINITE:
            own["gradient_norm"] = INFINITE[seed, task]
        return own

    for intervention, of_it in (("none", values), ("l2_init", treated)):
        write_study(
            folder, of_it, shifts=SHIFTS, sparsities=(0.8, 0.9), metrics=metrics,
            intervention=intervention,
        )  # fmt: skip
    study = Study.checked(
        tasks=31, snapshots=",".join(map(str, SNAPSHOTS)), rounds=3, ticket_tasks=2
    )
    for seed in range(5):
        search = study.tickets_run(shift=SHIFTS[0], seed=seed, task=0, sparsity=0.8)
        place = {"task": 0, "sparsity": 0.8, "protocol": search.protocol, "rounds": 3}
        overlap = {"layer": "all", "selection": "first", "chance": 0.1, "jaccard": 0.3}
        write_rows(folder, "plastic_parameters", search, [{**place, **overlap}])
        for subnetwork in ("ticket", "dense"):
            write_ticket_stream(folder, study, [0.8, 0.7], seed=seed, task=0, subnetwork=subnetwork)
    failed = study.stream_run(shift=SHIFTS[0], seed=99)
    row = {**results.identity_columns(failed), "kind": "stream", "status": "failed", "error": EVIL,
           "seconds": 2708.4}  # fmt: skip
    results.write(Storage(folder), "runs", failed.run_id, [row])
    record(Storage(folder), f"python sweeps/study.py --seeds '{EVIL}'")
    return folder


def written(root: Path) -> Path:
    """Writes the report of a storage; returns its file."""
    assert command.run(lambda: report.main([str(root)])) == 0
    return root / "analysis" / "report.html"


@pytest.fixture(scope="module")
def page_file(root: Path) -> Path:
    return written(root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def doses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four doses of two methods; tickets are worse where more plasticity was lost."""
    folder = tmp_path_factory.mktemp("doses")

    def of(lost: float) -> Any:
        def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
            noise = np.random.default_rng([seed, task, round(1000 * lost)]).normal(size=2)
            gap, advantage = 0.005 * noise + [task / 30 * lost, 0.05 - task / 30 * lost]
            return {"probe_online_gap": gap, "advantage_over_random": advantage}

        return values

    write_study(folder, of(0.2), seeds=range(3))
    for strength, lost in ((1e-9, 0.1), (1e-4, 0.05), (0.01, 0.02)):
        write_study(folder, of(lost), seeds=range(3), intervention="l2_init", l2_strength=strength)
    return written(folder)


@pytest.fixture(scope="module")
def desktop(browser: Browser, page_file: Path) -> Iterator[Shown]:
    """The page as it is first seen; a test that changes it puts it back."""
    with shown(browser, page_file, viewport=DESKTOP) as found:
        yield found


def test_every_figure_is_drawn_without_a_complaint_or_a_request(desktop: Shown) -> None:
    assert desktop.draws() == FIGURES
    assert desktop.complaints == []
    assert desktop.requests == []
    assert desktop.page.title() == "Tickets and plasticity: a raylot report"  # nothing was run


def test_panels_lie_beside_one_another(desktop: Shown) -> None:
    """A figure is as wide as its panel, also after there are more or fewer of them."""
    page = desktop.page
    too_wide = """() => [...document.querySelectorAll(".plot")].filter((plot) =>
        Math.abs(plot.querySelector("svg").clientWidth - plot.clientWidth) > 1).length"""
    desktop.draws()
    assert page.locator("#controls .plot").count() == 8
    assert comes_true(lambda: page.evaluate(too_wide) == 0, 10)
    for value in ("0.9", "0.9"):  # off and on
        page.locator(f"#options input[value='{value}']").click()
        desktop.draws()
        assert comes_true(lambda: page.evaluate(too_wide) == 0, 10)


def test_the_answer_stands_at_the_top_with_its_intervals(desktop: Shown) -> None:
    answers = desktop.page.locator(".answer")
    assert answers.count() == 2
    assert answers.first.get_attribute("data-intervention") == "none"
    told = answers.first.inner_text()
    assert (
        "Under permuted_pixels plasticity is lost and the advantage of tickets over random" in told
    )
    assert "(5 seeds, 95% confidence)" in told
    assert "[-0." in told
    assert "Distinct ones that win, mean over seeds: permuted_pixels at sparsity 0.8:" in told


def along(desktop: Shown, measure: str) -> Any:
    """Returns the panel of a measure along the stream; puts the declared measure back."""
    menu = desktop.page.locator("#along-stream select[name=measure]")
    desktop.panels("along-stream")
    menu.select_option(measure)
    [panel] = desktop.panels("along-stream")
    menu.select_option("probe_online_gap")
    return panel


def test_the_page_opens_on_the_declared_pair(desktop: Shown, root: Path) -> None:
    [panel] = desktop.panels("along-stream")
    [line] = [t for t in panel["traces"] if t["name"] == f"no intervention, {SHIFTS[0]}"]
    gaps = probe_gaps(results.read(root, "probes"), results.read(root, "runs"))
    streams = results.read(root, "runs").set_index("run_id")[["shift", "intervention"]]
    own = gaps.join(streams, on="stream_run_id").query(
        "shift == @SHIFTS[0] and intervention == 'none'"
    )
    means = own.groupby("task")["probe_online_gap"].mean()
    assert (line["x"], line["y"]) == (list(SNAPSHOTS), pytest.approx(means.tolist()))
    assert "<br>Probe gap (difference of online accuracies): 0." in line["text"][-1]
    desktop.panels("tickets-and-plasticity")
    chosen = {
        name: desktop.page.locator(f"#tickets-and-plasticity select[name={name}]").input_value()
        for name in "xy"
    }
    assert chosen == {"x": "probe_online_gap", "y": "advantage_over_random"}


def test_each_p_names_its_own_correction(desktop: Shown) -> None:
    note = desktop.page.locator("#answers + .note").inner_text()
    assert "(Holm)" in note
    assert "(Bonferroni)" in note
    assert "Benjamini" not in note
    matrix = desktop.page.locator("#correlations")
    assert matrix.locator("h2").inner_text() == "Exploratory correlations"
    about = matrix.locator(".note").first
    assert "(Benjamini-Hochberg)" in about.inner_text()
    assert about.locator("code").all_inner_texts() == ["raylot analyse correlation"]
    assert "`" not in about.inner_text()


def test_without_doses_enough_the_figure_follows_the_settings(desktop: Shown) -> None:
    page = desktop.page
    assert page.locator("#answers details").count() == 0
    assert page.locator(".answer ~ .together img").evaluate("(img) => img.naturalWidth") > 0


def test_the_answer_over_doses_stands_first_with_its_figure(browser: Browser, doses: Path) -> None:
    with shown(browser, doses, viewport=DESKTOP, color_scheme="dark") as found:
        page = found.page
        first = page.locator(".answer").first
        assert "over 4 doses of 2 methods is -" in first.locator(".headline").inner_text()
        assert first.locator("th").all_inner_texts()[:2] == [
            "correlation over doses", "leaving a method out"
        ]  # fmt: skip
        assert first.locator("td").first.inner_text().startswith("-")
        assert page.locator(".together img").evaluate("(img) => img.naturalWidth") > 0
        folded = page.locator("#answers details .answer")
        assert [own.get_attribute("data-intervention") for own in folded.all()] == [
            "none", "l2_init(1e-9)", "l2_init(1e-4)", "l2_init(0.01)"
        ]  # fmt: skip
        assert not folded.first.is_visible()
        page.locator("#answers summary").click()
        assert folded.first.is_visible()
        page.locator("#options input[value=none]").click()
        assert first.is_visible()
        assert not folded.first.is_visible()
        page.locator("#options input[value=none]").click()
        [panel] = found.panels("along-stream")
        lines = [t for t in panel["traces"] if t["text"]]
        paper = page.evaluate("variable('--panel')")
        assert len({t["line"]["color"] for t in lines}) == len(lines) == 4
        assert min(contrast(t["line"]["color"], paper) for t in lines) >= 3
        assert found.complaints == []


def test_means_and_bands_are_those_of_the_tables(desktop: Shown, root: Path) -> None:
    panel = along(desktop, "test_accuracy")
    lines = {trace["name"]: trace for trace in panel["traces"]}
    tasks = results.read(root, "tasks")
    own = tasks[(tasks["shift"] == SHIFTS[0]) & (tasks["intervention"] == "none")]
    own = own[own["snapshot"].isna()].pivot(index="seed", columns="task", values="test_accuracy")
    line = lines[f"no intervention, {SHIFTS[0]}"]
    assert line["x"] == list(range(31))
    assert line["y"] == pytest.approx(own.mean().tolist(), abs=1e-4)
    band = lines[f"no intervention, {SHIFTS[0]}, band"]
    half = 2.776445 * own.std(ddof=1) / np.sqrt(5)
    assert band["y"][:31] == pytest.approx((own.mean() + half).tolist(), abs=1e-4)


def test_filters_change_every_figure(desktop: Shown) -> None:
    page = desktop.page
    before = {figure: desktop.panels(figure) for figure in FIGURES}

    def changed(box: str) -> set[str]:
        page.locator(f"#options input[value='{box}']").click()
        found = {figure for figure in FIGURES if desktop.panels(figure) != before[figure]}
        page.locator(f"#options input[value='{box}']").click()
        return found

    assert changed("0.8") == set(FIGURES) - {"along-stream"}  # a stream has no sparsity
    assert changed(SHIFTS[0]) == set(FIGURES)
    assert changed(SHIFTS[1]) == set(FIGURES) - {"correlations"}  # shows the first shift
    assert changed("none") == set(FIGURES)
    page.locator("#options select[name=seed]").select_option("0")
    found = {figure for figure in FIGURES if desktop.panels(figure) != before[figure]}
    assert found == set(FIGURES) - {"correlations"}  # is of all seeds
    page.locator("#options select[name=seed]").select_option("")
    assert {figure: desktop.panels(figure) for figure in FIGURES} == before
    assert desktop.complaints == []


def test_one_seed_is_shown_as_it_is(desktop: Shown, root: Path) -> None:
    page = desktop.page
    page.locator("#options select[name=seed]").select_option("0")
    assert page.locator("#chosen").inner_text() == "(4 of 20 streams are shown)"
    panel = along(desktop, "test_accuracy")
    assert not any(trace["name"].endswith("band") for trace in panel["traces"])  # one seed has none
    tasks = results.read(root, "tasks")
    own = tasks[(tasks["shift"] == SHIFTS[1]) & (tasks["seed"] == 0) & tasks["snapshot"].isna()]
    own = own[own["intervention"] == "none"].sort_values("task")["test_accuracy"]
    [line] = [t for t in panel["traces"] if t["name"] == f"no intervention, {SHIFTS[1]}"]
    assert line["y"] == pytest.approx(own.tolist(), abs=1e-4)
    page.locator("#options select[name=seed]").select_option("")
    assert page.locator("#chosen").inner_text() == "(everything is shown)"


def test_hover_names_the_run(desktop: Shown, root: Path) -> None:
    panels = desktop.panels("tickets-and-plasticity")
    assert [panel["title"] for panel in panels] == ["sparsity 0.8", "sparsity 0.9"]
    points = next(t for t in panels[0]["traces"] if "single runs" in t["name"])
    snapshots = results.read(root, "snapshots").set_index("run_id")
    assert points["hovertemplate"].split("<br>") == [
        "%{text}", "Probe gap (difference of online accuracies): %{x}",
        "Ticket minus random accuracy (difference of accuracies): %{y}<extra></extra>",
    ]  # fmt: skip
    label, run = points["text"][0].split("<br>run ")
    row = snapshots.loc[run]
    assert label == f"tickets seed={row['seed']} {row['shift']} task={row['task']} sparsity=0.8"
    advantage = row["ticket_accuracy"] - row["random_accuracy"]
    assert points["y"][0] == pytest.approx(advantage)
    probes, runs = (results.read(root, table) for table in ("probes", "runs"))
    gaps = probe_gaps(probes, runs).set_index(["stream_run_id", "task"])
    gap = gaps.loc[(row["stream_run_id"], row["task"]), "probe_online_gap"]
    assert points["x"][0] == pytest.approx(gap)


@pytest.mark.parametrize("statistic", list(STATISTICS))
def test_correlations_are_those_of_the_analysis(desktop: Shown, root: Path, statistic: str) -> None:
    table = correlation.table(Storage(root)).query(
        "intervention == 'none' and sparsity == 0.8 and statistic == @statistic"
    )
    page = desktop.page
    section = page.locator("#correlations")
    section.scroll_into_view_if_needed()
    section.locator("select[name=statistic]").select_option(statistic)
    section.locator("select[name=measures]").select_option("all")
    labels = {own["label"]: name for name, own in page.evaluate("raylot.study.measures").items()}
    for shift in (*SHIFTS, "all"):
        section.locator("select[name=shift]").select_option(shift)
        [panel] = desktop.panels("correlations")
        [drawn] = panel["traces"]
        known = table[table["shift"] == shift].set_index(["plasticity_measure", "ticket_measure"])
        assert len(drawn["x"]) * len(drawn["y"]) == len(known)
        for y, row in zip(drawn["y"], drawn["customdata"], strict=True):
            for x, (_, told, seeds, value) in zip(drawn["x"], row, strict=True):
                own = known.loc[labels[y], labels[x]]
                assert value == (
                    None if pd.isna(own["estimate"]) else pytest.approx(own["estimate"])
                )
                assert seeds == f"{own['seeds']} seeds"
                assert ("interval [" in told) == (not pd.isna(own["low"]))
                assert own["note"] in told
                left_out = labels[y] == "gradient_norm" and statistic != "spearman"
                assert ("have no number" in told) == left_out, "infinite values have a rank"
    section.locator("select[name=measures]").select_option("main")


def test_the_table_of_runs_is_sorted_searched_and_filtered(desktop: Shown) -> None:
    page = desktop.page
    rows = page.locator("#run-table tbody tr")
    assert "failed" in page.locator("#cost").inner_text()
    page.get_by_role("searchbox").fill("failed seed=99")
    assert rows.count() == 1
    assert EVIL in rows.first.inner_text()  # as text
    assert "2,708" in rows.first.inner_text()
    page.get_by_role("searchbox").fill("2,708")
    assert rows.count() == 1
    page.get_by_role("searchbox").fill("kind=tickets")
    assert page.locator("#page").inner_text() == "page 1 of 4, 160 runs"
    page.locator("#run-table th[data-name=sparsity] button").click()
    page.locator("#run-table th[data-name=sparsity] button").click()
    head = page.locator("#run-table th[data-name=sparsity]")
    assert head.get_attribute("aria-sort") == "descending"
    place = page.evaluate("raylot.runs.names.indexOf('sparsity')")
    assert rows.first.locator("td").nth(place).inner_text() == "0.9"
    page.get_by_role("searchbox").fill("")


def test_figures_stand_in_tables_too(desktop: Shown) -> None:
    section = desktop.page.locator("#ticket-streams")
    section.scroll_into_view_if_needed()
    section.locator("summary").click()
    section.locator("tbody tr").first.wait_for()  # the browser tells of the click a little later
    told = section.locator("tbody tr").all_inner_texts()
    assert [line.split("\t")[1:4] for line in told] == [
        ["dense", "1", "0.8"], ["dense", "2", "0.7"], ["ticket", "1", "0.8"], ["ticket", "2", "0.7"]
    ]  # fmt: skip
    section.locator("summary").click()


def test_it_says_where_it_comes_from(desktop: Shown) -> None:
    told = desktop.page.locator("main").inner_text()
    assert f"python sweeps/study.py --seeds '{EVIL}'" in told
    assert "batch_size=32" in told


def test_it_is_used_by_keyboard(browser: Browser, page_file: Path) -> None:
    with shown(browser, page_file, viewport=DESKTOP) as found:
        page = found.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
        reached: list[str] = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.name || ''"))
            if reached[-1] == "seed":
                break
        assert {"shift", "intervention", "sparsity", "seed"} <= set(reached)
        ring = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(ring) == "solid"
        page.keyboard.press("ArrowDown")
        assert page.locator("#chosen").inner_text() == "(4 of 20 streams are shown)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser: Browser, page_file: Path, scheme: Any) -> None:
    phone = {"width": 390, "height": 844}
    with shown(
        browser, page_file, viewport=phone, is_mobile=True, has_touch=True, color_scheme=scheme
    ) as found:
        assert found.draws() == FIGURES
        page = found.page
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert not page.locator("#filters").evaluate("(filters) => filters.open")
        names = ("--paper", "--ink", "--faint", "--accent")
        paper, *inks = (page.evaluate(f"variable('{name}')") for name in names)
        assert min(contrast(ink, paper) for ink in inks) >= 4.5
        found.panels("tickets-and-plasticity")
        title, plot = (
            page.locator(f"#tickets-and-plasticity {part}").first.bounding_box()
            for part in (".ytitle", ".plot")
        )
        assert title
        assert plot
        assert plot["y"] <= title["y"] <= title["y"] + title["height"] <= plot["y"] + plot["height"]
        answer = page.locator(".answer .scroll").first
        assert answer.evaluate(
            "(e) => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight"
        ), "nothing of it is cut off"
        picture = page.locator(".together img").bounding_box()
        assert picture
        assert 300 < picture["width"] <= 390 - picture["x"], "as wide as the page"
        cell = answer.locator("td").nth(1)
        named = cell.evaluate("(cell) => getComputedStyle(cell, '::before').content")
        assert named == '"ticket minus random accuracy, fall: "'
        assert found.complaints == []


def test_colours_follow_what_is_chosen(browser: Browser, page_file: Path) -> None:
    with shown(browser, page_file, viewport=DESKTOP, color_scheme="light") as found:
        page = found.page
        paper = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.get_by_label("Colours").select_option("dark")
        assert page.evaluate(paper) == "rgb(20, 22, 26)"
        [panel] = found.panels("along-stream")
        assert panel["traces"]


def test_a_finished_study_has_its_answer(browser: Browser, tmp_path: Path) -> None:
    def heading() -> str:
        with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
            assert found.page.locator("#protocol").inner_text().startswith("Protocol ")
            assert "given" not in found.page.locator("#protocol").inner_text()
            assert found.draws() == [
                "along-stream", "tickets-and-plasticity", "correlations", "controls"
            ]  # fmt: skip
            assert found.page.locator(".figure").count() == 4
            return found.page.locator("#answer-title").inner_text()

    write_study(tmp_path, falling, shifts=SHIFTS, sparsities=(0.8, 0.9))
    assert heading() == "Answer"
    write_study(tmp_path, falling, shifts=SHIFTS, sparsities=(0.8,), seeds=(5,))  # and not at 0.9
    assert heading() == "Answer so far"
    write_study(tmp_path, falling, shifts=SHIFTS, sparsities=(0.9,), seeds=(5,))
    assert heading() == "Answer"
    Storage(tmp_path).write("drivers/host-1.json", b"{}")
    assert heading() == "Answer so far"


def test_it_says_so_far_where_a_run_has_failed(desktop: Shown) -> None:
    assert desktop.page.locator("#answer-title").inner_text() == "Answer so far"


def test_no_line_ends_between_p_and_its_number_or_within_an_interval(desktop: Shown) -> None:
    cells = desktop.page.locator(".answer").first.locator("td").all_inner_texts()
    figures = [cell for cell in cells if "[" in cell]
    assert any("p\xa0" in cell for cell in figures)
    for cell in figures:
        assert not re.search(r"\bp [<.\d]", cell)
        assert all(" " not in inside for inside in re.findall(r"\[.*?\]", cell))


def test_every_hover_names_measure_and_unit(desktop: Shown) -> None:
    expected = {
        "along-stream": "<br>Probe gap (difference of online accuracies): ",
        "ticket-streams": "<br>Test accuracy: 0.",
        "plastic-parameters": "<br>Jaccard index: 0.",
        "controls": "<br>Test accuracy: 0.",
    }
    for figure, told in expected.items():
        lines = [t for panel in desktop.panels(figure) for t in panel["traces"] if t["text"]]
        assert lines
        for line in lines:
            assert all(told in text and "seed" in text for text in line["text"]), figure


def test_the_first_snapshot_is_hollow(desktop: Shown) -> None:
    for panel in desktop.panels("tickets-and-plasticity"):
        means = [trace for trace in panel["traces"] if trace["hovertext"]]
        assert len(means) == 4
        for trace in means:
            first, *others = trace["marker"]["symbol"]
            assert [f"{other}-open" for other in others] == [first] * 3
            assert ", task 0, 5 seeds<br>" in trace["hovertext"][0]
            assert (
                "Ticket minus random accuracy (difference of accuracies): " in trace["hovertext"][0]
            )


def test_what_cannot_be_drawn_is_said(browser: Browser, tmp_path: Path) -> None:
    def metrics(shift: str, seed: int, task: int) -> dict[str, float]:
        norm = float("inf") if task else 1.0
        near = 1 + 1e-8 * (task + seed)  # one number in the page's digits
        return {
            **falling_metrics(shift, seed, task), "gradient_norm": norm, "effective_rank": near,
        }  # fmt: skip

    def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        known = falling(shift, seed, task, sparsity)
        return known if sparsity == 0.8 else {"ticket_count": known["ticket_count"]}

    write_study(
        tmp_path, values, metrics=metrics, seeds=(0, 1), tasks=(0, 3), sparsities=(0.8, 0.9)
    )
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        for figure, choice in (("along-stream", "measure"), ("tickets-and-plasticity", "x")):
            found.panels(figure)
            menu = found.page.locator(f"#{figure} select[name={choice}]")
            menu.select_option("gradient_norm")
            remark = found.page.locator(f"#{figure} .remark")
            assert comes_true(lambda: "2 infinite values" in str(remark.text_content()), 30)  # noqa: B023
            menu.select_option("test_accuracy")
            assert comes_true(lambda: "infinite" not in str(remark.text_content()), 30)  # noqa: B023
        found.panels("correlations")
        found.page.locator("#correlations select[name=measures]").select_option("all")
        [panel] = found.panels("correlations")
        [drawn] = panel["traces"]
        told = drawn["customdata"][drawn["y"].index("effective rank")]
        assert told[drawn["x"].index("ticket count")][-1] is not None, "the analysis knows it"


def test_tasks_are_told_apart_however_many_there_are(browser: Browser, tmp_path: Path) -> None:
    values = {"test_accuracy": 0.9, "ticket_count": 2.0}
    write_study(tmp_path, lambda *_: values, seeds=(0,), tasks=(0, 1229))
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        [panel] = found.panels("along-stream")
        told = [text for trace in panel["traces"] for text in trace["text"] or ()]
        assert len({text.split("<br>")[1] for text in told}) == 1230
        assert any("<br>Task of the stream: 1229<br>" in text for text in told)
        section = found.page.locator("#along-stream")
        section.locator("summary").click()
        last = section.locator("tbody tr").last.inner_text()
        assert last.split("\t")[2] == "1229"


def test_the_mode_bar_covers_nothing_that_is_drawn(desktop: Shown) -> None:
    page = desktop.page
    for figure in ("along-stream", "tickets-and-plasticity", "correlations"):
        desktop.panels(figure)
        page.locator(f"#{figure} .plot").first.hover()
        bar = page.locator(f"#{figure} .modebar").first.bounding_box()
        grid = page.locator(f"#{figure} .plot").first.evaluate(
            "(plot) => plot.getBoundingClientRect().top + plot._fullLayout._size.t"
        )
        assert bar is not None
        assert bar["y"] + bar["height"] <= grid, figure


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_the_matrix_can_be_read_and_colours_are_those_of_the_figures(
    browser: Browser, page_file: Path, root: Path, scheme: Any
) -> None:
    table = correlation.table(Storage(root)).query(
        "intervention == 'none' and sparsity == 0.8 and statistic == 'pearson' "
        "and ticket_measure == 'ticket_count'"
    )
    table = table.assign(is_pale=~((table["low"] > 0) | (table["high"] < 0)))
    table = table.set_index(["shift", "plasticity_measure"])
    seen = set()
    with shown(browser, page_file, viewport=DESKTOP, color_scheme=scheme) as found:
        found.panels("correlations")
        labels = found.page.evaluate("raylot.study.measures")
        for shift in SHIFTS:
            found.page.locator("#correlations select[name=shift]").select_option(shift)
            [panel] = found.panels("correlations")
            [drawn] = panel["traces"]
            ends = CORRELATION_COLOURS[scheme]
            assert [colour for _, colour in drawn["colorscale"]] == list(ends)
            # what else the study has repeats the ticket count
            assert drawn["x"] == [
                "ticket count", "ticket minus dense accuracy", "ticket minus random accuracy"
            ]  # fmt: skip
            paper = LinearSegmentedColormap.from_list("", ends, N=2001)
            names = {label["label"]: name for name, label in labels.items()}
            for y, values, texts, told in zip(
                drawn["y"], drawn["z"], drawn["text"], drawn["customdata"], strict=True
            ):
                value, text, estimate = values[0], texts[0], told[0][-1]
                ink = re.search("#[0-9a-f]{6}", text)
                assert ink
                assert contrast(ink[0], paper((value + 1) / 2)) >= 4.5
                is_pale = table.loc[(shift, names[y]), "is_pale"]
                assert value == pytest.approx(estimate * (PALE if is_pale else 1))
                seen.add(bool(is_pale))
        assert seen == {True, False}
        assert found.page.locator("#correlations").inner_text().count("Red: positive, blue") == 1
        fills = set(found.page.evaluate(_INKS))
        assert fills <= {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}
        assert fills


#: Colours of the numbers in the matrix as they are painted.
_INKS = """() => [...document.querySelectorAll("#correlations .plot .heatmap-label text tspan")]
    .map((part) => getComputedStyle(part).fill)"""


def test_half_a_study_is_shown_as_far_as_it_goes(browser: Browser, tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=(0,))
    for path in (tmp_path / "tables" / "snapshots").iterdir():
        path.unlink()
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        assert found.draws() == ["along-stream"]
        assert found.page.locator(".figure").count() == 1  # none is there without its data
        assert found.complaints == []


def test_two_protocols_keep_their_own_correlations_and_intervals(
    browser: Browser, tmp_path: Path
) -> None:
    """Their snapshots are taken at other tasks: what follows what differs."""
    write_study(tmp_path, falling, tasks=(0, 10, 20, 30), shifts=SHIFTS)
    write_study(tmp_path, falling, tasks=(0, 5, 10, 15, 20, 25, 30), seeds=range(5, 9), lr=0.01)
    correlation.main([str(tmp_path)])
    table = pd.read_parquet(tmp_path / "analysis" / "correlation.parquet")
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        page = found.page
        section = page.locator("#correlations")
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        for protocol in table["protocol"].unique():
            page.locator("select[name=protocol]").select_option(protocol)
            option = page.locator(f"select[name=protocol] option[value='{protocol}']")
            label = option.inner_text().removeprefix(f"{protocol}: ")
            heading = page.locator("#chosen")
            assert heading.inner_text() == "(everything of this protocol is shown)"
            page.locator("#options select[name=seed]").select_option("5")
            of_seed = {"lr=0.001": "0 of 10", "lr=0.01": "1 of 4"}
            assert heading.inner_text() == f"({of_seed[label]} streams of this protocol are shown)"
            page.locator("#options select[name=seed]").select_option("")
            found.panels("correlations")
            section.locator("select[name=statistic]").select_option("first_differences")
            [panel] = found.panels("correlations")
            [drawn] = panel["traces"]
            place = drawn["y"].index("test accuracy"), drawn["x"].index("ticket count")
            [row] = table[
                (table["statistic"] == "first_differences") & (table["shift"] == SHIFTS[0])
                & (table["ticket_measure"] == "ticket_count") & (table["protocol"] == protocol)
                & (table["plasticity_measure"] == "test_accuracy")
            ].to_dict("records")  # fmt: skip
            title, told, seeds, estimate = drawn["customdata"][place[0]][place[1]]
            assert title.startswith("first differences: ")
            assert estimate == pytest.approx(row["estimate"], abs=1e-4)
            low, high, p = map(float, re.findall(r"-?[\d.]+", told)[:3])
            assert "p\xa0" in told
            assert (low, high) == pytest.approx((row["low"], row["high"]), rel=5e-3)
            assert p == pytest.approx(row["p_corrected"], rel=5e-3)
            assert seeds == f"{row['seeds']} seeds"
        assert found.complaints == []


def test_what_was_searched_otherwise_is_not_averaged(browser: Browser, tmp_path: Path) -> None:
    """Tickets of the same sparsity after 3 rounds and after 10 are two lines."""
    for rounds in (3, 10):
        write_study(tmp_path, falling, seeds=(0,), rounds=rounds)
        study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=rounds, ticket_tasks=1)
        write_ticket_stream(tmp_path, study, [rounds / 20], seed=0, task=0)
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        tickets = {
            panel["title"]: trace["y"]
            for panel in found.panels("ticket-streams")
            for trace in panel["traces"]
            if trace["name"] == "ticket"
        }
    assert tickets == {
        f"{SHIFTS[0]}; sparsity 0.8 (3 rounds)": [0.15],
        f"{SHIFTS[0]}; sparsity 0.8 (10 rounds)": [0.5],
    }


def test_only_what_a_protocol_has_is_named_in_its_figures(browser: Browser, tmp_path: Path) -> None:
    """One protocol has tickets under both shifts, searched on probe tasks. The other has tickets
    under one shift, searched on the snapshots' own tasks, with streams; of the other shift it has
    a dense one only."""
    write_study(tmp_path, falling, seeds=(0,), shifts=SHIFTS, search_task="probe")
    write_study(tmp_path, falling, seeds=(0,))
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3, ticket_tasks=1)
    for shift, subnetwork in ((0, "ticket"), (0, "dense"), (1, "dense")):
        write_ticket_stream(
            tmp_path, study, [0.8], shift=SHIFTS[shift], seed=0, task=0, subnetwork=subnetwork
        )
    seen = {}
    with shown(browser, written(tmp_path), viewport=DESKTOP) as found:
        page = found.page
        names = page.evaluate("[...raylot.study.protocolChoices.keys()]")
        for name in names:
            page.locator("select[name=protocol]").select_option(name)
            found.panels("tickets-and-plasticity")
            label = page.locator(f"select[name=protocol] option[value='{name}']").inner_text()
            assert re.fullmatch(rf"{name}: \w+=\w+(, \w+=\w+)*(, \w+ not given)*", label)
            key = page.locator("#tickets-and-plasticity .key li").all_inner_texts()
            lines = [
                line["name"] for own in found.panels("ticket-streams") for line in own["traces"]
            ]
            remark = page.locator("#ticket-streams .remark").inner_text()
            seen[page.evaluate("raylot.study.protocols[raylot.selection.protocol].search_task")] = (
                key,
                lines,
                remark,
            )
        assert found.complaints == []
    assert seen == {
        "probe": ([*SHIFTS], [], "Nothing to show: what is chosen has no such finite values."),
        "own": ([SHIFTS[0]], ["dense", "ticket"], ""),
    }
