// @ts-check
import { added } from "./answers.js";

/**
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./pad.js").Pad} Pad
 */

/** A form that keeps the drawing on the pad with the name of what it is. */
export class Collect {
  /**
   * @param {HTMLElement} place
   * @param {Engine} engine
   * @param {string[]} names  to choose from; any other may be typed
   * @param {Pad} pad
   * @param {(sentence: string) => void} say
   */
  constructor(place, engine, names, pad, say) {
    const form = added(place, "form", "collect-form");
    const label = added(form, "label");
    added(label, "span").textContent = "Keep it as";
    const input = /** @type {HTMLInputElement} */ (added(label, "input"));
    input.required = true;
    input.maxLength = 100;
    input.autocomplete = "off";
    input.setAttribute("list", "known-names");
    const list = added(form, "datalist");
    list.id = "known-names";
    for (const name of names) /** @type {HTMLOptionElement} */ (added(list, "option")).value = name;
    added(form, "button").textContent = "Keep";
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!pad.drawing.length) return say("Draw something first.");
      try {
        const kept = await /** @type {NonNullable<Engine["collect"]>} */ (engine.collect)(input.value, pad.drawing);
        pad.clear();
        say(`Kept as ${input.value}: ${kept} so far.`);
      } catch (error) {
        say(error instanceof Error ? error.message : String(error));
      }
    });
    place.hidden = false;
  }
}
