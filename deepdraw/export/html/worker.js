// @ts-check
/**
 * The worker of a single file: runs the network by ONNX Runtime Web, on one thread in WebAssembly.
 *
 * @typedef {import("../../draw/page/engine.js").Description} Description
 * @typedef {import("../../draw/page/engine.js").Drawing} Drawing
 * @typedef {import("../../draw/page/engine.js").Guess} Guess
 * @typedef {import("./simplify.js").Line} Line
 * @typedef {Record<string, {data: any, dims: readonly number[]}>} Arrays
 *
 * What the page asks: a guess of a drawing; all probabilities of one that is simplified already; the drawings that look
 * most alike to one; what is taught to be changed, which answers with a `Change`.
 * @typedef {{teach: string, drawings: Drawing[]} | {forget: string} | {load: Blob}} Lesson
 * @typedef {{drawing: Drawing} | {lines: Line[]} | {alike: Drawing} | Lesson} Question
 * @typedef {{description: Description, file: Blob}} Change  file: what is to be saved as taught.npz
 */
import { Looks } from "./looks.js";
import { simplify } from "./simplify.js";
import { Taught } from "./taught.js";

const TOP = 10; // names of a guess

/**
 * Loads the network and answers messages, {id} and a `Question` each.
 * @param {{library: ArrayBuffer, wasm: ArrayBuffer, network: ArrayBuffer, taught?: ArrayBuffer, looks?: ArrayBuffer, description: Description}} given
 */
export async function start({ library, wasm, network, taught, looks, description }) {
  const ort = await import(URL.createObjectURL(new Blob([library], { type: "text/javascript" })));
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: 1, proxy: false });
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(new Uint8Array(network), { executionProviders: ["wasm"] });
  /** @type {(lines: Line[]) => Promise<Arrays>} */
  const run = (lines) => session.run(inputs(ort, lines));
  await run([[[0, 255], [0, 255]]]); // the first time takes longer
  const { names } = description;
  const recognizer = new Recognizer(run, description, taught && new Taught(taught, names), looks && new Looks(looks, names));
  let last = Promise.resolve();
  onmessage = ({ data }) => {
    last = last.then(() => reply(recognizer, data));
  };
  postMessage({ id: 0 });
}

/**
 * @param {Recognizer} recognizer
 * @param {{id: number} & Question} question
 */
async function reply(recognizer, { id, ...question }) {
  try {
    postMessage({ id, answer: await recognizer.answer(/** @type {Question} */ (question)) });
  } catch (error) {
    postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
}

/** The network, and what was taught to it. */
class Recognizer {
  /**
   * @param {(lines: Line[]) => Promise<Arrays>} run
   * @param {Description} description
   * @param {Taught} [taught]  absent where no class can be taught
   * @param {Looks} [looks]  absent where no drawing of the training is shown
   */
  constructor(run, description, taught, looks) {
    this.run = run;
    this.description = description;
    this.taught = taught;
    this.looks = looks;
  }

  /** @param {Question} question */
  async answer(question) {
    if ("drawing" in question) return this.guess(await this.run(simplify(question.drawing)));
    if ("lines" in question) return this.probabilities(await this.run(question.lines));
    if ("alike" in question) return this.looks?.nearest((await this.run(simplify(question.alike))).features.data);
    return this.change(question);
  }

  /**
   * @private
   * @param {Arrays} found
   * @returns {Promise<Guess>}
   */
  async guess(found) {
    const all = this.probabilities(found);
    const names = [...this.description.names, ...(this.taught?.names ?? [])];
    const order = all.map((_, index) => index).sort((a, b) => all[b] - all[a] || a - b).slice(0, TOP);
    return {
      names: order.map((index) => names[index]),
      probabilities: order.map((index) => all[index]),
      seen: {
        picture: found.seen_images ? await picture(found.seen_images) : null,
        points: found.seen_points ? present(found.seen_points) : null,
      },
    };
  }

  /**
   * Those of the trained head, until something is taught.
   * @private
   * @param {Arrays} found
   * @returns {number[]}
   */
  probabilities({ probabilities, features }) {
    return this.taught?.names.length ? this.taught.probabilities(features.data) : Array.from(probabilities.data);
  }

  /**
   * @private
   * @param {Lesson} question
   * @returns {Promise<Change>}
   */
  async change(question) {
    const taught = /** @type {Taught} */ (this.taught);
    if ("teach" in question) {
      const features = [];
      for (const drawing of question.drawings) features.push((await this.run(simplify(drawing))).features.data);
      taught.teach(question.teach, features);
    } else if ("forget" in question) taught.forget(question.forget);
    else await taught.load(question.load);
    const names = [...this.description.names, ...taught.names];
    return { description: { ...this.description, names, taught: taught.describe() }, file: taught.file() };
  }
}

/**
 * The picture of an image [1, size, size] or [1, 3, size, size] of bytes.
 * @param {Arrays[string]} image
 */
function picture({ data, dims }) {
  const size = dims[dims.length - 1];
  const area = size * size;
  const apart = dims.length === 4 ? area : 0; // between the channels of a pixel
  const colors = new Uint8ClampedArray(4 * area).fill(255);
  for (let i = 0; i < area; i++) for (let k = 0; k < 3; k++) colors[4 * i + k] = data[i + k * apart];
  return createImageBitmap(new ImageData(colors, size, size));
}

/**
 * x, y and whether a stroke starts, of every point that is no padding, of points [1, K, 8].
 * @param {Arrays[string]} points
 * @returns {[x: number, y: number, starts: number][]}
 */
function present({ data, dims }) {
  const width = dims[2];
  return Array.from({ length: dims[1] }, (_, row) => data.subarray(row * width, (row + 1) * width))
    .filter((row) => row[5])
    .map(([x, y, starts]) => [x, y, starts]);
}

/**
 * What the network takes of a drawing: points [1, P, 2] in 0..255, and the number of the stroke of each, [1, P].
 * @param {any} ort
 * @param {Line[]} lines
 */
function inputs(ort, lines) {
  const points = lines.flatMap(([xs, ys]) => xs.map((x, index) => [x, ys[index]]));
  const strokes = lines.flatMap(([xs], number) => xs.map(() => number));
  return {
    points: new ort.Tensor("float32", points.flat(), [1, points.length, 2]),
    strokes: new ort.Tensor("int32", strokes, [1, points.length]),
  };
}
