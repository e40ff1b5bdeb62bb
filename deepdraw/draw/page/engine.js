// @ts-check
/**
 * The interface between the page and whatever recognizes drawings.
 *
 * The page draws, shows and plays; an Engine guesses. On the server the engine is `ServerEngine` of server_engine.js,
 * which asks by fetch. In a single file it is a worker that runs the network itself. The page gets one engine, or two to
 * compare: `start(engines)` of page.js.
 */

/**
 * A stroke: x and y of its points, y downwards, and when each was drawn. The canvas is 1000 wide and high. Times are
 * milliseconds since the first point of the drawing. This is the raw form of Quick, Draw!, so an engine simplifies a
 * drawing as `deepdraw.drawings.simplify` does, before its network sees it; `predict` does the same to these strokes.
 * @typedef {[x: number[], y: number[], t: number[]]} Stroke
 */

/**
 * A drawing, which may be half done. An engine is never given one without a stroke.
 * @typedef {Stroke[]} Drawing
 */

/**
 * What a network is.
 * @typedef {object} Description
 * @property {string} title  name of its encoder
 * @property {string} source  where it comes from: the path of the checkpoint, or a word for it
 * @property {string[]} names  all classes
 * @property {("pixels" | "strokes")[]} sees
 * @property {number | null} imageSize  pixels on a side of what it sees; null where it sees no pixels
 * @property {{name: string, drawings: number}[]} [taught]  those of the names that were taught, and by how many drawings;
 *     absent where none can be taught
 * @property {boolean} [readsNames]  whether a name alone can be taught, because the network has a text tower
 * @property {boolean} [findsAlike]  whether a single file has drawings that it was trained on
 * @property {boolean} [collects]  whether drawings can be kept with their names
 */

/**
 * What the network saw of the drawing.
 * @typedef {object} Seen
 * @property {ImageBitmap | null} picture  null where it sees no pixels
 * @property {[x: number, y: number, starts: number][] | null} points  x and y in -1..1, and 1 where a stroke starts;
 *     null where it sees no strokes
 */

/**
 * The likeliest classes, the likeliest first, at most ten. Probabilities are calibrated where the checkpoint is.
 * @typedef {object} Guess
 * @property {string[]} names
 * @property {number[]} probabilities
 * @property {Seen} seen
 */

/**
 * A drawing that the network was trained on.
 * @typedef {object} Look
 * @property {string} name
 * @property {[x: number[], y: number[]][]} strokes  in 0..255
 */

/**
 * Whatever recognizes drawings. A method rejects with an Error whose message is one sentence for the user. Methods that
 * are absent are not offered on the page.
 * @typedef {object} Engine
 * @property {() => Promise<Description>} describe  asked once at the start, and again after `teach`
 * @property {(drawing: Drawing) => Promise<Guess>} guess  one at a time
 * @property {(name: string, drawings: Drawing[]) => Promise<void>} [teach]  adds a class, or replaces one of that name;
 *     without drawings by its name alone
 * @property {(name: string) => Promise<void>} [forget]  removes a class that was taught
 * @property {() => string} [taughtFile]  the address of a file of what was taught, to be saved
 * @property {(file: File) => Promise<void>} [loadTaught]  takes what such a file has in the place of what was taught
 * @property {(drawing: Drawing) => Promise<Look[]>} [alike]  the drawings it was trained on that look most alike to it
 * @property {(name: string, drawing: Drawing) => Promise<number>} [collect]  keeps a drawing, and says how many it kept
 */

/** Asks an engine for guesses while one draws: one at a time, and of what waits only the latest. */
export class Asker {
  /**
   * @param {Engine} engine
   * @param {(guess: Guess) => void} answered
   * @param {(reason: string) => void} failed
   */
  constructor(engine, answered, failed) {
    this.engine = engine;
    this.answered = answered;
    this.failed = failed;
    /** @type {Drawing | null} */
    this.next = null;
    this.isAsking = false;
    this.generation = 0;
  }

  /** @param {Drawing} drawing */
  ask(drawing) {
    this.next = drawing;
    if (!this.isAsking) void this.run();
  }

  /** Drops what waits, and the answer that is under way. */
  forget() {
    this.next = null;
    this.generation += 1;
  }

  /** @private */
  async run() {
    this.isAsking = true;
    while (this.next) {
      const drawing = this.next;
      const generation = this.generation;
      this.next = null;
      try {
        const guess = await this.engine.guess(drawing);
        if (generation === this.generation) this.answered(guess);
      } catch (error) {
        if (generation === this.generation) this.failed(error instanceof Error ? error.message : String(error));
      }
    }
    this.isAsking = false;
  }
}
