/**
 * The viewer in one figure of the page: the image, its buttons and its keys.
 *
 * All words stand in the page; here is what they do.
 */

import type { ImageList } from "./answers";
import { showEdges, showEdgesOfPreview } from "./edges";
import { imageIdOf } from "./frames";
import { onGestures } from "./gestures";
import { actionOf } from "./keys";
import { onContextLost, Picture, type Drag } from "./picture";
import { Position } from "./position";

const STEP = 40; // CSS pixels of a pan by key
const ZOOM = 1.25;
const BRIGHTER = 0.05; // of the window's width
const CONTRAST = 0.9;

const live = new Set<Viewer>();
onContextLost(() => live.forEach((viewer) => viewer.fail()));

/** Start the viewer in a figure; it takes the preview's place once its first image is drawn. */
export function openViewer(figure: HTMLElement, images: ImageList): void {
  for (const viewer of live) viewer.closeIfGone();
  live.add(new Viewer(figure, images));
}

function part<Kind extends HTMLElement>(figure: HTMLElement, selector: string): Kind {
  const found = figure.querySelector<Kind>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

class Viewer {
  private readonly stage: HTMLElement;
  private readonly stack: HTMLElement;
  private readonly picture: Picture;
  private readonly position: Position;
  private readonly findingAt: number | undefined;
  private readonly isCoarse = matchMedia("(pointer: coarse)").matches;
  // With the next frame: Cornerstone does not resize while one is being drawn.
  private readonly listening = new AbortController();
  private readonly watcher = new ResizeObserver(() => requestAnimationFrame(Picture.fit));
  private drag: Drag | null = this.isCoarse ? null : "window";
  private isZoomed = false;

  constructor(
    private readonly figure: HTMLElement,
    private readonly images: ImageList,
  ) {
    this.stage = part(figure, ".stage");
    this.stack = part(figure, ".stack");
    this.findingAt = images.findings[figure.dataset["code"] ?? ""];
    const lengths = images.series.map((series) => series.length);
    this.position = new Position(lengths, this.findingAt ?? 0);
    this.picture = new Picture(part<HTMLDivElement>(figure, ".canvas"));
    this.picture.onRendered(() => this.onRendered());
    this.bind();
    this.listen();
    void this.openSeries();
  }

  closeIfGone(): void {
    if (!this.figure.isConnected) this.close();
  }

  private close(): void {
    live.delete(this);
    this.listening.abort();
    this.watcher.disconnect();
    this.picture.close();
  }

  /** Give the stage back to the preview; the page then says so, and offers another start. */
  fail(): void {
    this.close();
    this.picture.element.replaceWith(this.picture.element.cloneNode(false));
    this.stack.removeAttribute("style");
    this.stack.hidden = false;
    this.stage.setAttribute("role", "group");
    this.stage.removeAttribute("tabindex");
    this.figure.dataset["viewer"] = "failed";
    void showEdgesOfPreview(this.figure);
  }

  private async openSeries(): Promise<void> {
    const series = this.images.series[this.position.series] ?? [];
    try {
      await this.picture.open(series.map(imageIdOf), this.position.index);
    } catch {
      this.fail();
    }
  }

  private onRendered(): void {
    const box = this.picture.box;
    if (!box) return;
    for (const [side, value] of Object.entries(box)) {
      this.stack.style.setProperty(side, `${value}px`);
    }
    this.stack.hidden = this.findingAt !== undefined && this.position.number !== this.findingAt;
    const isZoomed = this.picture.zoom > 1.01;
    if (isZoomed !== this.isZoomed) {
      this.isZoomed = isZoomed;
      this.bind();
    }
    this.tell();
    if (this.figure.dataset["viewer"] !== "ready") {
      this.figure.dataset["viewer"] = "ready";
      this.stage.setAttribute("role", "application"); // it has keys of its own from now on
      this.stage.tabIndex = 0;
      this.watcher.observe(this.picture.element);
      this.figure.dispatchEvent(new CustomEvent("sightline:viewer", { bubbles: true }));
    }
  }

  /** One finger belongs to the page, unless somebody chose a tool or zoomed in. */
  private bind(): void {
    const finger = this.drag ?? (this.isZoomed ? "pan" : null);
    this.picture.bind(this.drag ?? "window", finger);
    for (const button of this.figure.querySelectorAll<HTMLElement>("[data-drag]")) {
      button.setAttribute("aria-pressed", String(button.dataset["drag"] === this.drag));
    }
  }

  private tell(): void {
    const window = this.picture.shownWindow;
    const values = {
      width: window && Math.round(window.width),
      centre: window && Math.round(window.centre),
      zoom: Math.round(this.picture.zoom * 100),
      number: this.position.number + 1,
      count: this.position.count,
      view: this.images.series[this.position.series]?.[this.position.index]?.view ?? "",
      series: this.position.series + 1,
      "all-series": this.images.series.length,
    };
    for (const [name, value] of Object.entries(values)) {
      const place = this.figure.querySelector(`[data-shown="${name}"]`);
      if (place) place.textContent = String(value ?? "");
    }
    showEdges(this.figure, this.picture.edges);
    const { count } = this.position;
    const howMany: Record<string, number> = { images: count, series: this.images.series.length };
    for (const place of this.figure.querySelectorAll<HTMLElement>("[data-several]")) {
      place.hidden = (howMany[place.dataset["several"] ?? ""] ?? 0) < 2;
    }
    part(this.figure, '[data-do="invert"]').setAttribute(
      "aria-pressed",
      String(this.picture.isInverted),
    );
  }

  private listen(): void {
    const { signal } = this.listening;
    const click = (event: MouseEvent): void => {
      const button = (event.target as Element).closest<HTMLElement>("[data-do], [data-drag]");
      if (button?.dataset["do"]) this.act(button.dataset["do"]);
      else if (button?.dataset["drag"]) this.choose(button.dataset["drag"] as Drag);
    };
    const key = (event: KeyboardEvent): void => {
      const action = actionOf(event, this.position.count > 1);
      const { target } = event;
      // The slider and the choices have arrow keys of their own.
      const isTheirs = target instanceof HTMLInputElement && event.key.length > 1;
      if (!action || isTheirs || (target as Element).closest("dialog")) return;
      event.preventDefault();
      this.act(action);
    };
    this.figure.addEventListener("click", click, { signal });
    this.figure.addEventListener("keydown", key, { signal });
    this.picture.element.addEventListener("pointerdown", () => {
      this.stage.focus({ preventScroll: true });
    });
    onGestures(this.picture, {
      turn: (by) => void this.turn(by),
      mayTurn: () => this.position.count > 1,
      isFingerFree: () => this.drag === null && !this.isZoomed,
    });
  }

  private choose(drag: Drag): void {
    this.drag = this.isCoarse && this.drag === drag ? null : drag;
    this.bind();
  }

  private async turn(by: 1 | -1): Promise<void> {
    const before = this.position.series;
    if (!this.position.stepImage(by)) return;
    if (this.position.series !== before) return this.openSeries();
    try {
      await this.picture.turnTo(this.position.index);
    } catch {
      this.fail();
    }
  }

  private act(action: string): void {
    const actions: Record<string, () => void> = {
      invert: () => this.picture.invert(),
      reset: () => this.picture.reset(),
      closer: () => this.picture.zoomBy(ZOOM),
      farther: () => this.picture.zoomBy(1 / ZOOM),
      brighter: () => this.picture.window(-BRIGHTER),
      darker: () => this.picture.window(BRIGHTER),
      "more-contrast": () => this.picture.window(0, CONTRAST),
      "less-contrast": () => this.picture.window(0, 1 / CONTRAST),
      left: () => this.picture.panBy(-STEP, 0),
      right: () => this.picture.panBy(STEP, 0),
      up: () => this.picture.panBy(0, -STEP),
      down: () => this.picture.panBy(0, STEP),
      next: () => void this.turn(1),
      previous: () => void this.turn(-1),
      "next-series": () => this.position.stepSeries(1) && void this.openSeries(),
      "previous-series": () => this.position.stepSeries(-1) && void this.openSeries(),
      outline: () => this.overlay("outline"),
      heatmap: () => this.overlay("heatmap"),
      bare: () => this.overlay("none"),
      help: () => this.help(),
    };
    actions[action]?.();
  }

  /** Show the keys, whose buttons change the image: it stays in view beside them. */
  private help(): void {
    part<HTMLDialogElement>(this.figure, "dialog").showModal();
    this.stage.scrollIntoView({ block: "start" });
  }

  /** Press the page's own switch, which works without this viewer too. */
  private overlay(choice: string): void {
    this.figure.querySelector<HTMLElement>(`[data-overlay-choice="${choice}"]`)?.click();
  }
}
