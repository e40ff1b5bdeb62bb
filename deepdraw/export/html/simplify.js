// @ts-check
/**
 * The official simplification of Quick, Draw!, as `deepdraw.drawings.simplify` computes it: to the fewest points in
 * 0..255. Tests hold it to that function.
 *
 * @typedef {import("../../draw/page/engine.js").Drawing} Drawing
 * @typedef {import("../../draw/page/engine.js").Stroke} Stroke
 * @typedef {[x: number[], y: number[]]} Line
 */

const EPSILON = 2;
const TINY = 1e-300; // a length below it counts as none
const MOST_STEPS = 1e8; // of the search for the farthest points

/**
 * Simplifies a drawing: moves it to the top-left corner, scales its longer side to 255, resamples every stroke at
 * 1 px, keeps what Ramer-Douglas-Peucker keeps, and rounds. Strokes without a point are left out.
 * @param {Drawing} drawing
 * @returns {Line[]}
 */
export function simplify(drawing) {
  const strokes = drawing.filter(([x]) => x.length);
  const budget = { steps: MOST_STEPS };
  let along = 0; // goes on from stroke to stroke, so that its rounding is that of Python
  return scaled(strokes).map((line, index) => {
    const resampled = resample(line, along, index);
    along = resampled.end;
    const kept = keep(resampled.line, budget);
    return /** @type {Line} */ (resampled.line.map((row) => row.filter((_, at) => kept[at]).map(rounded)));
  });
}

/**
 * The lines with the top-left corner of their box at 0, and its longer side 255.
 * @param {Drawing} strokes
 * @returns {Line[]}
 */
function scaled(strokes) {
  const [left, top] = [0, 1].map((axis) => extreme(strokes, axis, Math.min, Infinity));
  const extent = Math.max(
    extreme(strokes, 0, Math.max, -Infinity) - left,
    extreme(strokes, 1, Math.max, -Infinity) - top,
  );
  const scale = extent > TINY ? 255 / extent : 0;
  return strokes.map(([x, y]) => [x.map((value) => (value - left) * scale), y.map((value) => (value - top) * scale)]);
}

/**
 * @param {Drawing} strokes
 * @param {number} axis
 * @param {(a: number, b: number) => number} pick
 * @param {number} start
 */
function extreme(strokes, axis, pick, start) {
  return strokes.reduce((found, stroke) => stroke[axis].reduce((a, b) => pick(a, b), found), start);
}

/**
 * The points 1 px apart along a line, but only those next to a given point, and the last one.
 * @param {Line} line
 * @param {number} start  the length of the strokes before
 * @param {number} apart  the number of the stroke: strokes lie a pixel apart
 */
function resample([x, y], start, apart) {
  const along = [start];
  for (let i = 1; i < x.length; i++) along.push(along[i - 1] + Math.hypot(x[i] - x[i - 1], y[i] - y[i - 1]));
  const end = along[along.length - 1];
  /** @type {Line} */
  const line = [[], []];
  let [last, between] = [-1, 0];
  /** @param {number} place */
  const take = (place) => {
    while (between + 1 < x.length && along[between + 1] + apart <= place) between++;
    for (const axis of [0, 1]) line[axis].push(interpolated(axis ? y : x, along, apart, between, place));
    last = place;
  };
  along.forEach((length, index) => {
    const before = start + Math.floor(length - start);
    const places = [before + apart, Math.min(before + 1, end) + apart];
    places.forEach((place, second) => {
      const isDotsEnd = x.length > 1 && index === x.length - 1 && second === 1;
      if (index === 0 && second === 0) take(place);
      else if (place > last) take(place);
      else if (isDotsEnd) take(last); // an official dot is a point written twice
    });
  });
  return { line, end };
}

/**
 * @param {number[]} row
 * @param {number[]} along
 * @param {number} apart
 * @param {number} i  the last given point at or before the place
 * @param {number} place
 */
function interpolated(row, along, apart, i, place) {
  const from = along[i] + apart;
  if (i === row.length - 1 || from === place) return row[i];
  const slope = (row[i + 1] - row[i]) * (1 / (along[i + 1] + apart - from));
  return slope * (place - from) + row[i];
}

/**
 * Which points of a line Ramer-Douglas-Peucker keeps.
 * @param {Line} line
 * @param {{steps: number}} budget
 */
function keep([x, y], budget) {
  const kept = x.map((_, index) => index === 0 || index === x.length - 1);
  const chords = [[0, x.length - 1]];
  for (let chord = chords.pop(); chord; chord = chords.pop()) {
    const [first, last] = chord;
    budget.steps -= last - first;
    if (budget.steps < 0) throw new Error("The drawing winds too much to be simplified: clear it.");
    const { middle, distance } = farthest(x, y, first, last);
    if (distance <= EPSILON) continue;
    kept[middle] = true;
    chords.push([first, middle], [middle, last]);
  }
  return kept;
}

/**
 * The first of the points between two that are farthest from the line through these.
 * @param {number[]} x
 * @param {number[]} y
 * @param {number} first
 * @param {number} last
 */
function farthest(x, y, first, last) {
  const [dx, dy] = [x[last] - x[first], y[last] - y[first]];
  const span = Math.hypot(dx, dy);
  const [cos, sin] = span > TINY ? [dx * (1 / span), -dy * (1 / span)] : [0, 0];
  let [middle, distance] = [first, 0];
  for (let i = first + 1; i < last; i++) {
    const [ax, ay] = [x[i] - x[first], y[i] - y[first]];
    const away = span > TINY ? Math.abs(ax * sin + ay * cos) : Math.hypot(ax, ay); // a closed stroke: its chord is a point
    if (away > distance) [middle, distance] = [i, away];
  }
  return { middle, distance };
}

/**
 * Rounded to a whole number, halves to the even one.
 * @param {number} value
 */
function rounded(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 ? below + 1 : below;
}
