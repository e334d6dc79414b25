"""The page's style sheet: light and dark, from a phone's width up."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fafaf9; --raised: #ffffff; --sunken: #f0f0ee;
  --ink: #1d1f22; --muted: #62686f; --line: #e2e3e4; --bar: #4a7bab; --link: #2b5f94;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171a; --raised: #1c1f23; --sunken: #111315;
    --ink: #e3e5e8; --muted: #99a0a8; --line: #2e3237; --bar: #6d9ecd; --link: #8db8e2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 70rem; padding: 2rem clamp(1rem, 4vw, 2.5rem) 4rem;
  background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
}
h1 { margin: 0 0 1.25rem; font-size: 1.5rem; font-weight: 600; line-height: 1.25; }
h2 { margin: 0; font-size: 1.1rem; font-weight: 600; }
h3 { margin: 0; font-size: .9rem; font-weight: 600; line-height: 1.35; }
h1, h3, dd, th, td { unicode-bidi: isolate; }
p { margin: 0; color: var(--muted); font-size: .9rem; }
a { color: var(--link); text-underline-offset: .15em; }
section { margin-top: 2.5rem; }
dl {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
  grid-auto-flow: dense; gap: .9rem 1.5rem; margin: 0; padding: 1.1rem 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line);
}
dl .long { grid-column: 1 / -1; }
dt { color: var(--muted); font-size: .8rem; }
dd { margin: 0; }
.figures, .sheet {
  display: grid; gap: 1rem; margin: 1rem 0 0; padding: 0; list-style: none;
}
.figures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
.sheet { grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); }
.cases { grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
.cases.broad { grid-template-columns: repeat(auto-fill, minmax(min(100%, 44rem), 1fr)); }
.cases .picture { aspect-ratio: auto; }
figure, .sheet li {
  margin: 0; min-width: 0; background: var(--raised);
  border: 1px solid var(--line); border-radius: 6px; overflow: hidden;
}
figure { padding: .8rem 1rem .5rem; }
figcaption {
  display: flex; justify-content: space-between; gap: 1rem; margin-bottom: .4rem;
  font-size: .9rem;
}
figcaption b { font-weight: 600; }
figcaption span { color: var(--muted); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font: 12px system-ui, sans-serif; }
.grid, .axis { stroke: var(--line); stroke-width: 1; fill: none; }
.axis { stroke: var(--muted); }
.bar { fill: var(--bar); }
.line { stroke: var(--bar); stroke-width: 2; fill: none; }
.second .line { stroke: var(--muted); stroke-dasharray: 5 4; }
.dot { fill: var(--bar); }
.hit { fill: transparent; }
.bin:hover .hit { fill: var(--line); fill-opacity: .6; }
details { margin-top: .3rem; }
summary { color: var(--muted); font-size: .9rem; cursor: pointer; }
table { width: 100%; margin-top: .7rem; border-collapse: collapse; font-size: .9rem; }
th, td {
  padding: .4rem 1rem .4rem 0; border-top: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: 400;
}
th { width: 35%; }
td { color: var(--muted); }
table.scores th, table.scores td { width: auto; white-space: nowrap; }
table.scores td, table.scores thead th + th { text-align: right; }
table.scores td small { display: block; font-size: .8rem; }
.wide { overflow-x: auto; }
section > ul:not(.sheet) { margin: .7rem 0 0; padding-left: 1.2rem; font-size: .9rem; }
.picture {
  display: flex; align-items: center; justify-content: center; aspect-ratio: 4 / 3;
  background: var(--sunken); color: var(--muted); font-size: .85rem;
}
.picture img { width: 100%; height: 100%; object-fit: contain; }
.sheet li { padding-bottom: .6rem; }
.picture { margin-bottom: .6rem; }
.sheet h3, .sheet p { padding: 0 .8rem; }
.sheet p { margin-top: .15rem; font-size: .85rem; }
@media (max-width: 40rem) {
  .sheet:not(.cases) { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .6rem; }
}
@media (max-width: 30rem) { svg text { font-size: 14px; } }
@media print { figure, .sheet li { break-inside: avoid; } }
"""
