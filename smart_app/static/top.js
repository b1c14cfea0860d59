// What Tab reaches is never scrolled under the header, however many lines that has (WCAG 2.4.11).
"use strict";

const header = document.querySelector(".top");
if (header) {
  new ResizeObserver(() => {
    const root = document.documentElement.style;
    root.setProperty("--top", `${header.getBoundingClientRect().height}px`);
  }).observe(header);
}
