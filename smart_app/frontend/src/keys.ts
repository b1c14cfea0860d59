/** Which key does what; the page's help lists the same keys. */

const PLAIN: Record<string, string> = {
  i: "invert",
  r: "reset",
  "0": "reset",
  "+": "closer",
  "=": "closer",
  "-": "farther",
  arrowup: "brighter",
  arrowdown: "darker",
  ".": "more-contrast",
  ",": "less-contrast",
  o: "outline",
  h: "heatmap",
  n: "bare",
  "?": "help",
};
const SHIFTED: Record<string, string> = {
  arrowleft: "left",
  arrowright: "right",
  arrowup: "up",
  arrowdown: "down",
};
const SEVERAL: Record<string, string> = {
  arrowleft: "previous",
  arrowright: "next",
  pageup: "previous-series",
  pagedown: "next-series",
};

/** Name the action of a key; undefined leaves the key to the browser. */
export function actionOf(event: KeyboardEvent, hasSeveral: boolean): string | undefined {
  if (event.ctrlKey || event.altKey || event.metaKey) return undefined;
  const key = event.key.toLowerCase();
  if (event.shiftKey && SHIFTED[key]) return SHIFTED[key];
  return PLAIN[key] ?? (hasSeveral ? SEVERAL[key] : undefined);
}
