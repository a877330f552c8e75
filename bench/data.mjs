// Data of the suites, from fixed seeds. Large arrays are copies of a pool of normals, end to end; its length is a prime,
// so that rows do not repeat.
const POOL = 1_000_003;

let pool;

/** Standard normals (Marsaglia's polar method over mulberry32). */
function normals() {
  if (pool) return pool;
  pool = new Float32Array(POOL);
  let state = 20251015;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < POOL; ) {
    const u = 2 * uniform() - 1;
    const v = 2 * uniform() - 1;
    const square = u * u + v * v;
    if (square === 0 || square >= 1) continue;
    pool[i++] = u * Math.sqrt((-2 * Math.log(square)) / square);
  }
  return pool;
}

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

function toBFloat16(value) {
  real[0] = value;
  return (word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16;
}

/** Rounds to nearest, ties to even; values of the pools are far from the ends of the range. */
function toFloat16(value) {
  real[0] = value;
  const sign = (word[0] >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) return sign | Math.round(magnitude * 2 ** 24);
  const bits = word[0] & 0x7fffffff;
  return sign | ((bits - ((127 - 15) << 23) + 0xfff + ((bits >>> 13) & 1)) >>> 13);
}

function fromFloat16(bits) {
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return exponent === 31 ? Number.NaN : (bits & 0x8000 ? -1 : 1) * magnitude;
}

const formats = {
  f32: { Values: Float32Array, encode: (value) => value },
  bf16: { Values: Uint16Array, encode: toBFloat16 },
  f16: { Values: Uint16Array, encode: toFloat16 },
};

export const dtypes = Object.keys(formats);
export const bytesOf = (dtype) => formats[dtype].Values.BYTES_PER_ELEMENT;

const tables = {};

/** The value of every bit pattern of a 16-bit format: what plain JavaScript decodes with. */
export function decodingTable(dtype) {
  const decode = dtype === 'f16' ? fromFloat16 : (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
  tables[dtype] ??= Float32Array.from({ length: 65536 }, (_, bits) => decode(bits));
  return tables[dtype];
}

/** `count` normals of standard deviation `sd` in shared memory, or, with `buffer`, at its byte `offset`. */
export function gaussians(count, dtype, sd, buffer, offset = 0) {
  const { Values, encode } = formats[dtype];
  const memory = buffer ?? new SharedArrayBuffer(count * Values.BYTES_PER_ELEMENT);
  const out = new Values(memory, offset, count);
  const source = Values.from(normals().subarray(0, Math.min(count, POOL)), (value) => encode(sd * value));
  for (let begin = 0; begin < count; begin += POOL) {
    out.set(source.subarray(0, Math.min(POOL, count - begin)), begin);
  }
  return out;
}

/** Target ids that visit the whole vocabulary. */
export function targetsFor(rows, vocab) {
  const targets = new Int32Array(new SharedArrayBuffer(4 * rows));
  for (let row = 0; row < rows; row++) targets[row] = (row * 7919) % vocab;
  return targets;
}
