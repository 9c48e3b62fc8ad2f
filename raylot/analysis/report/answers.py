"""The answers of a study as HTML: of all interventions together, and of each by itself."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence

from raylot.analysis.dose_response import compare_all
from raylot.analysis.doses.answer import answer
from raylot.analysis.doses.trajectories import compared_settings
from raylot.analysis.figures import style
from raylot.analysis.figures.dose_response import dose_response
from raylot.analysis.figures.material import Material, NothingToDrawError, Tables
from raylot.analysis.primary import Findings, find
from raylot.analysis.prose.answer import by_other_centers, caveats, headings, lines
from raylot.analysis.prose.headline import headline
from raylot.analysis.prose.printed import of_untrained, winners
from raylot.analysis.statistics.intervals import CENTERS
from raylot.analysis.tables.measures import PRIMARY_PLASTICITY, PRIMARY_TICKETS, measure
from raylot.analysis.tables.observations import SETTING, Observations, Setting, without_snapshots

#: What settings share that differ in their intervention only.
_COMPARED = [name for name in SETTING if name != "intervention"]

#: The page's pixels for an inch of a figure: a figure of one column is as wide as a phone.
_PIXELS_PER_INCH = 104


def answers(
    found: Sequence[tuple[Setting, Findings]], observed: Observations, tables: Tables
) -> str:
    """Returns the answers, with the figure of all interventions together.

    If so many doses were compared that they have an answer of their own, it stands first, and the
    settings are folded away; otherwise the settings stand first.

    Args:
        found: all settings of the storage, and what was found about each.
        observed: of the storage.
        tables: of the storage.
    """
    parts = []
    for together in compared_settings(observed):
        places = _places(together, _COMPARED)
        own = "\n".join(
            _of_setting(setting, findings, with_title=len(found) > 1)
            for setting, findings in found
            if _places(setting, _COMPARED) == places
        )
        figure = _figure(Material(together, tables, observed))
        if told := _of_doses(together):
            own = f"<details><summary>Each intervention by itself</summary>{own}</details>"
            parts.append(f"<div {places}>{told}{figure}{own}</div>")
        else:
            parts.append(f"<div {places}>{own}{figure}</div>")
    parts += [
        f"<p>Nothing is said of {_text(text)}, as no ticket search found anything there.</p>"
        for text in without_snapshots(observed)
    ]
    return "\n".join(parts)


def _places(setting: Setting, names: Sequence[str]) -> str:
    """Names what an element is about, for the page's filters."""
    first = setting.frame.iloc[0]
    return " ".join(f'data-{name}="{html.escape(str(first[name]))}"' for name in names)


# ------------------------------------------------------------------ all interventions together


def _of_doses(together: Setting) -> str:
    """The answer of each shift and search whose doses can be correlated; empty if none can."""
    every = compare_all(together, PRIMARY_PLASTICITY, PRIMARY_TICKETS)
    sections = []
    for where, found in every:
        if found.link.correlation is None:
            continue
        title = together.title if len(every) == 1 else f"{together.title}, {where}"
        said, *others = answer(found).split("\n\n")
        sections.append(
            f"<section class=answer><p class=setting>{html.escape(title)}</p>"
            f"<p class=headline>{_text(said)}</p>{''.join(map(_paragraph, others))}</section>"
        )
    return "\n".join(sections)


def _paragraph(text: str) -> str:
    """A paragraph of an answer for the terminal: sentences, or the indented lines of a table."""
    if not text.startswith("  "):
        return f"<p>{_text(text)}</p>"
    rows = "".join(
        f"<tr><th scope=row>{html.escape(name)}<td>{_text(figures.strip())}</tr>"
        for name, _, figures in (line.strip().partition("  ") for line in text.splitlines())
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _figure(material: Material) -> str:
    """The figure `dose_response`; empty if there is nothing to compare."""
    try:
        with style.applied():
            figure = dose_response([material])
            figure.savefig(file := io.BytesIO(), format="png")
    except NothingToDrawError:
        return ""
    picture = base64.b64encode(file.getvalue()).decode()
    tickets, plasticity = (measure(one).label for one in (PRIMARY_TICKETS, PRIMARY_PLASTICITY))
    text = f"A point per seed and intervention: {tickets} against {plasticity}"
    width = round(figure.get_figwidth() * _PIXELS_PER_INCH)
    return (
        f'<div class=together><img width={width} alt="{text}" '
        f'src="data:image/png;base64,{picture}"></div>'
    )


# ------------------------------------------------------------------ each setting by itself


def _of_setting(setting: Setting, found: Findings, *, with_title: bool) -> str:
    """A setting's section: the answer in a sentence, what limits it, and its figures."""
    title = f"<p class=setting>{html.escape(setting.title)}</p>" if with_title else ""
    others = {name: find(setting, center=of) for name, of in CENTERS.items() if name != "mean"}
    told = [*caveats(found), *by_other_centers(found, others)]
    limits = "".join(f"<li>{_text(caveat)}" for caveat in told)
    return f"""<section class=answer {_places(setting, SETTING)}>{title}
<p class=headline>{_text(headline(found))}</p>
<ul>{limits}</ul>
{_figures(found)}
<p>{_text(winners(setting.frame))}</p>
<p>{_text(of_untrained(setting.frame))}</p></section>"""


def _figures(found: Findings) -> str:
    """The figures behind the answer, a row per shift and sparsity."""
    heads = headings(found)
    if not heads:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{html.escape(place)}"
        + "".join(
            f'<td data-head="{html.escape(head)}">{_text(cell)}'
            for head, cell in zip(heads[1:], cells, strict=True)
        )
        + "</tr>"
        for place, *cells in lines(found)
    )
    listed = "".join(f"<th scope=col>{html.escape(head)}" for head in heads)
    return f"""<div class=scroll tabindex=0 role=region aria-label="Figures behind the answer">
<table><thead><tr>{listed}</tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _text(text: str) -> str:
    """Returns text as HTML; no line breaks inside an interval, or between ``p`` and its number."""
    whole = re.sub(
        r"\[[^\[\]]*\]|\bp (?=[<.\d])", lambda found: found[0].replace(" ", "\xa0"), text
    )
    return html.escape(whole)
