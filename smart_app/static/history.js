// An earlier image that cannot be shown says so, and nothing is drawn where it is not.
"use strict";

// Error events of images do not bubble: they are caught on the way down.
document.addEventListener("error", (event) => lose(event.target), true);

function lose(image) {
  if (image instanceof HTMLImageElement && image.matches(".shot")) {
    image.closest(".film").dataset.lost = "";
  }
}

for (const image of document.querySelectorAll(".shot")) {
  if (image.complete && !image.naturalWidth) lose(image);
}
