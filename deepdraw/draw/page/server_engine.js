// @ts-check
/**
 * @typedef {import("./engine.js").Description} Description
 * @typedef {import("./engine.js").Drawing} Drawing
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./engine.js").Guess} Guess
 */

/**
 * Asks `python -m deepdraw.draw`, which serves this page.
 * @implements {Engine}
 */
export class ServerEngine {
  /**
   * @param {number} number  of the network
   * @param {Description} description
   */
  constructor(number, description) {
    this.number = number;
    this.description = description;
    /** @type {Engine["collect"]} */
    this.collect = description.collects
      ? async (name, drawing) => (await ask("collect", { name, drawing })).kept
      : undefined;
  }

  async describe() {
    return this.description;
  }

  /**
   * @param {string} name
   * @param {Drawing[]} drawings
   */
  async teach(name, drawings) {
    await ask(`networks/${this.number}/teach`, { name, drawings });
    this.description = (await ask("networks"))[this.number];
  }

  /** @param {string} name */
  async forget(name) {
    await ask(`networks/${this.number}/forget`, { name });
    this.description = (await ask("networks"))[this.number];
  }

  taughtFile() {
    return `networks/${this.number}/taught.npz`;
  }

  /**
   * @param {Drawing} drawing
   * @returns {Promise<import("./engine.js").Look[]>}
   */
  async alike(drawing) {
    return (await ask(`networks/${this.number}/alike`, { drawing })).drawings;
  }

  /**
   * @param {Drawing} drawing
   * @returns {Promise<Guess>}
   */
  async guess(drawing) {
    const { names, probabilities, seen } = await ask(`networks/${this.number}/guess`, { drawing });
    const picture = seen.picture === null ? null : await decoded(seen.picture);
    return { names, probabilities, seen: { picture, points: seen.points } };
  }
}

/** The engines of all networks that the server has. */
export async function serverEngines() {
  /** @type {Description[]} */
  const descriptions = await ask("networks");
  return descriptions.map((description, number) => new ServerEngine(number, description));
}

/**
 * The answer of the server: GET, or POST where there is something to send.
 * @param {string} path
 * @param {unknown} [content]
 */
async function ask(path, content) {
  const headers = { "Content-Type": "application/json" };
  const options = content === undefined ? {} : { method: "POST", headers, body: JSON.stringify(content) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: start python -m deepdraw.draw again.");
  }
  const answer = await response.json().catch(() => ({ error: `The server failed (${response.status}).` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/**
 * The picture of a PNG in base64.
 * @param {string} png
 */
function decoded(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}
