// The review of a finding: saved without leaving the page, drawn on the image, copied to a report.
// Everything is delegated to the document, because a saved review replaces its whole part.
const WORDS = JSON.parse(document.querySelector("[data-words]").dataset.words); // the page's language
const REVIEW_POLL_MS = 1500; // the first time; each next wait is longer
const LONGEST_POLL_MS = 30_000;
const LONGER = 1.25;
const SMALLEST_DRAG = 8; // CSS pixels to each side: less is a tap of a trembling finger
const AS_PANEL = { Accept: "text/html;q=0.9, application/json" };
const SIZE_RETRY_MS = 1000;
const SIDES = ["left", "top", "width", "height"];
const STEP = 0.01; // of the image's longer side, per arrow key
const SVG = "http://www.w3.org/2000/svg";

document.documentElement.classList.add("has-script");

// --- saving ------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-review]")) return;
  event.preventDefault();
  save(event.target);
});

async function save(form) {
  const section = form.closest(".review");
  if ("busy" in section.dataset) return; // the second click of a double click
  section.dataset.busy = "";
  const values = new URLSearchParams(new FormData(form));
  values.set("after", "panel");
  let trouble = WORDS.notReached;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: values,
      headers: AS_PANEL,
    });
    if (response.ok) {
      const fresh = replace(section, parsed(await response.text()));
      fresh.querySelector(".standing")?.focus({ preventScroll: true });
      return watch(fresh);
    }
    trouble = `${await saidBy(response)} ${WORDS.notSaved}`; // and what was typed stays
  } catch {
    // Offline, or no JSON: the sentence above.
  }
  delete section.dataset.busy;
  tell(section, trouble);
}

function tell(section, trouble) {
  const told = section.querySelector(".trouble-text");
  told.textContent = trouble;
  told.hidden = false;
}

function replace(section, fresh) {
  stopDrawing(section);
  section.replaceWith(fresh);
  return fresh;
}

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html").querySelector(".review");
}

// --- on its way into the chart -----------------------------------------------------------------

function watch(section, wait = REVIEW_POLL_MS) {
  if (!("waiting" in section.dataset)) return;
  setTimeout(() => look(section, wait), wait);
}

async function look(section, waited) {
  if (!section.isConnected) return;
  let seen = section;
  try {
    const response = await fetch(section.dataset.panel, { headers: AS_PANEL });
    if (response.ok) seen = renew(section, parsed(await response.text()));
    else if (response.status === 401) return await end(section, response);
  } catch {
    // Offline for a moment: the next round asks again.
  }
  watch(seen, Math.min(waited * LONGER, LONGEST_POLL_MS));
}

// What is told and what stands for it change together; a form that somebody fills in stays.
function renew(section, fresh) {
  if (!section.isConnected || "busy" in section.dataset) return section;
  if (!isInUse(section)) return replace(section, fresh);
  section.querySelector(".standing").replaceChildren(...fresh.querySelector(".standing").childNodes);
  section.querySelector("[data-report]").value = fresh.querySelector("[data-report]").value;
  const marked = (part) => part.querySelectorAll(".verdicts summary, .verdicts [aria-pressed]");
  const now = marked(fresh);
  marked(section).forEach((one, index) => {
    one.className = now[index].className;
    if (one.ariaPressed) one.ariaPressed = now[index].ariaPressed;
  });
  if (!("waiting" in fresh.dataset)) delete section.dataset.waiting;
  return section;
}

function isInUse(section) {
  return section.contains(document.activeElement) || section.querySelector("details[open]") !== null;
}

async function end(section, response) {
  if (!section.querySelector("details[open]")) return location.reload(); // the page says it
  tell(section, await saidBy(response));
}

async function saidBy(response) {
  const { text, then } = await response.json();
  return response.status === 401 ? `${text} ${then}` : text;
}

// --- copying -----------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const report = button.closest(".report");
  const text = report.querySelector("[data-report]");
  const isCopied = copiedBySelection(text) || (await copiedByClipboard(text.value));
  report.querySelector("[data-copied]").textContent = isCopied
    ? WORDS.copied
    : WORDS.copyYourself;
});

async function copiedByClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not there over http, and forbidden in most EHRs' frames
  }
}

function copiedBySelection(field) {
  field.focus();
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  }
}

// --- drawing -----------------------------------------------------------------------------------

document.addEventListener(
  "toggle",
  (event) => {
    if (!event.target.matches?.("details[data-place]")) return;
    if (event.target.open) startDrawing(event.target);
    else stopDrawing(event.target.closest(".review"));
  },
  true,
);

document.addEventListener("input", (event) => {
  const form = event.target.closest("details[data-place] form");
  if (form && SIDES.includes(event.target.name)) show(form.closest(".review"));
});

async function startDrawing(details) {
  const section = details.closest(".review");
  const image = section.closest(".finding")?.querySelector(".stack");
  if (!image || section.drawing) return;
  const isWanted = () => details.open && details.isConnected && !section.drawing;
  let size = null;
  while (isWanted() && !size) {
    // Once the picture is shown its size is known at once; many may be opening images before.
    const { picture } = image.closest(".stage").dataset;
    if (picture === "failed") return; // the four fields are still there
    if (picture !== "waiting") size = await sizeOf(section);
    if (!size) await new Promise((done) => setTimeout(done, SIZE_RETRY_MS));
  }
  if (!isWanted()) return;
  section.size = size;
  section.drawing = canvas(section, size);
  image.append(section.drawing);
  image.closest(".viewer")?.setAttribute("data-drawing", "");
  section.proposed = middle(size); // to begin with, and nobody's place until somebody moves it
  show(section);
  image.closest(".stage").scrollIntoView({ block: "nearest" });
}

function stopDrawing(section) {
  section.closest(".finding")?.querySelector(".viewer")?.removeAttribute("data-drawing");
  section.drawing?.remove();
  section.drawing = null;
}

async function sizeOf(section) {
  try {
    const response = await fetch(section.dataset.size, { headers: { Accept: "application/json" } });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

function canvas(section, size) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "drawing");
  svg.setAttribute("viewBox", `0 0 ${size.columns} ${size.rows}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-label", WORDS.box);
  for (const name of ["halo", "box"]) {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", name);
    svg.append(rect);
  }
  svg.addEventListener("pointerdown", (event) => drag(section, event));
  // Chromium takes a quick stroke for a fling, and the next tap (on "Save") only ends that fling.
  svg.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  svg.addEventListener("keydown", (event) => nudge(section, event));
  return svg;
}

function drag(section, event) {
  if (event.button !== 0 || !event.isPrimary) return; // a second finger draws no second box
  event.preventDefault();
  event.stopPropagation(); // the viewer's own gestures rest while somebody draws
  const svg = section.drawing;
  svg.focus({ preventScroll: true });
  svg.setPointerCapture(event.pointerId);
  const start = pixelAt(section, event);
  const before = boxOf(section);
  const move = (moved) => {
    if (moved.pointerId !== event.pointerId) return;
    setBox(section, isDrag(event, moved) ? between(start, pixelAt(section, moved)) : before);
  };
  const end = (ended) => {
    if (ended.pointerId !== event.pointerId) return;
    svg.removeEventListener("pointermove", move);
    svg.removeEventListener("pointerup", end);
    svg.removeEventListener("pointercancel", end);
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
}

function isDrag(from, to) {
  const [across, down] = [to.clientX - from.clientX, to.clientY - from.clientY];
  return Math.min(Math.abs(across), Math.abs(down)) >= SMALLEST_DRAG;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function nudge(section, event) {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  const box = boxOf(section) ?? { ...section.proposed };
  event.preventDefault();
  event.stopPropagation(); // and so do its keys
  const { columns, rows, smallest } = section.size;
  const step = event.altKey ? 1 : Math.max(1, Math.round(Math.max(columns, rows) * STEP));
  const [x, y] = [arrow[0] * step, arrow[1] * step];
  if (event.shiftKey) {
    box.width = clamp(box.width + x, smallest, columns - box.left);
    box.height = clamp(box.height + y, smallest, rows - box.top);
  } else {
    box.left = clamp(box.left + x, 0, columns - box.width);
    box.top = clamp(box.top + y, 0, rows - box.height);
  }
  setBox(section, box);
}

function pixelAt(section, event) {
  const frame = section.drawing.getBoundingClientRect();
  const { columns, rows } = section.size;
  return {
    x: clamp(Math.round(((event.clientX - frame.left) / frame.width) * columns), 0, columns),
    y: clamp(Math.round(((event.clientY - frame.top) / frame.height) * rows), 0, rows),
  };
}

function between(a, b) {
  return {
    left: Math.min(a.x, b.x),
    top: Math.min(a.y, b.y),
    width: Math.max(1, Math.abs(a.x - b.x)),
    height: Math.max(1, Math.abs(a.y - b.y)),
  };
}

function middle({ columns, rows }) {
  const [width, height] = [Math.ceil(columns / 4), Math.ceil(rows / 4)];
  return { left: Math.floor((columns - width) / 2), top: Math.floor((rows - height) / 2), width, height };
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function isInside({ left, top, width, height }, { columns, rows }) {
  return left >= 0 && top >= 0 && width > 0 && height > 0 && left + width <= columns && top + height <= rows;
}

function fields(section) {
  return SIDES.map((side) => section.querySelector(`details[data-place] input[name=${side}]`));
}

function boxOf(section) {
  const values = fields(section).map((field) => field.valueAsNumber);
  if (!values.every(Number.isInteger)) return null;
  return Object.fromEntries(SIDES.map((side, index) => [side, values[index]]));
}

function setBox(section, box) {
  fields(section).forEach((field, index) => {
    field.value = box ? box[SIDES[index]] : "";
  });
  show(section);
}

function show(section) {
  if (!section.drawing) return;
  const box = boxOf(section);
  fields(section)[0].setCustomValidity(faultOf(box, section.size));
  section.drawing.toggleAttribute("data-proposed", !box);
  const shown = box ?? section.proposed;
  for (const rect of section.drawing.querySelectorAll("rect")) {
    for (const [name, side] of [["x", "left"], ["y", "top"], ["width", "width"], ["height", "height"]])
      rect.setAttribute(name, Math.max(0, shown[side]));
  }
}

function faultOf(box, size) {
  if (!box) return WORDS.boxUnmarked;
  if (!isInside(box, size))
    return WORDS.boxOutside.replace("{columns}", size.columns).replace("{rows}", size.rows);
  return Math.min(box.width, box.height) < size.smallest ? WORDS.boxTooSmall : "";
}

document.querySelectorAll(".review[data-waiting]").forEach(watch);
