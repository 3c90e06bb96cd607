"""The CSS of a report."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --left: #2f6fb0; --right: #b3622b;
  --good: #2b7a3d; --bad: #b3322b; --open: #96700f; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; padding: .5rem 0; }
th, td { border-top: 1px solid var(--line); padding: .45rem .6rem; text-align: left;
  vertical-align: top; }
thead th { border-top: 0; } tbody th { font-weight: 600; width: 11rem; }
code { font: 12px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
small, .quiet { opacity: .75; font-size: 13px; } .verdict { font-weight: 600; white-space: nowrap; }
.confirmed { color: var(--good); } .refuted { color: var(--bad); }
.inconclusive, .underspecified { color: var(--open); }
svg { display: block; max-width: 100%; } svg text { fill: currentColor; font: 11px system-ui; }
figure { margin: 0; } figure img { max-width: 100%; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } .wide { overflow-x: auto; }
.summary { background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; }
"""
