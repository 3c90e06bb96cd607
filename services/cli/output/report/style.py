"""The CSS of a report."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --left: #2f6fb0; --right: #a65420;
  --good: #23703a; --bad: #b3322b; --open: #8a660b; }
@media (prefers-color-scheme: dark) { :root { --left: #77aee6; --right: #e39a63; --good: #6cc483;
  --bad: #f0857d; --open: #dcb352; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: .45rem .5rem; text-align: left;
  vertical-align: top; }
thead th, thead td { border-top: 0; } th { font-weight: 600; }
.sides thead td { width: 10rem; } .sides thead th:last-child { width: 13rem; }
.sides thead th:nth-child(2) { color: var(--left); }
.sides thead th:nth-child(3) { color: var(--right); }
.claims thead th:nth-child(1) { width: 4.5rem; } .claims thead th:nth-child(2) { width: 24%; }
.claims thead th:nth-child(3) { width: 10rem; } .claims thead th:nth-child(4) { width: 17%; }
td p { margin: 0 0 .25rem; } td ul { margin: .25rem 0; padding-left: 1.1rem; }
code { background: var(--soft); border-radius: .25rem; font: 12px/1.5 ui-monospace, monospace;
  padding: .1rem .3rem; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
small, .quiet { font-size: 13px; font-weight: 400; opacity: .75; }
small { display: inline-block; line-height: 1.4; }
.verdict { font-weight: 600; }
.confirmed { color: var(--good); } .refuted { color: var(--bad); }
.inconclusive, .underspecified { color: var(--open); }
svg { display: block; height: auto; max-width: 100%; }
svg text { fill: currentColor; font: 11px system-ui; }
figure { margin: 0 0 1rem; } figcaption { margin: .3rem 0; }
figure img { border-radius: .25rem; display: block; width: 100%; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.summary { background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; }
@media (max-width: 44rem) {
  thead td, .claims thead, .sides thead th:last-child { display: none; }
  .sides, .sides thead, .sides tbody { display: block; }
  .sides tr { border-top: 1px solid var(--line); display: grid; grid-template-columns: 1fr 1fr; }
  .sides tbody th, .sides td:last-child { grid-column: 1 / -1; width: auto; }
  .sides td:last-child:empty { display: none; }
  .sides td:last-child::before { content: "better: "; }
  .sides thead { background: Canvas; position: sticky; top: 0; }
  .sides thead > tr > th { width: auto; }
  .claims tr { border-top: 1px solid var(--line); display: block; padding: .5rem 0; }
  .claims tr > * { display: block; padding: .1rem 0; }
  th, td { border: 0; padding: .3rem .4rem; }
  .pair { grid-template-columns: 1fr; }
}
"""
