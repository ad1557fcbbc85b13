// What the page of a data set adds to the style sheet of html_style.h.
#pragma once

namespace loraptor::report {

inline constexpr char kDatasetPageStyle[] = R"css(
.bar-fill { fill: currentColor; opacity: 0.85; }
.mark { stroke: var(--two); stroke-width: 1.2; stroke-dasharray: 4 3; }
.remark { color: var(--soft); font-size: 14px; margin: -8px 0 10px; }
.good { color: var(--three); margin: 0; }
.finding { border-top: 1px solid var(--line); padding: 8px 0; }
.finding:first-of-type { border-top: 0; padding-top: 0; }
.finding summary { cursor: pointer; overflow-wrap: anywhere; }
.finding.problem summary::marker { color: var(--two); }
.finding ul { margin: 6px 0 2px; padding-left: 20px; font-size: 14px; color: var(--soft); max-height: 320px;
  overflow-y: auto; overflow-wrap: anywhere; }
.badge { display: inline-block; border-radius: 5px; padding: 0 8px; margin-right: 8px; font-size: 13px;
  border: 1px solid currentColor; color: var(--soft); }
.problem .badge { color: var(--two); }
.wide { overflow-x: auto; }
.numbers th { text-align: right; font-weight: 500; font-size: 13px; color: var(--soft); padding: 0 0 5px 18px;
  white-space: nowrap; vertical-align: bottom; }
.numbers th:first-child, .numbers td:first-child { text-align: left; padding-left: 0; color: inherit; width: auto; }
.numbers td { text-align: right; padding: 5px 0 5px 18px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers td:first-child { white-space: normal; min-width: 150px; }
.numbers td:last-child { color: inherit; width: auto; padding-right: 0; }
.tags { columns: 2 320px; column-gap: 32px; font-size: 14px; }
.tag { display: grid; grid-template-columns: minmax(0, 1fr) 90px 52px; gap: 10px; align-items: center; padding: 2px 0;
  break-inside: avoid; }
.tag span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tag div { height: 7px; border-radius: 3px; background: var(--line); overflow: hidden; }
.tag div div { height: 100%; background: var(--one); }
.tag b { font-weight: 400; color: var(--soft); text-align: right; font-variant-numeric: tabular-nums; }
)css";

}  // namespace loraptor::report
