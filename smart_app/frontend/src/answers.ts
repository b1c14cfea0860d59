/** What the viewer asks of our own routes: the list of images, and the values of each. */

/** What one image is, and where its values lie. */
export interface ImageEntry {
  frame: string;
  view: string;
}

/** The images of a study by series, and the number of the image of each finding. */
export interface ImageList {
  series: ImageEntry[][];
  findings: Record<string, number>;
}

/** What lies towards each edge, in letters such as "L" or "LF". */
export interface Edges {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

/** How the values of a frame are shown and measured. */
export interface Facts {
  rows: number;
  columns: number;
  slope: number; // of the modality value: stored * slope + intercept
  intercept: number;
  window: [number, number]; // stored values that are black and white
  lowest: number;
  highest: number;
  spacing_mm: [number, number] | null;
  edges: Edges | null;
}

export interface Frame {
  facts: Facts;
  values: Uint16Array;
}

const FACTS_HEADER = "Sightline-Frame";
const ATTEMPTS = 5; // while the server is busy with other images
const BUSY = 503;
const coming = new Map<string, Promise<Frame>>();

export async function fetchImages(address: string): Promise<ImageList> {
  return (await (await fetched(address, "application/json")).json()) as ImageList;
}

export async function fetchSize(address: string): Promise<{ edges: Edges | null }> {
  return (await (await fetched(address, "application/json")).json()) as { edges: Edges | null };
}

/** Ask for a frame before somebody needs it; `takeFrame` then gets the same answer. */
export function prefetchFrame(address: string): void {
  const frame = fetchFrame(address);
  frame.catch(() => undefined); // whoever takes it is told
  coming.set(address, frame);
}

export function takeFrame(address: string): Promise<Frame> {
  const frame = coming.get(address) ?? fetchFrame(address);
  coming.delete(address);
  return frame;
}

async function fetchFrame(address: string): Promise<Frame> {
  const answer = await fetched(address, "application/octet-stream");
  const facts = JSON.parse(answer.headers.get(FACTS_HEADER) ?? "") as Facts;
  // Every platform that has WebGL 2 is little endian, as the values are.
  return { facts, values: new Uint16Array(await answer.arrayBuffer()) };
}

async function fetched(address: string, accept: string): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(address, { headers: { Accept: accept } });
    if (answer.ok) return answer;
    if (answer.status !== BUSY || attempt === ATTEMPTS) {
      throw new Error(`an image was not answered: ${answer.status}`);
    }
    const wait = Number(answer.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}
