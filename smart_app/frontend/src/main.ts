/**
 * The entry: starts the viewer in every figure that names its images.
 *
 * The page has shown a preview already. Where the browser cannot draw, or an image does not come,
 * the preview stays and nothing else changes.
 */

import { fetchImages, prefetchFrame, type ImageList } from "./answers";
import { showEdgesOfPreview } from "./edges";

const started = new WeakSet<HTMLElement>();

function canDraw(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

function start(): void {
  const figures = [...document.querySelectorAll<HTMLElement>(".viewer[data-images]")];
  const waiting = figures.filter((figure) => !started.has(figure));
  if (waiting.length === 0) return;
  const isDrawing = canDraw();
  for (const figure of waiting) {
    started.add(figure);
    void letterPreview(figure);
    if (isDrawing) void open(figure);
  }
}

async function letterPreview(figure: HTMLElement): Promise<void> {
  if (await hasPreview(figure)) await showEdgesOfPreview(figure);
}

/** The code comes with the preview; then the server knows the image, and how many frames it has. */
async function open(figure: HTMLElement): Promise<void> {
  const code = import("./viewer");
  try {
    if (!(await hasPreview(figure))) return;
    const images = await fetchImages(figure.dataset["images"] ?? "");
    const first = images.series.flat()[images.findings[figure.dataset["code"] ?? ""] ?? 0];
    if (!first) return;
    prefetchFrame(first.frame);
    await take(figure, images, code);
  } catch {
    figure.dataset["viewer"] = "failed"; // the preview, or the sentence in its place, stays
  }
}

async function take(
  figure: HTMLElement,
  images: ImageList,
  code: Promise<typeof import("./viewer")>,
): Promise<void> {
  const { openViewer } = await code;
  if (figure.isConnected) openViewer(figure, images);
}

/** Wait for the preview: it is seen first, and the server then has the image at hand. */
function hasPreview(figure: HTMLElement): Promise<boolean> {
  const picture = figure.querySelector<HTMLImageElement>(".picture");
  return new Promise((resolve) => {
    if (!picture || picture.complete) return resolve(Boolean(picture?.naturalWidth));
    picture.addEventListener("load", () => resolve(true));
    picture.addEventListener("error", () => resolve(false));
  });
}

/** Start once more where a viewer has stopped. */
function startAgain(event: Event): void {
  const button = (event.target as Element).closest("[data-again]");
  const figure = button?.closest<HTMLElement>('.viewer[data-viewer="failed"]');
  if (!figure) return;
  const stage = figure.querySelector<HTMLElement>(".stage");
  if (stage) stage.tabIndex = -1;
  stage?.focus({ preventScroll: true }); // the button is about to go
  delete figure.dataset["viewer"];
  void open(figure);
}

document.addEventListener("click", startAgain);
// The page replaces its panel when an analysis ends.
document.addEventListener("sightline:panel", start);
start();
