// @ts-check
/**
 * @typedef {import("./engine.js").Description} Description
 * @typedef {import("./engine.js").Guess} Guess
 * @typedef {import("./engine.js").Seen} Seen
 */

const SHOWN = 5; // names
const DOT = 1.6; // the radius of a point, where 100 is half the picture

/** What one network says: its name, its likeliest names with bars, and what it sees. */
export class Answers {
  /**
   * @param {HTMLElement} parent
   * @param {Description} description
   */
  constructor(parent, description) {
    const section = added(parent, "section", "answers");
    const title = added(section, "h2");
    title.textContent = description.title;
    title.title = description.source;
    this.list = added(section, "ol", "guesses");
    this.list.setAttribute("aria-label", `Guesses of ${description.title}`);
    /** @type {Row[]} */
    this.rows = [];
    this.grow(description.names.length);
    const figure = added(section, "figure", "seen");
    this.views = added(figure, "div", "views");
    this.picture = description.sees.includes("pixels") ? canvasIn(this.views, "The pixels that the network sees") : null;
    this.points = description.sees.includes("strokes") ? canvasIn(this.views, "The points that the network sees") : null;
    added(figure, "figcaption").textContent = `What the network sees: ${seenInWords(description)}`;
    this.clear();
  }

  /**
   * Makes room for as many names as there are, up to those that are shown.
   * @param {number} names
   */
  grow(names) {
    while (this.rows.length < Math.min(SHOWN, names)) this.rows.push(new Row(this.list));
  }

  /** @param {Guess} guess */
  show(guess) {
    this.grow(guess.names.length);
    this.rows.forEach((row, index) => row.show(guess.names[index], guess.probabilities[index]));
    this.list.classList.remove("empty");
    if (this.picture && guess.seen.picture) showPicture(this.picture, guess.seen.picture);
    if (this.points && guess.seen.points) showPoints(this.points, guess.seen.points);
  }

  clear() {
    this.list.classList.add("empty");
    for (const row of this.rows) row.show("", 0);
    for (const canvas of [this.picture, this.points]) {
      canvas?.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
    }
  }
}

class Row {
  /** @param {HTMLElement} list */
  constructor(list) {
    this.item = added(list, "li");
    this.name = added(this.item, "span", "name");
    this.percent = added(this.item, "span", "percent");
    this.bar = added(added(this.item, "span", "bar"), "span");
  }

  /**
   * @param {string} name
   * @param {number} probability
   */
  show(name, probability) {
    this.name.textContent = name;
    this.percent.textContent = name ? `${(100 * probability).toFixed(1)} %` : "";
    this.bar.style.width = `${100 * probability}%`;
  }
}

/** @param {Description} description */
function seenInWords({ sees, imageSize }) {
  const words = sees.map((kind) => (kind === "pixels" ? `${imageSize} by ${imageSize} pixels` : "points along the strokes"));
  return words.join(", and ");
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} picture
 */
function showPicture(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}

/**
 * Shows each point as a dot, darker the earlier it was drawn, and the first of each stroke as a ring.
 * @param {HTMLCanvasElement} canvas
 * @param {[number, number, number][]} points
 */
function showPoints(canvas, points) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)) || 224;
  canvas.width = canvas.height = side;
  context.setTransform(side / 220, 0, 0, side / 220, side / 2, side / 2);
  context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color;
  points.forEach(([x, y, starts], index) => {
    context.globalAlpha = 1 - (0.7 * index) / points.length;
    context.beginPath();
    context.arc(100 * x, 100 * y, starts ? 2.2 * DOT : DOT, 0, 2 * Math.PI);
    if (starts) context.stroke();
    else context.fill();
  });
}

/**
 * @param {HTMLElement} parent
 * @param {string} label
 */
function canvasIn(parent, label) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  parent.append(canvas);
  return canvas;
}

/**
 * A new element at the end of another.
 * @param {HTMLElement} parent
 * @param {string} tag
 * @param {string} [className]
 * @returns {HTMLElement}
 */
export function added(parent, tag, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  parent.append(element);
  return element;
}
