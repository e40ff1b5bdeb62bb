// @ts-check
import { Answers } from "./answers.js";
import { Asker } from "./engine.js";
import { Pad } from "./pad.js";
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
  const status = element("status");
  const answers = element("answers");
  const voices = await Promise.all(
    engines.map(async (engine) => {
      const shown = new Answers(answers, await engine.describe());
      /** @type {Guess | null} */
      let latest = null;
      const asker = new Asker(
        engine,
        (guess) => {
          latest = guess;
          shown.show(guess);
          if (pad.pointer === null) say();
        },
        (reason) => (status.textContent = reason),
      );
      return {
        ask: () => asker.ask(copy(pad.drawing)),
        clear: () => {
          asker.forget();
          latest = null;
          shown.clear();
        },
        best: () => (latest ? `${latest.names[0]}, ${Math.round(100 * latest.probabilities[0])} per cent` : ""),
      };
    }),
  );
  const say = () => (status.textContent = voices.map((voice) => voice.best()).filter(Boolean).join("; "));
  const buttons = ["undo", "redo", "clear"].map((id) => /** @type {HTMLButtonElement} */ (element(id)));
  const pad = new Pad(/** @type {HTMLCanvasElement} */ (element("pad")), () => {
    const isEmpty = !pad.drawing.length;
    document.body.classList.toggle("blank", isEmpty);
    buttons.forEach((button) => (button.disabled = button.id === "redo" ? !pad.undone.length : isEmpty));
    for (const voice of voices) isEmpty ? voice.clear() : voice.ask();
    if (isEmpty) status.textContent = "";
  });
  buttons[0].addEventListener("click", () => pad.undo());
  buttons[1].addEventListener("click", () => pad.redo());
  buttons[2].addEventListener("click", () => pad.clear());
  document.addEventListener("keydown", (event) => pressed(event, pad));
  const teachable = engines.filter((engine) => engine.teach);
  if (teachable.length) {
    const askAgain = () => pad.drawing.length && voices.forEach((voice) => voice.ask());
    new Teach(element("teach"), teachable, pad, (sentence) => (status.textContent = sentence), askAgain);
  }
  document.body.classList.remove("loading");
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
