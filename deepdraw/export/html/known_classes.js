// @ts-check
/**
 * What the classes trained on lend to new ones of a few drawings each, so that all are compared at once: as
 * deepdraw/fewshot/known.py and whitening.py have it. A test holds it to them.
 *
 * @typedef {import("./npz.js").Column} Column
 * @typedef {ArrayLike<number>} Row
 * @typedef {{mean: number[], count: number}} Prototype  the mean of so many drawings after whitening
 */

/** The classes trained on as prototypes after whitening, and how far new classes are to be raised among them. */
export class KnownClasses {
  /** @param {Map<string, Column>} columns  see `KnownClasses` and `Whitening` in Python */
  constructor(columns) {
    const rows = (/** @type {string} */ name) => split(/** @type {Column} */ (columns.get(name)));
    const numbers = (/** @type {string} */ name) => Array.from(/** @type {Column} */ (columns.get(name)).data, Number);
    this.mean = numbers("mean");
    this.matrix = rows("matrix");
    this.axes = rows("axes");
    this.between = numbers("between");
    this.means = rows("means");
    this.counts = numbers("counts");
    this.offsets = numbers("offsets");
    this.temperature = numbers("temperature")[0];
  }

  /**
   * The logits of the classes trained on, and after them of new ones.
   * @param {Row} features  of one drawing, as the network gives them
   * @param {Prototype[]} taught  those of the new classes
   */
  logits(features, taught) {
    const query = this.whitened(features);
    const seen = this.means.map((mean, index) => this.logLikelihood(query, mean, this.counts[index]));
    const unseen = taught.map(({ mean, count }) => {
      return this.logLikelihood(query, mean, count) + this.offsets[Math.min(count, this.offsets.length) - 1];
    });
    return [...seen, ...unseen].map((score) => score / this.temperature);
  }

  /**
   * What stands for a new class.
   * @param {Row[]} drawings  the features of each of its drawings, one or more
   * @returns {Prototype}
   */
  prototype(drawings) {
    return { mean: averaged(drawings.map((each) => this.whitened(each))), count: drawings.length };
  }

  /** @private @param {Row} features */
  whitened(features) {
    const roots = normalized(Array.from(features, (value) => Math.sign(value) * Math.sqrt(Math.abs(value))));
    const centered = roots.map((value, index) => value - this.mean[index]);
    return product(normalized(product(centered, this.matrix)), this.axes);
  }

  /**
   * Of a drawing under a class of so many drawings with this mean, up to what all classes share.
   * @private
   * @param {Row} query
   * @param {Row} mean
   * @param {number} count
   */
  logLikelihood(query, mean, count) {
    return this.between.reduce((sum, between, index) => {
      const shrunk = (between / (between + 1 / count)) * mean[index];
      const variance = 1 + between / (1 + count * between);
      return sum - 0.5 * ((query[index] - shrunk) ** 2 / variance + Math.log(variance));
    }, 0);
  }
}

/**
 * Probabilities of logits.
 * @param {number[]} logits
 */
export function softmax(logits) {
  const highest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - highest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * A row times a matrix.
 * @param {number[]} row
 * @param {Row[]} matrix
 */
function product(row, matrix) {
  const sums = new Float64Array(matrix[0].length);
  row.forEach((value, index) => {
    const other = matrix[index];
    for (let i = 0; i < sums.length; i++) sums[i] += value * other[i];
  });
  return Array.from(sums);
}

/** @param {number[]} row */
function normalized(row) {
  const length = Math.max(Math.hypot(...row), 1e-12);
  return row.map((value) => value / length);
}

/** @param {number[][]} rows */
function averaged(rows) {
  return rows[0].map((_, index) => rows.reduce((sum, row) => sum + row[index], 0) / rows.length);
}

/**
 * The rows of a matrix.
 * @param {Column} column
 */
function split({ shape, data }) {
  const numbers = /** @type {Float32Array} */ (data);
  return Array.from({ length: shape[0] }, (_, row) => numbers.subarray(row * shape[1], (row + 1) * shape[1]));
}
