// @ts-check
import { KnownClasses, softmax } from "./known_classes.js";
import { readNpz, textColumn, texts, writeNpz } from "./npz.js";

/** @typedef {import("./npz.js").Column} Column */

const LONGEST_NAME = 100; // characters
const MOST_NAMES = 1000;
const MOST_BYTES = 256e6; // of a file

/** New names beside the classes of a network, and the file that keeps them: as deepdraw/inference/taught.py has them. */
export class Taught {
  /**
   * @param {ArrayBuffer} file  of no name, with what the classes trained on lend to new ones
   * @param {string[]} classes  those that were trained on
   */
  constructor(file, classes) {
    this.columns = readNpz(file);
    this.classes = classes;
    this.known = new KnownClasses(this.columns);
    /** The features of the drawings of each name. @type {Map<string, Float32Array[]>} */
    this.features = new Map();
    /** What stands for each name, computed once. @type {Map<string, import("./known_classes.js").Prototype>} */
    this.prototypes = new Map();
  }

  get names() {
    return [...this.features.keys()];
  }

  /** Names and numbers of drawings, as `Description` has them. */
  describe() {
    return Array.from(this.features, ([name, { length }]) => ({ name, drawings: length }));
  }

  /**
   * The probabilities of the classes trained on, and after them of the names.
   * @param {Float32Array} features  of one drawing
   */
  probabilities(features) {
    return softmax(this.known.logits(features, this.names.map((name) => this.prototype(name))));
  }

  /** @private @param {string} name */
  prototype(name) {
    const known = this.prototypes.get(name) ?? this.known.prototype(this.features.get(name) ?? []);
    this.prototypes.set(name, known);
    return known;
  }

  /**
   * Adds a name, or replaces it.
   * @param {string} name
   * @param {Float32Array[]} features  of its drawings
   */
  teach(name, features) {
    if (!features.length) throw new Error(`Draw ${name} first, then teach it.`);
    const others = this.names.filter((other) => other !== name);
    checkName(name, [...this.classes, ...others]);
    if (others.length >= MOST_NAMES) throw new Error(`No more than ${MOST_NAMES} classes can be taught.`);
    this.features.delete(name);
    this.features.set(name, features);
    this.prototypes.delete(name);
  }

  /** @param {string} name */
  forget(name) {
    if (!this.features.delete(name)) throw new Error(`${name} was not taught.`);
  }

  /** The file taught.npz, which deepdraw reads as classes=taught.npz. */
  file() {
    const rows = [...this.features.values()].flat();
    const data = Float32Array.from(rows.flatMap((row) => Array.from(row)));
    const labels = [...this.features.values()].flatMap((drawings, index) => drawings.map(() => index));
    const columns = new Map(this.columns);
    columns.set("names", textColumn(this.names));
    columns.set("features", { descr: "<f4", shape: [rows.length, this.known.mean.length], data });
    columns.set("labels", { descr: "<u2", shape: [rows.length], data: Uint16Array.from(labels) });
    return new Blob(writeNpz(columns), { type: "application/octet-stream" });
  }

  /**
   * Takes the names of a file taught.npz in the place of those that are there. Throws an Error, and changes nothing,
   * where it is no such file, or that of another network.
   * @param {Blob} file
   */
  async load(file) {
    if (file.size > MOST_BYTES) throw new Error("This file is too large to be one of taught classes.");
    const found = readNpz(await file.arrayBuffer());
    const [checkpoint, names, features, labels] = ["checkpoint", "names", "features", "labels"].map((name) => found.get(name));
    if (!checkpoint?.descr.startsWith("<U") || !names?.descr.startsWith("<U") || features?.descr !== "<f4" || labels?.descr !== "<u2") {
      throw new Error("This is no file of taught classes.");
    }
    if (texts(checkpoint)[0] !== texts(/** @type {Column} */ (this.columns.get("checkpoint")))[0]) {
      throw new Error("This file was taught to another network.");
    }
    const loaded = byName(texts(names), features, labels, this.known.mean.length);
    [...loaded.keys()].forEach((name, index, all) => checkName(name, [...this.classes, ...all.slice(0, index)]));
    this.features = loaded;
    this.prototypes.clear();
  }
}

/**
 * The features of the drawings of each name.
 * @param {string[]} names
 * @param {Column} features
 * @param {Column} labels
 * @param {number} width
 */
function byName(names, { shape, data }, labels, width) {
  const numbers = /** @type {Float32Array} */ (data);
  const of = Array.from(labels.data, Number);
  const rows = of.map((_, row) => numbers.slice(row * width, (row + 1) * width));
  const isRight =
    shape.length === 2 && shape[1] === width && shape[0] === of.length && numbers.every(Number.isFinite) &&
    names.length <= MOST_NAMES && new Set(names).size === names.length && of.every((label) => label < names.length) &&
    names.every((_, index) => of.includes(index));
  if (!isRight) throw new Error("This is no file of taught classes: its drawings are not of its names.");
  return new Map(names.map((name, index) => [name, rows.filter((_, row) => of[row] === index)]));
}

/**
 * Throws an Error where a name can be no name, or is one of those that are taken.
 * @param {string} name
 * @param {string[]} taken
 */
export function checkName(name, taken) {
  const isPrintable = /^(?: |[^\p{C}\p{Z}])+$/u.test(name);
  if (!isPrintable || name !== name.normalize().trim() || [...name].length > LONGEST_NAME) {
    throw new Error(`A name has 1 to ${LONGEST_NAME} characters that can be printed.`);
  }
  const other = taken.find((each) => folded(each) === folded(name));
  if (other !== undefined) throw new Error(`There is a class ${other} already: choose another name.`);
}

/**
 * A name in the form in which it is compared: without case, spaces and dashes.
 * @param {string} name
 */
export function folded(name) {
  const text = Array.from(name.normalize("NFKC"), (one) => one.toUpperCase().toLowerCase()).join("").normalize("NFKC");
  return text.replace(/[\p{Pd}\p{Pc}\p{Z}\p{Cc}\p{Cf}]/gu, "").normalize("NFKC") || text;
}
