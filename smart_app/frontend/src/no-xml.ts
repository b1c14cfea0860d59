/** Stands in for vtk.js's XML builder: the viewer neither reads nor writes XML. */
export function create(): never {
  throw new Error("the viewer has no XML");
}
