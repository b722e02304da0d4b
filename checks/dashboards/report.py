"""The report: one HTML file without dependencies, with the dashboards in their layout."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Final

from plotly.offline import get_plotlyjs

from checks.dashboards.draw import drawn
from checks.dashboards.links import Followed
from checks.dashboards.pages import Shot
from checks.dashboards.run import Checked, Result
from checks.dashboards.substitute import Window

_STYLE: Final = """
:root { color-scheme: light dark; --page: #f4f5f5; --panel: #fff; --text: #24292e; --soft: #6e7177; --edge: #e0e1e3; }
@media (prefers-color-scheme: dark) {
  :root { --page: #111217; --panel: #181b1f; --text: #d5d7dc; --soft: #8e939b; --edge: #2c3036; }
}
body { margin: 0; padding: 16px 24px; font: 13px/1.45 system-ui, sans-serif;
  background: var(--page); color: var(--text); }
h1 { font-size: 20px; } h2 { font-size: 17px; margin: 36px 0 2px; } h2 + p { margin: 0 0 10px; color: var(--soft); }
nav a { margin-right: 14px; } a { color: #3871dc; }
.dashboard { display: grid; grid-template-columns: repeat(24, minmax(0, 1fr)); grid-auto-rows: 26px; gap: 8px; }
.panel { background: var(--panel); border: 1px solid var(--edge); border-radius: 3px; padding: 4px 8px;
  overflow: hidden; }
.panel.failed { border: 2px solid #d6303a; }
.panel h3 { font-size: 12.5px; margin: 0 0 2px; font-weight: 600; }
.row { align-self: end; font-weight: 600; font-size: 14px; }
.numbers { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: center; height: calc(100% - 22px); }
.number { font-size: 26px; font-weight: 600; white-space: nowrap; } .number.several { font-size: 15px; }
.number small { display: block; font-size: 10.5px; font-weight: 400; color: var(--soft); }
.green { color: #3f9c4b; } .yellow { color: #c79a00; } .red { color: #d6303a; }
.empty { color: var(--soft); font-style: italic; } .scroll { overflow: auto; height: calc(100% - 20px); }
table { border-collapse: collapse; width: 100%; font-size: 12px; } code { font-size: 11px; }
th { text-align: left; color: var(--soft); font-weight: 500; } td, th { padding: 1px 8px 1px 0; vertical-align: top; }
details img { max-width: 100%; display: block; margin: 8px 0; border: 1px solid var(--edge); }
td { border-top: 1px solid var(--edge); } .failures pre { white-space: pre-wrap; margin: 2px 0; color: #d6303a; }
"""


def report(
    stack: str, heading: str, result: Result, links: Sequence[Followed], window: Window, shots: Sequence[Shot] = ()
) -> str:
    """The page.

    Args:
        stack: its name.
        heading: the window, for the heading.
        result: the results of panels, variables and alerts.
        links: the results of the links.
        window: the time axis of the panels.
        shots: the dashboards as Grafana draws them.
    """
    screens = {shot.title: shot.screens for shot in shots}
    names = list(result.dashboards)
    menu = "".join(f'<a href="#{index}">{escape(name)}</a>' for index, name in enumerate(names))
    bodies = "".join(
        _dashboard(index, name, result.dashboards[name], window, screens.get(name, ()))
        for index, name in enumerate(names)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboards of {escape(stack)}</title>'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body>"
        f"<h1>Dashboards of {escape(stack)}, {escape(heading)}</h1><nav>{menu}</nav>"
        f"{_failures(result, links)}{_links(links)}{bodies}</body></html>"
    )


def _failures(result: Result, links: Sequence[Followed]) -> str:
    broken = [link for link in links if not link.ok]
    items = [
        f"<li><b>{escape(failure.dashboard)}</b> · {escape(failure.where)}<pre>{escape(failure.what)}</pre></li>"
        for failure in result.failures
    ]
    items += [f"<li><b>{escape(link.link)}</b><pre>{escape(link.detail)}</pre></li>" for link in broken]
    if not items:
        return (
            f'<p class="green">All {result.queries} queries, {result.variables} variables, {result.alerts} alerts '
            f"and {len(links)} links work.</p>"
        )
    return f'<div class="failures"><h2 class="red">{len(items)} failures</h2><ul>{"".join(items)}</ul></div>'


def _links(links: Sequence[Followed]) -> str:
    rows = "".join(
        f'<tr><td class="{"green" if link.ok else "red"}">{"✔" if link.ok else "✘"}</td>'
        f"<td>{escape(link.link)}</td><td><code>{escape(link.detail)}</code></td></tr>"
        for link in links
    )
    return f"<h2>Links</h2><p>Followed as a user does who clicks them.</p><table>{rows}</table>"


def _dashboard(index: int, name: str, panels: Sequence[Checked], window: Window, screens: Sequence[bytes]) -> str:
    shown = "".join(_panel(panel, window) for panel in panels)
    images = "".join(
        f'<img alt="" src="data:image/png;base64,{base64.b64encode(screen).decode()}">' for screen in screens
    )
    drawn = f"<details><summary>As Grafana draws it</summary>{images}</details>" if images else ""
    return f'<h2 id="{index}">{escape(name)}</h2>{drawn}<div class="dashboard">{shown}</div>'


def _panel(checked: Checked, window: Window) -> str:
    panel = checked.panel
    x, y, width, height = panel.place
    place = f"grid-column: {x + 1} / span {width}; grid-row: {y + 1} / span {height}"
    if panel.type == "row":
        return f'<div class="row" style="{place}">{escape(panel.title)}</div>'
    failed = " failed" if checked.failure else ""
    content = f'<p class="red">{escape(checked.failure)}</p>' if checked.failure else drawn(checked, window)
    return (
        f'<div class="panel{failed}" style="{place}" title="{escape(panel.question)}">'
        f"<h3>{escape(panel.title)}</h3>{content}</div>"
    )
