/**
 * The wheel and the swipe, which must leave the page its scrolling.
 *
 * Cornerstone's own listeners take every wheel turn and every key for themselves, so they are
 * stopped on the way down. Dragging and pinching are theirs.
 */

import type { Picture } from "./picture";

const SWIPE = 48; // CSS pixels
const NOTCH = 60; // of wheel travel for one image
const WHEEL_ZOOM = 0.0025; // of the logarithm of the zoom, for a pixel of wheel travel

interface Pager {
  turn: (by: 1 | -1) => void;
  mayTurn: () => boolean;
  isFingerFree: () => boolean;
}

export function onGestures(picture: Picture, pager: Pager): void {
  let travel = 0;
  picture.element.addEventListener(
    "wheel",
    (event) => {
      event.stopImmediatePropagation();
      if (event.ctrlKey) {
        event.preventDefault();
        const frame = picture.element.getBoundingClientRect();
        const at: [number, number] = [event.clientX - frame.left, event.clientY - frame.top];
        picture.zoomBy(Math.exp(-event.deltaY * WHEEL_ZOOM), at);
      } else if (pager.mayTurn()) {
        event.preventDefault();
        travel += event.deltaY;
        if (Math.abs(travel) < NOTCH) return;
        pager.turn(travel > 0 ? 1 : -1);
        travel = 0;
      }
    },
    { capture: true, passive: false },
  );
  onSwipe(picture.element, pager);
}

function onSwipe(element: HTMLElement, pager: Pager): void {
  let start: Touch | undefined;
  element.addEventListener("touchstart", (event) => {
    start = event.touches.length === 1 ? event.touches[0] : undefined;
  });
  element.addEventListener("touchend", (event) => {
    const end = event.changedTouches[0];
    if (!start || !end || !pager.isFingerFree() || !pager.mayTurn()) return;
    const [across, down] = [end.clientX - start.clientX, end.clientY - start.clientY];
    start = undefined;
    if (Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down)) {
      pager.turn(across < 0 ? 1 : -1);
    }
  });
}
