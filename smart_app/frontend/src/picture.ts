/**
 * One image on the screen: a Cornerstone viewport and its tools.
 *
 * Source: Cornerstone3D StackViewport, ToolGroup.
 */

import {
  Enums,
  eventTarget,
  init as initCore,
  RenderingEngine,
  Settings,
  type Types,
} from "@cornerstonejs/core";
import {
  addTool,
  Enums as ToolEnums,
  init as initTools,
  PanTool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
} from "@cornerstonejs/tools";

import type { Edges } from "./answers";
import { factsOf, registerFrames } from "./frames";

/** What a drag with the first button, or with one finger, does. */
export type Drag = "window" | "pan";
type Point = [number, number];

const TOOLS = { window: WindowLevelTool.toolName, pan: PanTool.toolName } as const;
const { MouseBindings } = ToolEnums;
const SMALLEST_ZOOM = 0.2;
const LARGEST_ZOOM = 40;

let isPrepared = false;
let engine: RenderingEngine | undefined;
let engines = 0;
let opened = 0;
const shown = new Set<Picture>();

function theEngine(): RenderingEngine {
  if (!isPrepared) prepare();
  engine ??= new RenderingEngine(`sightline-${(engines += 1)}`);
  return engine;
}

function prepare(): void {
  // Their cursors are pictures at blob: addresses, which our policy refuses.
  Settings.getRuntimeSettings().set("useCursors", false);
  initCore({ rendering: { webGlContextCount: 1 }, debug: {} });
  initTools();
  for (const tool of [WindowLevelTool, PanTool, ZoomTool]) addTool(tool);
  registerFrames();
  isPrepared = true;
}

/** Tell when the browser takes the context that all pictures are drawn with: each is then dead. */
export function onContextLost(listener: () => void): void {
  eventTarget.addEventListener(Enums.Events.WEBGL_CONTEXT_LOST, (event: Event) => {
    const { renderingEngineId } = (event as CustomEvent<{ renderingEngineId: string }>).detail;
    if (renderingEngineId !== engine?.id) return; // one that was given up before
    listener();
    engine.destroy();
    engine = undefined; // the next picture gets a context of its own
  });
}

export class Picture {
  private readonly id = `image-${(opened += 1)}`;
  private readonly viewport: Types.IStackViewport;

  constructor(readonly element: HTMLDivElement) {
    theEngine().enableElement({
      viewportId: this.id,
      element,
      type: Enums.ViewportType.STACK,
      defaultOptions: { background: [0, 0, 0] },
    });
    this.viewport = theEngine().getViewport(this.id) as Types.IStackViewport;
    const group = ToolGroupManager.createToolGroup(this.id);
    for (const tool of [TOOLS.window, TOOLS.pan, ZoomTool.toolName]) group?.addTool(tool);
    group?.addViewport(this.id, theEngine().id);
    shown.add(this);
  }

  /** Show one image of a stack as it is first seen: whole, in its own window. */
  async open(imageIds: string[], index: number): Promise<void> {
    await this.viewport.setStack(imageIds, index);
    this.reset();
  }

  /** Show another image of the stack; window (in modality values), zoom and place stay. */
  async turnTo(index: number): Promise<void> {
    const window = this.shownWindow;
    await this.viewport.setImageIdIndex(index);
    const facts = factsOf(this.viewport.getCurrentImageId());
    if (window && facts) {
      const stored = (value: number): number => (value - facts.intercept) / facts.slope;
      const lower = stored(window.centre - window.width / 2);
      const upper = stored(window.centre + window.width / 2);
      this.viewport.setProperties({ voiRange: { lower, upper } });
    }
    this.viewport.render();
  }

  onRendered(listener: () => void): void {
    this.element.addEventListener(Enums.Events.IMAGE_RENDERED, listener);
  }

  /**
   * Follow the size of the element: a whole image stays whole, an enlarged one as much enlarged.
   *
   * Cornerstone keeps millimetres to the pixel instead, and resizes all viewports in one go.
   */
  static fit(): void {
    const views = [...shown].map((picture) => ({ picture, view: picture.view }));
    theEngine().resize(true, true);
    for (const { picture, view } of views) picture.look(view);
  }

  /** How much of the image is seen; undefined while that is all of it. */
  private get view(): View | undefined {
    const moved = Math.hypot(...this.viewport.getPan());
    if (Math.abs(this.zoom - 1) < 0.01 && moved < 1) return undefined;
    return { zoom: this.zoom, centre: this.viewport.getCamera().focalPoint };
  }

  private look(view: View | undefined): void {
    this.viewport.resetCamera();
    if (view) {
      const now = this.viewport.getCamera().focalPoint;
      this.viewport.setZoom(view.zoom);
      if (view.centre && now) this.moveWorld(view.centre, now);
    }
    this.viewport.render();
  }

  close(): void {
    shown.delete(this);
    ToolGroupManager.destroyToolGroup(this.id);
    theEngine().disableElement(this.id);
  }

  reset(): void {
    const facts = factsOf(this.viewport.getCurrentImageId());
    this.viewport.resetCamera();
    if (facts) {
      const [lower, upper] = facts.window;
      this.viewport.setProperties({ voiRange: { lower, upper }, invert: false });
    }
    this.viewport.render();
  }

  /** Bind the first button and one finger; null leaves the finger to the page. */
  bind(mouse: Drag, finger: Drag | null): void {
    const group = ToolGroupManager.getToolGroup(this.id);
    if (!group) return;
    const bindings = (drag: Drag): ToolBinding[] => [
      ...(mouse === drag ? [{ mouseButton: MouseBindings.Primary }] : []),
      ...(finger === drag ? [{ numTouchPoints: 1 }] : []),
    ];
    const zoom = [{ mouseButton: MouseBindings.Secondary }, { numTouchPoints: 2 }];
    const middle = [{ mouseButton: MouseBindings.Auxiliary }];
    const wanted: [string, ToolBinding[]][] = [
      [TOOLS.window, bindings("window")],
      [TOOLS.pan, [...bindings("pan"), ...middle]],
      [ZoomTool.toolName, zoom],
    ];
    for (const [tool] of wanted) group.setToolPassive(tool, { removeAllBindings: true });
    for (const [tool, list] of wanted) {
      if (list.length > 0) group.setToolActive(tool, { bindings: list });
    }
    this.element.style.touchAction = finger === null ? "pan-y" : "none";
  }

  get zoom(): number {
    return this.viewport.getZoom();
  }

  /** Zoom by a factor; the point (CSS pixels of the element) stays where it is. */
  zoomBy(factor: number, at?: Point): void {
    const zoom = Math.min(Math.max(this.zoom * factor, SMALLEST_ZOOM), LARGEST_ZOOM);
    const before = at && this.viewport.canvasToWorld(at);
    this.viewport.setZoom(zoom);
    if (at && before) this.moveWorld(before, this.viewport.canvasToWorld(at));
    this.viewport.render();
  }

  /** Move the image by CSS pixels. */
  panBy(right: number, down: number): void {
    const from = this.viewport.canvasToWorld([right, down]);
    this.moveWorld(this.viewport.canvasToWorld([0, 0]), from);
    this.viewport.render();
  }

  private moveWorld(from: Types.Point3, to: Types.Point3): void {
    const { focalPoint, position } = this.viewport.getCamera();
    if (!focalPoint || !position) return;
    const moved = (point: Types.Point3): Types.Point3 => [
      point[0] + from[0] - to[0],
      point[1] + from[1] - to[1],
      point[2] + from[2] - to[2],
    ];
    this.viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
  }

  get isInverted(): boolean {
    return this.viewport.getProperties().invert ?? false;
  }

  invert(): void {
    this.viewport.setProperties({ invert: !this.isInverted });
    this.viewport.render();
  }

  /** Move the window by a share of its width, or change the width by a factor. */
  window(shift: number, factor = 1): void {
    const { voiRange } = this.viewport.getProperties();
    if (!voiRange) return;
    const width = voiRange.upper - voiRange.lower;
    const middle = (voiRange.upper + voiRange.lower) / 2 + shift * width;
    const half = Math.max((width * factor) / 2, 0.5);
    this.viewport.setProperties({ voiRange: { lower: middle - half, upper: middle + half } });
    this.viewport.render();
  }

  /** The window in modality values. */
  get shownWindow(): { width: number; centre: number } | undefined {
    const facts = factsOf(this.viewport.getCurrentImageId());
    const { voiRange } = this.viewport.getProperties();
    if (!facts || !voiRange) return undefined;
    return {
      width: facts.slope * (voiRange.upper - voiRange.lower),
      centre: (facts.slope * (voiRange.upper + voiRange.lower)) / 2 + facts.intercept,
    };
  }

  /** What lies towards its edges, where it states that. */
  get edges(): Edges | null | undefined {
    return factsOf(this.viewport.getCurrentImageId())?.edges;
  }

  /** Where the whole image lies: left, top, width, height in CSS pixels of the element. */
  get box(): { left: number; top: number; width: number; height: number } | undefined {
    const image = this.viewport.getImageData();
    if (!image) return undefined;
    const [columns, rows] = image.dimensions;
    const [across, down] = image.spacing;
    const corner = (x: number, y: number): Types.Point2 =>
      this.viewport.worldToCanvas([x * across, y * down, 0]);
    const [left, top] = corner(-0.5, -0.5);
    const [right, bottom] = corner(columns - 0.5, rows - 0.5);
    return { left, top, width: right - left, height: bottom - top };
  }
}

interface View {
  zoom: number;
  centre: Types.Point3 | undefined;
}

interface ToolBinding {
  mouseButton?: ToolEnums.MouseBindings;
  numTouchPoints?: number;
}
