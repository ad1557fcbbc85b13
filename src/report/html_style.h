// The style sheet of the report page.
#pragma once

namespace loraptor::report {

inline constexpr char kReportStyle[] = R"css(
:root { color-scheme: light dark; --page: #f6f5f2; --card: #ffffff; --ink: #1d2026; --soft: #646a75; --line: #e2e0da;
  --one: #2a63c4; --two: #c2571a; --three: #2f8a57; --four: #8a4bb3; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --card: #1d2026; --ink: #e8e6e1; --soft: #9aa1ad;
  --line: #32363f; --one: #7aa7f5; --two: #f0975a; --three: #6cc795; --four: #c596e8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; }
.subtitle { color: var(--soft); margin: 6px 0 0; }
.bar { height: 8px; border-radius: 4px; background: var(--line); margin: 20px 0 6px; overflow: hidden; }
.bar div { height: 100%; background: var(--one); }
.progress { color: var(--soft); font-size: 14px; margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px; margin: 24px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; }
.tiles .card { padding: 14px 18px; }
.tiles b { display: block; font-size: 24px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 14px; }
section { margin-top: 20px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 20px; margin-top: 20px; }
.two section { margin: 0; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.tick, .label { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.two .tick, .two .label { font-size: 15px; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke: currentColor;
  vector-effect: non-scaling-stroke; }
.dot { fill: currentColor; }
.faint { opacity: 0.32; stroke-width: 1; }
.series-1 { color: var(--one); } .series-2 { color: var(--two); } .series-3 { color: var(--three); }
.series-4 { color: var(--four); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 6px 0 0; font-size: 14px; color: var(--soft); }
.legend i { display: inline-block; width: 18px; height: 3px; border-radius: 2px; background: currentColor;
  margin-right: 7px; vertical-align: middle; }
.prompt { margin: 0 0 10px; overflow-wrap: anywhere; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(155px, 1fr)); gap: 16px; }
.samples + .prompt { margin-top: 28px; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 8px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 14px; margin-top: 5px; }
.sheet { display: flex; flex-wrap: wrap; gap: 14px 12px; align-items: flex-start; }
.sheet figure { max-width: 100%; }
.sheet img { height: 150px; width: auto; max-width: 100%; object-fit: contain; border-radius: 6px; }
.sheet figcaption { font-size: 12.5px; line-height: 1.35; margin-top: 4px; }
.sheet figcaption b { display: block; font-weight: 500; color: var(--ink); }
.sheet figcaption b { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sheet figcaption span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.more { align-self: center; color: var(--soft); font-size: 14px; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; }
td { padding: 5px 14px 5px 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td:first-child { color: var(--soft); width: 34%; }
td:last-child { color: var(--soft); width: 20%; padding-right: 0; text-align: right; }
td[colspan] { color: inherit; width: auto; text-align: left; }
h3 { font-size: 14.5px; margin: 18px 0 6px; }
h3:first-of-type { margin-top: 0; }
code { font: 14px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 13px; margin-top: 28px; }
@media (max-width: 600px) { .two { grid-template-columns: 1fr; } main { padding: 24px 14px; } }
)css";

}  // namespace loraptor::report
