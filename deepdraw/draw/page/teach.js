// @ts-check
import { added } from "./answers.js";

/**
 * @typedef {import("./engine.js").Drawing} Drawing
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./pad.js").Pad} Pad
 */

const MOST = 5; // drawings of a class
const SMALL = 48; // pixels on a side of a small picture of a drawing

/** Teaches new classes to the networks: a name and the drawing on the pad, up to five times. */
export class Teach {
  /**
   * @param {HTMLElement} parent
   * @param {Engine[]} engines  those that can be taught; all are taught the same
   * @param {Pad} pad
   * @param {(sentence: string) => void} say
   * @param {() => void} changed  called when the classes have changed
   */
  constructor(parent, engines, pad, say, changed) {
    this.engines = engines;
    this.pad = pad;
    this.say = say;
    this.changed = changed;
    /** @type {Map<string, Drawing[]>} */
    this.drawings = new Map();
    added(parent, "h2").textContent = "Teach a new class";
    const form = added(parent, "form", "teach-form");
    const label = added(form, "label");
    label.textContent = "Name";
    this.name = /** @type {HTMLInputElement} */ (added(label, "input"));
    Object.assign(this.name, { id: "teach-name", type: "text", maxLength: 100, autocomplete: "off", required: true });
    this.button = /** @type {HTMLButtonElement} */ (added(form, "button"));
    Object.assign(this.button, { id: "teach-add", type: "submit", textContent: "Teach this drawing" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run(() => this.teach());
    });
    this.list = added(parent, "ul", "taught");
    this.list.setAttribute("aria-label", "Classes that were taught");
    this.files = added(parent, "p", "taught-files");
    parent.hidden = false;
    void this.run(() => this.show());
  }

  /** @private */
  async teach() {
    const name = this.name.value.normalize().trim();
    const drawing = structuredClone(this.pad.drawing);
    const { readsNames, taught } = await this.engines[0].describe();
    const before = taught?.find((one) => one.name === name)?.drawings ?? 0;
    if (!name) throw new Error("Give the class a name first.");
    if (!drawing.length && !readsNames) throw new Error(`Draw ${name} first, then teach it.`);
    if (before !== (this.drawings.get(name) ?? []).length) {
      throw new Error(`${name} was taught by drawings that are not here. Remove it to teach it anew.`);
    }
    const drawings = drawing.length ? [...(this.drawings.get(name) ?? []), drawing] : [];
    if (drawings.length > MOST) throw new Error(`${name} has ${MOST} drawings already. Remove it to teach it anew.`);
    this.say(`Learning ${name}. The first class takes a while.`);
    for (const engine of this.engines) await engine.teach?.(name, drawings);
    this.drawings.set(name, drawings);
    this.pad.clear();
    await this.show();
    const more = drawings.length && drawings.length < MOST ? " Draw another to make it surer." : "";
    this.say(`${name} is taught by ${counted(drawings.length)}.${more}`);
    this.changed();
  }

  /** @private @param {string} name */
  async forget(name) {
    for (const engine of this.engines) await engine.forget?.(name);
    this.drawings.delete(name);
    await this.show();
    this.say(`${name} is removed.`);
    this.changed();
  }

  /**
   * Does one thing at a time, and says why it cannot be done.
   * @private
   * @param {() => Promise<void>} act
   */
  async run(act) {
    if (this.button.disabled) return;
    this.button.disabled = true;
    try {
      await act();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
    this.button.disabled = false;
  }

  /** Lists what was taught. @private */
  async show() {
    const { taught } = await this.engines[0].describe();
    this.list.replaceChildren();
    for (const { name, drawings } of taught ?? []) {
      const item = added(this.list, "li");
      added(item, "span", "name").textContent = name;
      added(item, "span", "count").textContent = counted(drawings);
      for (const drawing of this.drawings.get(name) ?? []) item.append(small(drawing));
      const button = /** @type {HTMLButtonElement} */ (added(item, "button"));
      Object.assign(button, { type: "button", textContent: "Remove", ariaLabel: `Remove ${name}` });
      button.addEventListener("click", () => void this.run(() => this.forget(name)));
    }
    this.files.replaceChildren();
    for (const engine of taught?.length ? this.engines : []) {
      if (!engine.taughtFile) continue;
      const link = /** @type {HTMLAnchorElement} */ (added(this.files, "a"));
      const suffix = this.engines.length > 1 ? ` of ${(await engine.describe()).title}` : "";
      Object.assign(link, { href: engine.taughtFile(), download: "taught.npz", textContent: `Save taught.npz${suffix}` });
    }
    if (this.engines[0].loadTaught) this.addLoading();
  }

  /** Offers to read a file of what was taught. @private */
  addLoading() {
    const button = /** @type {HTMLButtonElement} */ (added(this.files, "button"));
    Object.assign(button, { type: "button", textContent: "Load taught.npz" });
    const input = /** @type {HTMLInputElement} */ (added(this.files, "input"));
    Object.assign(input, { id: "teach-load", type: "file", accept: ".npz", hidden: true });
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) void this.run(() => this.load(file));
    });
  }

  /** @private @param {File} file */
  async load(file) {
    for (const engine of this.engines) await engine.loadTaught?.(file);
    this.drawings.clear();
    await this.show();
    this.say(`${file.name} is loaded.`);
    this.changed();
  }
}

/** @param {number} number */
function counted(number) {
  if (number === 0) return "its name";
  return number === 1 ? "1 drawing" : `${number} drawings`;
}

/**
 * A small picture of a drawing.
 * @param {Drawing} drawing
 */
function small(drawing) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SMALL * (window.devicePixelRatio || 1);
  const context = canvas.getContext("2d");
  canvas.setAttribute("aria-hidden", "true");
  if (!context) return canvas;
  context.scale(canvas.width / 1000, canvas.height / 1000);
  context.lineWidth = 30;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = getComputedStyle(document.body).color;
  for (const [xs, ys] of drawing) {
    context.beginPath();
    xs.forEach((x, index) => context.lineTo(x, ys[index]));
    context.lineTo(xs[xs.length - 1], ys[ys.length - 1]);
    context.stroke();
  }
  return canvas;
}
