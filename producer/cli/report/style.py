"""How the page looks, in light and dark."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #f6f7f9; --line: #d9dde3; --text: #1b2230; --faint: #5d6779;
  --applied: #2e8b57; --not_applied: #8a94a6; --settled: #b7791f; --abandoned: #c0392b; --open: #2f6fde;
  --good: #1e7145; --bad: #b03024; --busy: #96610b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161d; --card: #1a2029; --line: #313a47; --text: #e4e8ef; --faint: #9aa5b6;
    --applied: #4cc38a; --not_applied: #7d8798; --settled: #e0a33e; --abandoned: #f0776a; --open: #6ea8fe;
    --good: #5bd39a; --bad: #f58a7e; --busy: #e9b45c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1180px; padding: 32px 24px 48px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 24px; line-height: 1.3; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 36px 0 10px; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.state { font-weight: 650; }
.committed { color: var(--good); } .rolled_back, .abandoned { color: var(--bad); }
.applying, .rolling_back { color: var(--busy); }
.reason { margin: 6px 0 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(185px, 1fr)); gap: 14px 24px;
  margin: 20px 0 0; padding: 16px 18px; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; }
dt { color: var(--faint); font-size: 12.5px; } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background-color: var(--card); }
svg { display: block; min-width: 860px; width: 100%; height: auto; }
svg text { fill: var(--text); font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
svg .faint { fill: var(--faint); } svg .grid { stroke: var(--line); }
svg .mark { stroke: var(--faint); stroke-dasharray: 4 3; }
svg .stripe { fill: var(--page); fill-opacity: .55; }
.bar.applied, .key.applied { fill: var(--applied); background-color: var(--applied); }
.bar.not_applied, .key.not_applied { fill: var(--not_applied); background-color: var(--not_applied); }
.bar.settled, .key.settled { fill: var(--settled); background-color: var(--settled); }
.bar.abandoned, .key.abandoned { fill: var(--abandoned); background-color: var(--abandoned); }
.bar.open, .key.open { fill: var(--open); background-color: var(--open); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 10px 2px 0; padding: 0; list-style: none;
  color: var(--faint); font-size: 13px; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px;
  vertical-align: -1px; }
.striped { background-image: repeating-linear-gradient(45deg, transparent 0 3px, var(--page) 3px 6px); }
table { border-collapse: collapse; width: 100%; min-width: 680px; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: var(--faint); white-space: nowrap; }
th, td { padding: 6px 14px; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; } td { overflow-wrap: anywhere; }
footer { margin-top: 36px; color: var(--faint); font-size: 13px; }
@media print { body { max-width: none; padding: 0; } .wide { overflow: visible; } svg { min-width: 0; } }
"""
