// The chart's behaviour: fetch cards after the page, act on orders and the visit, open the app in
// the frame, report decisions.
// Source: CDS Hooks 2.0 "Feedback"; the page works as a record without it.
"use strict";

const AGAIN_MS = 3000; // between two questions while an analysis runs or the service is silent
const AGAIN_FOR_MS = 120000;
const RESULTS_MS = 5000; // while the app is open it may write to the record

const shell = document.querySelector(".shell");
const base = shell.dataset.chart;
const rail = document.getElementById("cards");
const results = document.getElementById("results");
const activity = document.getElementById("activity");
const frame = document.getElementById("frame");
const narrow = document.getElementById("narrow");
const orders = document.getElementById("orders");
const visit = document.getElementById("visit");
const note = document.getElementById("note");
const said = document.getElementById("said");
const decided = new Set(); // cards already accepted or dismissed on this page
let timer = 0;

async function post(path, body = {}) {
  const answer = await fetch(`${base}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.headers.get("Content-Type").startsWith("application/json")) {
    throw new Error(String(answer.status));
  }
  return answer.json();
}

// Cards ---------------------------------------------------------------------------------------

async function ask(until = Date.now() + AGAIN_FOR_MS) {
  clearTimeout(timer);
  rail.setAttribute("aria-busy", "true");
  let answer;
  try {
    answer = await (await fetch(`${base}/cards`)).json();
  } catch {
    answer = { groups: [{ service: "", html: railFailure() }] };
  }
  show(answer);
  rail.setAttribute("aria-busy", "false");
  await refreshResults();
  if (answer.again && Date.now() < until) timer = setTimeout(ask, AGAIN_MS, until);
}

// What an answer brings takes its place: cards by service, orders, visit, and the line on top.
function show(answer) {
  const words = answer.failure || answer.note;
  if (words !== undefined) note.textContent = words;
  if (answer.orders) replace(orders, answer.orders);
  if (answer.visit) replace(visit, answer.visit);
  for (const group of answer.groups ?? []) showGroup(group);
  dropStale();
  if (said.open) refreshSaid();
}

// The same guidance about the next order comes under the same uuid.
function identity({ dataset }) {
  return `${dataset.card} ${dataset.about ?? ""}`;
}

function showGroup({ service, html }) {
  let group = [...rail.querySelectorAll("[data-service]")].find(
    (one) => one.dataset.service === service,
  );
  if (!group) {
    rail.querySelector(".waiting")?.remove();
    group = document.createElement("div");
    group.dataset.service = service;
    rail.prepend(group);
  }
  if (group.shown === html) return;
  group.shown = html;
  group.innerHTML = html; // rendered and escaped by our own server
  for (const card of group.querySelectorAll("[data-card]")) {
    if (decided.has(identity(card))) card.remove();
  }
}

// A card about drafts that are signed or gone says nothing any more, unless it says what was done.
function dropStale() {
  const drafts = new Set();
  for (const line of orders.querySelectorAll('[data-status="draft"]')) drafts.add(line.dataset.order);
  for (const card of rail.querySelectorAll("[data-about]:not(.decided)")) {
    if (!card.dataset.about.split(" ").some((name) => drafts.has(name))) card.remove();
  }
  for (const group of rail.querySelectorAll("[data-service]")) {
    group.hidden = !group.querySelector(".card, .failure");
  }
  rail.querySelector(".empty")?.remove();
  if (!rail.querySelector("[data-service]:not([hidden]), .waiting")) {
    rail.append(document.getElementById("quiet").content.cloneNode(true));
  }
}

// The keyboard must not lose its place when what had the focus is replaced, nor land on a button.
function replace(part, html) {
  const hadFocus = part.contains(document.activeElement);
  part.innerHTML = html;
  if (hadFocus) note.focus({ preventScroll: true });
}

function railFailure() {
  return '<div class="failure"><p><strong>This EHR did not answer.</strong> Reload the page.</p></div>';
}

async function refreshResults() {
  const answer = await fetch(`${base}/results`).catch(() => null);
  if (!answer || !answer.ok) return;
  const html = await answer.text();
  if (html !== results.dataset.html) results.innerHTML = results.dataset.html = html;
}

async function decide(card, decision) {
  const outcome = card.querySelector(".outcome");
  const words = decision.outcome === "accepted" ? "Accepted." : "Dismissed.";
  let answer;
  try {
    answer = await post("feedback", { card: card.dataset.card, ...decision });
  } catch {
    answer = { failure: "This EHR did not answer." };
  }
  const { failure, note: done } = answer;
  outcome.hidden = false;
  outcome.textContent = failure
    ? `${done ? `${done}. But not` : "Not"} reported: ${failure}`
    : `${words} The AI service was told.`;
  if (done || !failure) {
    decided.add(identity(card));
    card.classList.add("decided");
    for (const part of card.querySelectorAll(":scope > .detail, :scope > .acts, :scope > form")) {
      part.remove();
    }
  }
  show({ ...answer, failure: "", note: done ?? "" });
}

rail.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const card = event.target.closest(".card");
  if (!button || !card) return;
  const form = card.querySelector(".dismissal");
  if ("launch" in button.dataset) open(button);
  else if (button.dataset.outcome) {
    decide(card, { outcome: button.dataset.outcome, suggestion: button.dataset.suggestion });
  } else if ("dismiss" in button.dataset || "keep" in button.dataset) {
    form.hidden = "keep" in button.dataset || !form.hidden;
    card.querySelector("[data-dismiss]").setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) form.querySelector("input").focus();
  }
});

rail.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new FormData(event.target);
  decide(event.target.closest(".card"), {
    outcome: "overridden",
    reason: JSON.parse(fields.get("reason")),
    comment: fields.get("comment") || null,
  });
});

document.getElementById("again").addEventListener("click", () => ask());

// Orders and the visit ------------------------------------------------------------------------

async function act(path, body) {
  clearTimeout(timer);
  rail.setAttribute("aria-busy", "true");
  for (const card of rail.querySelectorAll(".decided")) card.remove();
  let answer;
  try {
    answer = await post(path, body);
  } catch {
    answer = { failure: "This EHR did not answer. Reload the page." };
  }
  show(answer);
  rail.setAttribute("aria-busy", "false");
  if (answer.groups?.some((group) => group.state === "cards")) {
    document.querySelector(".rail-head").scrollIntoView({ block: "nearest" });
  }
  if (answer.again) timer = setTimeout(ask, AGAIN_MS);
}

for (const part of [orders, visit]) {
  part.addEventListener("click", (event) => {
    const { act: path, body } = event.target.closest("button")?.dataset ?? {};
    if (path) act(path, body ? JSON.parse(body) : {});
  });
}

document.getElementById("new-order").addEventListener("submit", (event) => {
  event.preventDefault();
  act("orders", { procedure: new FormData(event.target).get("procedure") });
});

// What was said -------------------------------------------------------------------------------

async function refreshSaid() {
  const answer = await fetch(`${base}/said`).catch(() => null);
  if (answer?.ok) document.getElementById("exchanges").innerHTML = await answer.text();
}

said.addEventListener("toggle", () => {
  if (said.open) refreshSaid();
});

// The app's frame -----------------------------------------------------------------------------

async function open(button) {
  document.getElementById("activity-title").textContent = button.dataset.title || "Sightline";
  document.getElementById("activity-failure").hidden = true;
  activity.hidden = false;
  shell.classList.add("busy");
  try {
    const { url } = await post("launch", {
      study: button.dataset.study || null,
      appContext: button.dataset.appContext ?? null,
    });
    frame.hidden = false;
    frame.src = url;
  } catch {
    frame.hidden = true;
    document.getElementById("activity-failure").hidden = false;
  }
  document.getElementById("close").focus({ preventScroll: true });
}

document.querySelector(".record").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-study]");
  if (button) open(button);
});

narrow.addEventListener("click", () => {
  const isNarrow = shell.classList.toggle("narrow");
  narrow.setAttribute("aria-pressed", String(isNarrow));
});

document.getElementById("close").addEventListener("click", () => {
  activity.hidden = true;
  frame.removeAttribute("src");
  shell.classList.remove("busy");
  refreshResults();
});

setInterval(() => {
  if (!activity.hidden) refreshResults();
}, RESULTS_MS);

// The list ------------------------------------------------------------------------------------

document.getElementById("words").addEventListener("input", (event) => {
  const words = event.target.value.trim().toLowerCase();
  for (const item of document.querySelectorAll(".patients li")) {
    item.hidden = !item.textContent.toLowerCase().includes(words);
  }
});

ask();
