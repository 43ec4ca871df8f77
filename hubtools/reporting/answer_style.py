"""How an answer looks, in every page that shows one. A Space ships this file, and no template."""

from __future__ import annotations

# Eight colours that people with any colour vision tell apart (Okabe and Ito, 2008), black replaced; text on them is dark.
PALETTE = ("#56b4e9", "#e69f00", "#b9bec6", "#2fb58a", "#f0e442", "#e58fc0", "#f08a5b", "#8fa8ff")

CSS = """
.b-page { max-width: 60rem; }
.b-page h1 { font-size: 1.6rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
.b-page .b-facts, .b-small { color: color-mix(in srgb, var(--body-text-color) 72%, transparent); font-size: .85rem; }
.b-message { border-left: 4px solid #d97706; background: #fffbeb; color: #451a03; padding: .7rem 1rem; border-radius: .3rem; }
.b-answer h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
.b-answer .b-said { font-size: 1.25rem; margin: .4rem 0 .8rem; }
.b-answer .b-said strong { font-weight: 650; }
/* Gradio draws the lines of every table. */
.b-answer table, .b-answer tr, .b-answer th, .b-answer td { border: 0 !important; }
.b-answer .b-bars { border-collapse: collapse; width: 100%; table-layout: fixed; }
.b-bars caption { text-align: left; padding-bottom: .3rem; }
.b-answer .b-bars th { text-align: left; font-weight: 500; width: 32%; padding: .22rem .6rem .22rem 0; overflow-wrap: anywhere; }
.b-answer .b-bars td { padding: .22rem 0; }
.b-bars td:last-child { width: 4.5rem; text-align: right; font-variant-numeric: tabular-nums; }
.b-bars .b-yes th, .b-bars .b-yes td:last-child { font-weight: 700; }
.b-track { position: relative; height: .95rem; background: color-mix(in srgb, currentColor 10%, transparent); border-radius: .2rem; }
.b-fill { position: absolute; inset: 0 auto 0 0; background: #2b7bba; border-radius: .2rem; }
.b-bars tr:not(.b-yes) .b-fill { background: #8aa4b8; }
.b-limit { position: absolute; top: -.15rem; bottom: -.15rem; width: 2px; background: currentColor; }
.b-legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: .2rem 0 .7rem; padding: 0; list-style: none; font-size: .9rem; }
.b-legend i { display: inline-block; min-width: 1.25rem; text-align: center; border-radius: .2rem; margin-right: .35rem;
  color: #111827; font-style: normal; font-weight: 600; }
.b-sequence { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; line-height: 1.15; }
.b-block { display: inline-block; margin: 0 .75rem .7rem 0; vertical-align: top; }
.b-block small { display: block; color: color-mix(in srgb, var(--body-text-color) 72%, transparent); font-size: .68rem; }
.b-r { display: inline-block; width: 1.12em; text-align: center; color: #111827; border-radius: .12rem; }
.b-r b { display: block; font-weight: 600; }
.b-r span { display: block; font-size: .68em; opacity: .8; }
.b-r.b-none { color: inherit; }
.b-r.b-none b { font-weight: 400; }
.b-plot { width: 100%; height: auto; margin-top: .3rem; }
.b-plot text { fill: currentColor; font-size: 11px; }
.b-sites { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-top: .3rem; }
.b-answer .b-sites th, .b-answer .b-sites td { text-align: left; padding: .15rem 1.2rem .15rem 0; }
"""
