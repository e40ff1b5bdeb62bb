// @ts-check
/**
 * @typedef {import("./engine.js").Drawing} Drawing
 * @typedef {import("./engine.js").Stroke} Stroke
 */

/** The width and height of the canvas, in units of a drawing. */
export const SIDE = 1000;
const LINE_WIDTH = 9;
const APART = 1; // a point that is nearer to the one before is left out

/** A place on the canvas. @typedef {[x: number, y: number]} Place */
/** Which pointer draws: its number, or the keyboard. @typedef {number | "keyboard"} Pointer */

/** A square canvas that one draws on with mouse, pen or finger, or by the keyboard (keyboard.js). */
export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(isStrokeDone: boolean) => void} changed  called at every new point, stroke, undo and clear
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {Drawing} */
    this.drawing = [];
    /** @type {Drawing} */
    this.undone = [];
    this.isEnabled = true;
    /** @type {Pointer | null} the pointer that draws; others do not, so that a second finger breaks no stroke */
    this.pointer = null;
    this.startedAt = 0;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => this.end(/** @type {PointerEvent} */ (event)));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.watchResolution();
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.paint());
    }
  }

  /** Ends the stroke that is being drawn. */
  finish() {
    this.pointer = null;
  }

  /** Takes the last stroke back. */
  undo() {
    this.moveStroke(this.drawing, this.undone);
  }

  /** Draws the stroke again that was taken back last. */
  redo() {
    this.moveStroke(this.undone, this.drawing);
  }

  /**
   * Moves the last of some strokes behind others.
   * @private
   * @param {Drawing} from
   * @param {Drawing} to
   */
  moveStroke(from, to) {
    if (this.pointer === "keyboard") this.finish();
    const stroke = this.isEnabled && this.pointer === null ? from.pop() : undefined;
    if (!stroke) return;
    to.push(stroke);
    this.paint();
    this.changed(true);
  }

  clear() {
    if (!this.isEnabled) return;
    this.pointer = null;
    this.drawing = [];
    this.undone = [];
    this.paint();
    this.changed(true);
  }

  /** @private @param {PointerEvent} event */
  begin(event) {
    if (!this.isEnabled || event.button !== 0) return;
    event.preventDefault();
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur(); // keys are for the drawing again
    if (this.pointer !== null) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.start(event.pointerId, this.place(event), event.timeStamp);
  }

  /** @private @param {PointerEvent} event */
  move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    this.extend((events.length ? events : [event]).map((each) => ({ place: this.place(each), time: each.timeStamp })));
  }

  /** @private @param {PointerEvent} event */
  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.finish();
    const canceled = event.type === "pointercancel" && this.drawing.pop(); // a palm, or a switch to another application
    if (canceled) {
      this.undone = [canceled];
      this.paint();
    }
    this.changed(true);
  }

  /** @private @param {PointerEvent} event @returns {Place} */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  /**
   * Starts a stroke.
   * @param {Pointer} pointer
   * @param {Place} place
   * @param {number} time  in milliseconds, as of events
   */
  start(pointer, place, time) {
    this.pointer = pointer;
    this.undone = [];
    if (!this.drawing.length) this.startedAt = time;
    this.drawing.push([[], [], []]);
    this.add(place, time);
    this.changed(false);
  }

  /**
   * Leads the stroke on through some places.
   * @param {{place: Place, time: number}[]} points
   */
  extend(points) {
    let isNew = false;
    for (const { place, time } of points) isNew = this.add(place, time) || isNew;
    if (isNew) this.changed(false);
  }

  /**
   * Adds a point to the last stroke; false if it is where the one before is.
   * @private
   * @param {Place} place
   * @param {number} time
   */
  add([x, y], time) {
    const [xs, ys, ts] = this.drawing[this.drawing.length - 1];
    const last = xs.length - 1;
    if (last >= 0 && Math.hypot(x - xs[last], y - ys[last]) < APART) return false;
    const before = last < 0 ? 0 : ts[last];
    xs.push(x);
    ys.push(y);
    ts.push(Math.max(before, Math.round(time - this.startedAt)));
    this.line(this.drawing[this.drawing.length - 1], Math.max(last, 0));
    return true;
  }

  /** Fits the pixels of the canvas to its size on the screen. @private */
  fit() {
    const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    if (side > 0 && this.canvas.width !== side) {
      this.canvas.width = this.canvas.height = side;
    }
    this.paint();
  }

  /** Fits the pixels anew when the page is zoomed or moves to another screen, also where that leaves its size. @private */
  watchResolution() {
    const changed = () => {
      this.fit();
      this.watchResolution();
    };
    matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`).addEventListener("change", changed, { once: true });
  }

  /** Paints the whole drawing anew. */
  paint() {
    this.context().clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.drawing) this.line(stroke, 0);
  }

  /**
   * Paints a stroke from one of its points on.
   * @private
   * @param {Stroke} stroke
   * @param {number} first
   */
  line([xs, ys], first) {
    const context = this.context();
    context.beginPath();
    context.moveTo(xs[first], ys[first]);
    context.lineTo(xs[first], ys[first]); // a dot
    for (let index = first + 1; index < xs.length; index++) context.lineTo(xs[index], ys[index]);
    context.stroke();
  }

  /** @private */
  context() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const scale = this.canvas.width / SIDE;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.lineWidth = LINE_WIDTH;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = getComputedStyle(this.canvas).color;
    return context;
  }
}

/**
 * A share of the canvas as a coordinate, to a tenth; what lies outside of the canvas is drawn at its edge.
 * @param {number} share
 */
function inside(share) {
  return Math.round(Math.min(Math.max(share, 0), 1) * SIDE * 10) / 10;
}
