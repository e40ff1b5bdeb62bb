// @ts-check
/**
 * @typedef {import("../../draw/page/engine.js").Description} Description
 * @typedef {import("../../draw/page/engine.js").Drawing} Drawing
 * @typedef {import("../../draw/page/engine.js").Engine} Engine
 * @typedef {import("../../draw/page/engine.js").Guess} Guess
 * @typedef {import("./simplify.js").Line} Line
 * @typedef {import("./worker.js").Question} Question
 */

/**
 * Asks the worker of this file, which runs the network.
 * @implements {Engine}
 */
export class WorkerEngine {
  /**
   * @param {Worker} worker
   * @param {Description} description
   */
  constructor(worker, description) {
    this.worker = worker;
    this.description = description;
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    this.asked = 0;
    /** Resolves when the worker has the network. @type {Promise<void>} */
    this.ready = this.answer(0);
    if (description.findsAlike) {
      /** @type {Engine["alike"]} */
      this.alike = (drawing) => this.ask({ alike: drawing });
    }
    this.file = ""; // the address of what was taught
    if (description.taught) {
      /** @type {Engine["teach"]} */
      this.teach = (name, drawings) => this.change({ teach: name, drawings });
      /** @type {Engine["forget"]} */
      this.forget = (name) => this.change({ forget: name });
      /** @type {Engine["loadTaught"]} */
      this.loadTaught = (file) => this.change({ load: file });
      /** @type {Engine["taughtFile"]} */
      this.taughtFile = () => this.file;
    }
    worker.onmessage = ({ data }) => this.answered(data);
    worker.onerror = () => this.answered({ id: 0, error: "The network of this file could not be started." });
  }

  async describe() {
    return this.description;
  }

  /**
   * @param {Drawing} drawing
   * @returns {Promise<Guess>}
   */
  guess(drawing) {
    return this.ask({ drawing });
  }

  /**
   * The probabilities of all classes, for each of drawings that are simplified already.
   * @param {Line[][]} drawings
   * @returns {Promise<number[][]>}
   */
  allProbabilities(drawings) {
    return Promise.all(drawings.map((lines) => this.ask({ lines })));
  }

  /** @private @param {Question} question */
  async change(question) {
    const { description, file } = await this.ask(question);
    URL.revokeObjectURL(this.file);
    this.file = URL.createObjectURL(file); // not in the worker, whose addresses are not for a page from disk
    this.description = description;
  }

  /** @private @param {Question} question */
  ask(question) {
    this.asked += 1;
    this.worker.postMessage({ id: this.asked, ...question });
    return this.answer(this.asked);
  }

  /** @private @param {number} id @returns {Promise<any>} */
  answer(id) {
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  /** @private @param {{id: number, answer?: unknown, error?: string}} message */
  answered({ id, answer, error }) {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(error));
  }
}
