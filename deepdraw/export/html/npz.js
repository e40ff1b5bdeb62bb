// @ts-check
/**
 * Files of arrays as `numpy.savez` writes them: zip archives of .npy files that are not compressed.
 *
 * @typedef {Float32Array | Float64Array | BigInt64Array | Uint32Array | Uint16Array | Uint8Array | Int8Array} Numbers
 *
 * An array; `descr` is its type as numpy writes it. Texts, "<U7" of seven characters each, have numbers for characters.
 * @typedef {{descr: string, shape: number[], data: Numbers}} Column
 */

/** @type {Record<string, new (buffer: ArrayBuffer) => Numbers>} */
const TYPES = {
  "<f4": Float32Array,
  "<f8": Float64Array,
  "<i8": BigInt64Array,
  "<u2": Uint16Array,
  "|u1": Uint8Array,
  "|i1": Int8Array,
};
const [MEMBER, ENTRY, END] = [0x04034b50, 0x02014b50, 0x06054b50]; // the first bytes of each record
const END_BYTES = 22;
const MOST_COMMENT = 65535; // bytes behind the last record
const VERSION = 20;
const DATE = 0x21; // 1 January 1980

/**
 * The arrays of a file by their names. Throws an Error for anything else.
 * @param {ArrayBuffer} buffer
 * @returns {Map<string, Column>}
 */
export function readNpz(buffer) {
  try {
    return new Map(entries(buffer).map(({ name, content }) => [name, readNpy(content)]));
  } catch {
    throw new Error("This is no file of arrays, or it is damaged.");
  }
}

/**
 * A file of arrays, in parts.
 * @param {Map<string, Column>} columns
 * @returns {Uint8Array<ArrayBuffer>[]}
 */
export function writeNpz(columns) {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const members = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const directory = [];
  let at = 0;
  for (const [name, column] of columns) {
    const [title, content] = [new TextEncoder().encode(`${name}.npy`), writeNpy(column)];
    const size = content.length;
    const facts = [[2, VERSION], [2, 0], [2, 0], [2, 0], [2, DATE], [4, crc32(content)], [4, size], [4, size]];
    const member = [record([[4, MEMBER], ...facts, [2, title.length], [2, 0]]), title, content];
    const rest = [[2, title.length], [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, at]];
    directory.push(record([[4, ENTRY], [2, VERSION], ...facts, ...rest]), title);
    members.push(...member);
    at += length(member);
  }
  const number = columns.size;
  const end = [[4, END], [2, 0], [2, 0], [2, number], [2, number], [4, length(directory)], [4, at], [2, 0]];
  return [...members, ...directory, record(end)];
}

/** @param {Column} column */
export function texts({ descr, shape, data }) {
  const width = Number(descr.slice(2));
  return Array.from({ length: shape[0] }, (_, row) => {
    const characters = Array.from(data.subarray(row * width, (row + 1) * width), Number);
    return String.fromCodePoint(...characters).replace(/\0+$/, "");
  });
}

/**
 * @param {string[]} found
 * @returns {Column}
 */
export function textColumn(found) {
  const rows = found.map((text) => Array.from(text, (character) => Number(character.codePointAt(0))));
  const width = Math.max(1, ...rows.map((row) => row.length));
  const data = new Uint32Array(rows.length * width);
  rows.forEach((row, index) => data.set(row, index * width));
  return { descr: `<U${width}`, shape: [rows.length], data };
}

/**
 * The members of a zip archive. Throws an Error where it is none, or is damaged.
 * @param {ArrayBuffer} buffer
 */
function entries(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - END_BYTES;
  const first = Math.max(0, end - MOST_COMMENT);
  while (end > first && view.getUint32(end, true) !== END) end--;
  if (view.getUint32(end, true) !== END) throw new Error("no archive");
  let at = view.getUint32(end + 16, true);
  return Array.from({ length: view.getUint16(end + 10, true) }, () => {
    const [method, sum, size] = [view.getUint16(at + 10, true), view.getUint32(at + 16, true), view.getUint32(at + 24, true)];
    const [title, ...others] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const member = view.getUint32(at + 42, true);
    const start = member + 30 + view.getUint16(member + 26, true) + view.getUint16(member + 28, true);
    const content = new Uint8Array(buffer, start, size);
    if (view.getUint32(at, true) !== ENTRY || method !== 0 || crc32(content) !== sum) throw new Error("damaged");
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, title)).replace(/\.npy$/, "");
    at += 46 + title + others[0] + others[1];
    return { name, content };
  });
}

/**
 * @param {Uint8Array<ArrayBuffer>} content
 * @returns {Column}
 */
function readNpy(content) {
  const start = 10 + content[8] + 256 * content[9];
  const header = new TextDecoder("latin1").decode(content.subarray(0, start));
  const found = header.match(/^.NUMPY\x01\x00..\{'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]*)\),? *\}/s);
  if (!found) throw new Error("no array");
  const shape = found[2].split(",").filter((size) => size.trim()).map(Number);
  const bytes = content.slice(start);
  const descr = found[1];
  const characters = descr.startsWith("<U") ? Number(descr.slice(2)) : 1;
  const type = descr.startsWith("<U") ? Uint32Array : TYPES[descr];
  const data = new type(bytes.buffer);
  if (data.length !== shape.reduce((a, b) => a * b, characters)) throw new Error("cut short");
  return { descr, shape, data };
}

/** @param {Column} column */
function writeNpy({ descr, shape, data }) {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const width = Math.ceil((header.length + 11) / 64) * 64 - 10; // so that the numbers begin at a multiple of 64
  const start = record([[1, 0x93], ...Array.from("NUMPY", (letter) => [1, letter.charCodeAt(0)]), [2, 1], [2, width]]);
  const title = new TextEncoder().encode(`${header.padEnd(width - 1)}\n`);
  return joined([start, title, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}

/**
 * Whole numbers of 1, 2 or 4 bytes.
 * @param {number[][]} fields  bytes and value of each
 */
function record(fields) {
  return Uint8Array.from(fields.flatMap(([bytes, value]) => Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 255)));
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  const whole = new Uint8Array(length(parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Uint8Array[]} parts */
function length(parts) {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** @param {Uint8Array} content */
function crc32(content) {
  let sum = -1;
  for (let i = 0; i < content.length; i++) sum = REMAINDERS[(sum ^ content[i]) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}
