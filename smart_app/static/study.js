// The study page's two live parts: the overlay's controls, and the progress that turns into the
// result. Everything is delegated to the document, because the panel is replaced as a whole.
"use strict";

const POLL_MS = 1000; // while something moves; else each wait is longer
const LONGEST_POLL_MS = 30_000;
const LONGER = 1.1;
const WORDS = JSON.parse(document.querySelector("[data-words]").dataset.words);
const AS_JSON = { headers: { Accept: "application/json" } };

document.addEventListener("click", (event) => {
  const bare = event.target.closest('[data-overlay-choice="none"]');
  if (!bare) return;
  const switches = bare.closest(".viewer").querySelectorAll("input[data-overlay-choice]");
  for (const one of switches) one.checked = false;
});

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-opacity]")) return;
  event.target.closest(".viewer").style.setProperty("--fill", event.target.value / 100);
});

// Load and error events of images do not bubble: they are caught on the way down.
document.addEventListener("load", (event) => onPicture(event.target, "shown"), true);
document.addEventListener("error", (event) => onPicture(event.target, "failed"), true);

async function onPicture(image, state) {
  if (!(image instanceof HTMLImageElement) || !image.matches(".picture")) return;
  const stage = image.closest(".stage");
  stage.dataset.picture = state;
  if (state === "shown") stage.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
  if (state !== "failed") return;
  const trouble = stage.querySelector(".trouble");
  trouble.hidden = false;
  trouble.textContent = await sentenceAbout(image.src);
}

async function sentenceAbout(address) {
  try {
    const answer = await (await fetch(address, AS_JSON)).json();
    return `${answer.text} ${answer.then}`;
  } catch {
    return WORDS.noImage;
  }
}

function prepare() {
  for (const image of document.querySelectorAll(".picture")) {
    if (image.complete) onPicture(image, image.naturalWidth ? "shown" : "failed");
    else image.closest(".stage").dataset.picture = "waiting";
  }
  const running = document.querySelector("[data-status]");
  if (running) setTimeout(() => poll(running), POLL_MS);
}

async function poll(running, waited = POLL_MS) {
  let status = null;
  try {
    const response = await fetch(running.dataset.status, AS_JSON);
    if (response.status === 401) return location.reload(); // the page says that the session ended
    if (response.ok) status = await response.json();
    if (status && status.state !== "running") return await swap(running.dataset.panel);
  } catch {
    status = null; // Offline for a moment: the next round tries again.
  }
  running.querySelector("[data-trouble]").hidden = status !== null;
  const hasMoved = status !== null && status.done !== running.querySelector("progress").value;
  if (status) show(running, status);
  const wait = hasMoved ? POLL_MS : Math.min(waited * LONGER, LONGEST_POLL_MS);
  setTimeout(() => poll(running, wait), wait);
}

function show(running, status) {
  running.querySelector("progress").value = status.done;
  // Only what changes is written: a screen reader says the step, and not each second.
  for (const name of ["heading", "wait", "said"]) {
    const place = running.querySelector(`[data-${name}]`);
    if (place.textContent !== status[name]) place.textContent = status[name];
  }
  running.querySelectorAll("[data-step]").forEach((step, index) => {
    step.toggleAttribute("data-done", index < status.done);
    if (index === status.done) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
}

async function swap(address) {
  const response = await fetch(address);
  if (!response.ok) return location.reload();
  document.querySelector("#panel").innerHTML = await response.text();
  prepare();
  document.dispatchEvent(new Event("sightline:panel"));
}

prepare();
