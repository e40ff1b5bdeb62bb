// @ts-check
import { added } from "./answers.js";

/**
 * @typedef {import("./engine.js").Drawing} Drawing
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./engine.js").Guess} Guess
 * @typedef {import("./engine.js").Look} Look
 * @typedef {import("./pad.js").Pad} Pad
 */

const ROUNDS = 6;
const SECONDS = 20;
const SHOWN_SIDE = 96; // pixels of a small drawing

/** A game: one draws what it asks for, and the network must name it within 20 seconds. */
export class Play {
  /**
   * @param {HTMLElement} place  where it asks
   * @param {Engine} engine
   * @param {string[]} names  of which it asks for some
   * @param {Pad} pad
   * @param {(sentence: string) => void} say
   */
  constructor(place, engine, names, pad, say) {
    this.place = place;
    this.engine = engine;
    this.names = names;
    this.pad = pad;
    this.say = say;
    this.wanted = "";
    this.isRunning = false;
    /** @type {string[]} */
    this.left = [];
    this.round = 0;
    this.score = 0;
    this.endsAt = 0;
    this.timer = 0;
    this.best = "";
  }

  start() {
    this.left = shuffled(this.names).slice(0, ROUNDS);
    this.round = this.score = 0;
    this.next();
  }

  stop() {
    clearInterval(this.timer);
    this.isRunning = false;
    this.pad.isEnabled = true;
    this.place.hidden = true;
    this.place.replaceChildren();
  }

  /** @param {Guess} guess */
  answered(guess) {
    if (!this.isRunning) return;
    this.best = guess.names[0];
    if (this.best === this.wanted) this.finish(true);
  }

  /** @private */
  next() {
    const wanted = this.left.pop();
    if (wanted === undefined) return this.total();
    this.wanted = wanted;
    this.round += 1;
    this.best = "";
    this.place.replaceChildren();
    const task = added(this.place, "p", "task");
    task.textContent = `Draw: ${wanted}`;
    const clock = added(this.place, "p", "clock");
    clock.setAttribute("role", "timer");
    added(this.place, "p", "score").textContent = `Round ${this.round} of ${this.rounds()}, ${this.score} recognized`;
    this.place.hidden = false;
    this.pad.isEnabled = true;
    this.pad.clear();
    this.pad.canvas.focus({ preventScroll: true }); // the button is gone that had it
    this.say(`Draw: ${wanted}. You have ${SECONDS} seconds.`);
    this.endsAt = performance.now() + 1000 * SECONDS;
    this.isRunning = true;
    const tick = () => {
      const seconds = Math.max(0, (this.endsAt - performance.now()) / 1000);
      clock.textContent = `${Math.ceil(seconds)} s`;
      if (seconds === 0) this.finish(false);
    };
    tick();
    this.timer = setInterval(tick, 200);
  }

  /** @private */
  rounds() {
    return Math.min(ROUNDS, this.names.length);
  }

  /** @private @param {boolean} isRecognized */
  finish(isRecognized) {
    clearInterval(this.timer);
    this.isRunning = false;
    this.pad.isEnabled = false;
    this.pad.finish();
    const seconds = SECONDS - Math.max(0, (this.endsAt - performance.now()) / 1000);
    if (isRecognized) this.score += 1;
    const taken = this.best ? `Time is up. It took this for: ${this.best}.` : "Time is up. Nothing was drawn.";
    const result = isRecognized ? `Recognized: ${this.wanted}, after ${seconds.toFixed(1)} s.` : taken;
    this.place.replaceChildren();
    added(this.place, "p", "task").textContent = isRecognized ? this.wanted : `Not recognized: ${this.wanted}`;
    added(this.place, "p", "score").textContent = result;
    this.say(result);
    this.button(this.left.length ? "Next drawing" : "Show the score", () => this.next());
    this.showAlike();
  }

  /** @private */
  total() {
    this.place.replaceChildren();
    const sentence = `${this.score} of ${this.rounds()} drawings were recognized.`;
    added(this.place, "p", "task").textContent = sentence;
    this.say(sentence);
    this.button("Play again", () => this.start());
    this.pad.isEnabled = true;
    this.pad.clear();
  }

  /**
   * @private
   * @param {string} label
   * @param {() => void} act
   */
  button(label, act) {
    const button = added(this.place, "button");
    button.setAttribute("type", "button");
    button.textContent = label;
    button.addEventListener("click", act);
    button.focus({ preventScroll: true });
  }

  /** Shows the drawings of the training that look most alike, where the engine knows them. @private */
  async showAlike() {
    if (!this.engine.alike || !this.pad.drawing.length) return;
    const figure = added(this.place, "figure", "alike");
    const caption = added(figure, "figcaption");
    caption.textContent = "Looking for drawings that it learned from and that look alike …";
    try {
      const found = await this.engine.alike(this.pad.drawing);
      caption.textContent = "Of the drawings that it learned from, these look most alike to it:";
      const row = added(figure, "div", "looks");
      for (const look of found) showLook(row, look);
    } catch (error) {
      caption.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}

/**
 * @param {HTMLElement} row
 * @param {Look} look
 */
function showLook(row, { name, strokes }) {
  const item = added(row, "div", "look");
  const canvas = document.createElement("canvas");
  const side = SHOWN_SIDE * (window.devicePixelRatio || 1);
  canvas.width = canvas.height = side;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  item.append(canvas);
  added(item, "span").textContent = name;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(side / 285, 0, 0, side / 285, side * 0.05, side * 0.05);
  context.lineWidth = 5;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = getComputedStyle(canvas).color;
  for (const [xs, ys] of strokes) {
    context.beginPath();
    xs.forEach((x, index) => (index ? context.lineTo(x, ys[index]) : context.moveTo(x, ys[index])));
    context.stroke();
  }
}

/**
 * The same in an order by chance.
 * @param {string[]} names
 */
function shuffled(names) {
  return names
    .map((name) => ({ name, place: Math.random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ name }) => name);
}
