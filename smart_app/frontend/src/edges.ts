/**
 * Which part of the patient lies towards each edge: the letters of a radiology viewer.
 *
 * The image is never turned or mirrored here, so each edge of the stage is that edge of the image.
 *
 * Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation).
 */

import { fetchSize, type Edges } from "./answers";

/** Show what an image states; what it leaves open has no letter. */
export function showEdges(figure: HTMLElement, edges: Edges | null | undefined): void {
  const names = JSON.parse(figure.dataset["directions"] ?? "{}") as Record<string, string>;
  const list = new Intl.ListFormat(document.documentElement.lang);
  for (const mark of figure.querySelectorAll<HTMLElement>("[data-edge]")) {
    const letters = edges?.[mark.dataset["edge"] as keyof Edges] ?? "";
    if (mark.textContent === letters) continue;
    const said = list.format([...letters].map((letter) => names[letter] ?? letter));
    mark.textContent = letters;
    mark.setAttribute("aria-label", (mark.dataset["said"] ?? "").replace("{side}", said));
    mark.hidden = !letters;
  }
}

/** Show what the finding's image states, for as long as its preview is what is seen. */
export async function showEdgesOfPreview(figure: HTMLElement): Promise<void> {
  const size = await fetchSize(figure.dataset["size"] ?? "").catch(() => null);
  if (figure.dataset["viewer"] !== "ready") showEdges(figure, size?.edges);
}
