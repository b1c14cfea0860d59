/** Where somebody is in a study: a series and an image in it. Steps end at the ends. */
export class Position {
  series = 0;
  index = 0;

  /** `start` counts through all series. */
  constructor(
    private readonly lengths: readonly number[],
    start: number,
  ) {
    let left = start;
    while (left >= this.length && this.series < lengths.length - 1) {
      left -= this.length;
      this.series += 1;
    }
    this.index = Math.min(left, this.length - 1);
  }

  /** Of the current series. */
  get length(): number {
    return this.lengths[this.series] ?? 0;
  }

  /** Of the image among all images of the study. */
  get number(): number {
    return this.lengths.slice(0, this.series).reduce((sum, length) => sum + length, this.index);
  }

  get count(): number {
    return this.lengths.reduce((sum, length) => sum + length, 0);
  }

  /** Go to a neighbour, over the border of a series; tell whether there was one. */
  stepImage(by: 1 | -1): boolean {
    const next = this.index + by;
    if (next >= 0 && next < this.length) {
      this.index = next;
      return true;
    }
    if (!this.stepSeries(by)) return false;
    this.index = by > 0 ? 0 : this.length - 1;
    return true;
  }

  /** Go to the first image of the next or previous series; tell whether there was one. */
  stepSeries(by: 1 | -1): boolean {
    const next = this.series + by;
    if (next < 0 || next >= this.lengths.length) return false;
    this.series = next;
    this.index = 0;
    return true;
  }
}
