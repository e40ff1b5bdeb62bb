// @ts-check
import { readNpz } from "./npz.js";

/**
 * @typedef {import("../../draw/page/engine.js").Look} Look
 * @typedef {import("../../draw/page/engine.js").Description} Description
 */

const SHOWN = 6;

/** Drawings that the network was trained on, and its features of them, as deepdraw/export/page_data.py has packed them. */
export class Looks {
  /**
   * @param {ArrayBuffer} file
   * @param {string[]} names  of the classes
   */
  constructor(file, names) {
    const columns = readNpz(file);
    const numbers = (/** @type {string} */ name) => Array.from(columns.get(name)?.data ?? [], Number);
    const lines = cut(cut(numbers("points"), 2), numbers("stroke_lengths"));
    const drawings = cut(lines, numbers("stroke_counts"));
    this.features = cut(numbers("features"), columns.get("features")?.shape[1] ?? 1).map(unit);
    /** @type {Look[]} */
    this.looks = numbers("labels").map((label, index) => ({
      name: names[label],
      strokes: drawings[index].map((line) => [line.map(([x]) => x), line.map(([, y]) => y)]),
    }));
  }

  /**
   * Those whose features have the greatest cosine with these, the nearest first.
   * @param {Float32Array} features  of a drawing
   */
  nearest(features) {
    const cosines = this.features.map((row) => row.reduce((sum, value, index) => sum + value * features[index], 0));
    const order = cosines.map((_, index) => index).sort((a, b) => cosines[b] - cosines[a] || a - b);
    return order.slice(0, SHOWN).map((index) => this.looks[index]);
  }
}

/** @param {number[]} row */
function unit(row) {
  const length = Math.hypot(...row) || 1;
  return row.map((value) => value / length);
}

/**
 * Cuts a list into parts of the same length, or of these lengths.
 * @template T
 * @param {T[]} list
 * @param {number | number[]} lengths
 */
function cut(list, lengths) {
  const all = typeof lengths === "number" ? Array(list.length / lengths).fill(lengths) : lengths;
  let at = 0;
  return all.map((length) => list.slice(at, (at += length)));
}
