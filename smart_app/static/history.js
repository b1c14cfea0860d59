// Two images side by side: at one scale where both state their size in millimetres. An image that
// cannot be shown says so, and nothing is drawn where it is not.
"use strict";

const RULER_MM = 50;

// Error events of images do not bubble: they are caught on the way down.
document.addEventListener("error", (event) => lose(event.target), true);

function lose(image) {
  if (image instanceof HTMLImageElement && image.matches(".shot")) {
    image.closest(".film").dataset.lost = "";
  }
}

function prepareHistory() {
  for (const image of document.querySelectorAll(".shot")) {
    if (image.complete && !image.naturalWidth) lose(image);
  }
  for (const pair of document.querySelectorAll(".side-by-side")) toScale(pair);
}

// Once both are seen: the server then has them at hand.
async function toScale(pair) {
  const films = [...pair.querySelectorAll(".film")];
  let widths;
  try {
    await Promise.all(films.map((film) => film.querySelector(".shot").decode()));
    widths = await Promise.all(films.map(widthOf));
  } catch {
    return; // as wide as each other, as the sentence below them says
  }
  if (!widths.every(Boolean)) return;
  const widest = Math.max(...widths);
  films.forEach((film, index) => {
    const ruler = film.querySelector(".ruler");
    film.style.width = `${(100 * widths[index]) / widest}%`;
    ruler.style.width = `${(100 * RULER_MM) / widths[index]}%`;
    ruler.hidden = false;
  });
  for (const sentence of pair.parentElement.querySelectorAll("[data-scale]")) {
    sentence.hidden = sentence.dataset.scale !== "true";
  }
}

// In millimetres; null where the image does not state its spacing.
async function widthOf(film) {
  const answer = await fetch(film.dataset.size, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error("the size was not answered");
  const size = await answer.json();
  return size.spacing_mm && size.columns * size.spacing_mm[1];
}

document.addEventListener("sightline:panel", prepareHistory);
prepareHistory();
