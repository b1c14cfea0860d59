// The chart's behaviour: fetch cards after the page, open the app in the frame, report decisions.
// Source: CDS Hooks 2.0 "Feedback"; the page works as a record without it.
"use strict";

const AGAIN_MS = 3000; // between two questions while a card says that the analysis runs
const AGAIN_FOR_MS = 120000;
const RESULTS_MS = 5000; // while the app is open it may write to the record

const shell = document.querySelector(".shell");
const base = shell.dataset.chart;
const rail = document.getElementById("cards");
const results = document.getElementById("results");
const activity = document.getElementById("activity");
const frame = document.getElementById("frame");
const narrow = document.getElementById("narrow");
const decided = new Set(); // cards already accepted or dismissed on this page
let shownHtml = "";
let timer = 0;

async function post(path, body) {
  const answer = await fetch(`${base}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(String(answer.status));
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
    answer = { state: "failed", running: false, html: railFailure() };
  }
  show(answer.html);
  rail.setAttribute("aria-busy", "false");
  await refreshResults();
  if (answer.running && Date.now() < until) timer = setTimeout(ask, AGAIN_MS, until);
}

function show(html) {
  if (html === shownHtml) return;
  shownHtml = html;
  rail.innerHTML = html; // rendered and escaped by our own server
  for (const card of rail.querySelectorAll("[data-card]")) {
    if (decided.has(card.dataset.card)) card.remove();
  }
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
  let failure;
  try {
    ({ failure } = await post("feedback", { card: card.dataset.card, ...decision }));
  } catch {
    failure = "This EHR did not answer.";
  }
  outcome.hidden = false;
  outcome.textContent = failure ? `Not reported: ${failure}` : `${words} The AI service was told.`;
  if (failure) return;
  decided.add(card.dataset.card);
  card.classList.add("decided");
  for (const part of card.querySelectorAll(":scope > .detail, :scope > .acts, :scope > form")) {
    part.remove();
  }
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
