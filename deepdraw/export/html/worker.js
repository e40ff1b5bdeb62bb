// @ts-check
/**
 * The worker of a single file: runs the network by ONNX Runtime Web, on one thread in WebAssembly.
 *
 * @typedef {import("../../draw/page/engine.js").Description} Description
 * @typedef {import("../../draw/page/engine.js").Drawing} Drawing
 * @typedef {import("../../draw/page/engine.js").Guess} Guess
 * @typedef {import("./simplify.js").Line} Line
 * @typedef {Record<string, {data: any, dims: readonly number[]}>} Arrays
 */
import { simplify } from "./simplify.js";

const TOP = 10; // names of a guess

/**
 * Loads the network and answers messages: {id, drawing} with a guess, {id, lines} with all
 * probabilities.
 * @param {{library: ArrayBuffer, wasm: ArrayBuffer, network: ArrayBuffer, description: Description}} given
 */
export async function start({ library, wasm, network, description }) {
  const ort = await import(URL.createObjectURL(new Blob([library], { type: "text/javascript" })));
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: 1, proxy: false });
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(new Uint8Array(network), { executionProviders: ["wasm"] });
  /** @type {(lines: Line[]) => Promise<Arrays>} */
  const run = (lines) => session.run(inputs(ort, lines));
  await run([[[0, 255], [0, 255]]]); // the first time takes longer
  let last = Promise.resolve();
  onmessage = ({ data }) => {
    last = last.then(() => reply(run, description.names, data));
  };
  postMessage({ id: 0 });
}

/**
 * @param {(lines: Line[]) => Promise<Arrays>} run
 * @param {string[]} names
 * @param {{id: number, drawing?: Drawing, lines?: Line[]}} question
 */
async function reply(run, names, { id, drawing, lines }) {
  try {
    const found = await run(drawing ? simplify(drawing) : lines ?? []);
    postMessage({ id, answer: drawing ? await guess(found, names) : Array.from(found.probabilities.data) });
  } catch (error) {
    postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * @param {Arrays} found
 * @param {string[]} names
 * @returns {Promise<Guess>}
 */
async function guess({ probabilities, seen_images, seen_points }, names) {
  /** @type {number[]} */
  const all = Array.from(probabilities.data);
  const order = all.map((_, index) => index).sort((a, b) => all[b] - all[a] || a - b).slice(0, TOP);
  return {
    names: order.map((index) => names[index]),
    probabilities: order.map((index) => all[index]),
    seen: {
      picture: seen_images ? await picture(seen_images) : null,
      points: seen_points ? present(seen_points) : null,
    },
  };
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
