// @ts-check
import { Answers } from "./answers.js";
import { Collect } from "./collect.js";
import { Asker } from "./engine.js";
import { Keyboard } from "./keyboard.js";
import { Pad } from "./pad.js";
import { Play } from "./play.js";
import { Teach } from "./teach.js";

/**
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./engine.js").Guess} Guess
 */

/**
 * Shows the page for one engine, or two to compare.
 * @param {Engine[]} engines
 */
export async function start(engines) {
  const descriptions = await Promise.all(engines.map((engine) => engine.describe()));
  const status = element("status");
  let isAnswered = false; // whether something was said since the drawing changed, which no guess may cover
  const speak = (/** @type {string} */ sentence) => {
    isAnswered = true;
    status.textContent = sentence;
  };
  const voices = engines.map((engine, index) => {
    const shown = new Answers(element("answers"), descriptions[index]);
    return new Voice(engine, shown, (guess) => answered(index, guess), speak);
  });
  const buttons = ["undo", "redo", "clear"].map((id) => /** @type {HTMLButtonElement} */ (element(id)));
  const pad = new Pad(/** @type {HTMLCanvasElement} */ (element("pad")), () => {
    const isEmpty = !pad.drawing.length;
    isAnswered = false;
    document.body.classList.toggle("blank", isEmpty);
    keyboard.show();
    for (const button of buttons) {
      button.disabled = button.id === "redo" ? !pad.undone.length : isEmpty;
      if (button.disabled && button === document.activeElement) pad.canvas.focus({ preventScroll: true }); // not lost
    }
    for (const voice of voices) isEmpty ? voice.clear() : voice.ask(pad.drawing);
    if (isEmpty && play.place.hidden) speak("");
  });
  const keyboard = new Keyboard(pad, (sentence) => (element("pen-place").textContent = sentence));
  const play = new Play(element("game"), engines[0], descriptions[0].names, pad, speak);
  /** @param {number} index @param {Guess} guess */
  function answered(index, guess) {
    if (index === 0) play.answered(guess);
    if (pad.pointer !== null || !play.place.hidden || isAnswered || !voices.every((voice) => voice.isCurrent)) return;
    status.textContent = voices.map((voice) => voice.best()).filter(Boolean).join("; ");
  }
  buttons[0].addEventListener("click", () => pad.undo());
  buttons[1].addEventListener("click", () => pad.redo());
  buttons[2].addEventListener("click", () => pad.clear());
  document.addEventListener("keydown", (event) => pressed(event, pad));
  const teachable = engines.filter((engine) => engine.teach);
  if (teachable.length) {
    const askAgain = () => pad.drawing.length && voices.forEach((voice) => voice.ask(pad.drawing));
    new Teach(element("teach"), teachable, pad, speak, askAgain);
  }
  element("play").addEventListener("click", () => {
    play.place.hidden ? play.start() : play.stop();
    element("play").setAttribute("aria-pressed", String(!play.place.hidden));
    document.body.classList.toggle("playing", !play.place.hidden);
  });
  if (engines[0].collect) new Collect(element("collect"), engines[0], descriptions[0].names, pad, speak);
  document.body.classList.remove("loading");
}

/** What one engine says of the drawing on the pad. */
class Voice {
  /**
   * @param {Engine} engine
   * @param {Answers} shown
   * @param {(guess: Guess) => void} answered
   * @param {(reason: string) => void} failed
   */
  constructor(engine, shown, answered, failed) {
    this.shown = shown;
    /** @type {Guess | null} */
    this.latest = null;
    this.isCurrent = false; // whether that is a guess of the drawing as it is now
    const show = (/** @type {Guess} */ guess) => {
      this.latest = guess;
      this.isCurrent = this.asker.next === null;
      shown.show(guess);
      answered(guess);
    };
    this.asker = new Asker(engine, show, failed);
  }

  /** @param {import("./engine.js").Drawing} drawing */
  ask(drawing) {
    this.isCurrent = false;
    this.asker.ask(copy(drawing));
  }

  clear() {
    this.asker.forget();
    this.latest = null;
    this.shown.clear();
  }

  /** The likeliest name, to be read aloud. */
  best() {
    return this.latest ? `${this.latest.names[0]}, ${Math.round(100 * this.latest.probabilities[0])} per cent` : "";
  }
}

/**
 * Undo, redo and clear by the keyboard, but not while one types.
 * @param {KeyboardEvent} event
 * @param {Pad} pad
 */
function pressed(event, pad) {
  if (event.target instanceof HTMLInputElement || event.altKey) return;
  const isCommand = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (isCommand && (key === "y" || (key === "z" && event.shiftKey))) pad.redo();
  else if (isCommand ? key === "z" : key === "backspace") pad.undo();
  else if (!isCommand && (key === "escape" || key === "delete")) pad.clear();
  else return;
  event.preventDefault();
}

/** @param {import("./engine.js").Drawing} drawing @returns {import("./engine.js").Drawing} */
function copy(drawing) {
  return drawing.map(([x, y, t]) => [[...x], [...y], [...t]]);
}

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
