// @ts-check
import { added } from "./answers.js";
import { SIDE } from "./pad.js";

/** @typedef {import("./pad.js").Pad} Pad */

const STEP = 25; // of a key, in units of a drawing
const FINE_STEP = 5; // with Shift
/** @type {Record<string, [x: number, y: number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Draws by the keyboard: the arrow keys move a pen, two at once aslant, and Space or Enter puts it down and lifts it. */
export class Keyboard {
  /**
   * @param {Pad} pad
   * @param {(sentence: string) => void} say  what only a screen reader tells: where the pen is, and whether it is down
   */
  constructor(pad, say) {
    this.pad = pad;
    this.say = say;
    this.x = this.y = SIDE / 2;
    /** The arrow keys that are held down. @type {Set<string>} */
    this.held = new Set();
    const canvas = pad.canvas;
    this.mark = added(/** @type {HTMLElement} */ (canvas.parentElement), "span", "pen");
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    canvas.addEventListener("keyup", (event) => this.released(event));
    canvas.addEventListener("blur", () => this.leave());
    this.show();
  }

  /** @private */
  get isDown() {
    return this.pad.pointer === "keyboard";
  }

  /** @private @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isPen = event.key === " " || event.key === "Enter";
    if (!isPen && !(event.key in ARROWS)) return;
    event.preventDefault(); // the page does not scroll
    event.stopPropagation();
    if (!this.pad.isEnabled) return;
    if (!isPen) this.move(event);
    else if (!event.repeat) this.isDown ? this.lift() : this.putDown(event);
    this.show();
  }

  /** @private @param {KeyboardEvent} event */
  move(event) {
    this.held.add(event.key);
    for (const key of this.held) {
      const [x, y] = ARROWS[key].map((sign) => sign * (event.shiftKey ? FINE_STEP : STEP));
      this.x = Math.min(Math.max(this.x + x, 0), SIDE);
      this.y = Math.min(Math.max(this.y + y, 0), SIDE);
    }
    if (this.isDown) this.pad.extend([{ place: [this.x, this.y], time: event.timeStamp }]);
  }

  /** @private @param {KeyboardEvent} event */
  released(event) {
    if (!this.held.delete(event.key) || this.held.size) return;
    this.say(`${this.where()}, pen ${this.isDown ? "down" : "up"}`);
  }

  /** @private @param {KeyboardEvent} event */
  putDown(event) {
    if (this.pad.pointer !== null) return; // the mouse draws
    this.pad.start("keyboard", [this.x, this.y], event.timeStamp);
    this.say(`Pen down at ${this.where()}`);
  }

  /** @private */
  lift() {
    this.say(`Pen up at ${this.where()}`);
    this.pad.finish();
    this.pad.changed(true);
  }

  /** @private */
  leave() {
    this.held.clear();
    if (this.isDown) this.lift();
    this.show();
  }

  /** Where the pen is, in per cent of the pad. @private */
  where() {
    const [right, down] = [this.x, this.y].map((value) => Math.round((100 * value) / SIDE));
    return `${right} per cent from the left, ${down} from the top`;
  }

  /** Shows the pen, which the style sheet hides while the pad is not chosen by the keyboard. */
  show() {
    this.mark.classList.toggle("down", this.isDown);
    this.mark.style.left = `${(100 * this.x) / SIDE}%`;
    this.mark.style.top = `${(100 * this.y) / SIDE}%`;
  }
}
