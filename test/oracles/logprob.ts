/** Float64 oracles for log-probs, and encoders of the storage formats; nothing here is shared with the library. */

export interface RowOracle {
  token: number;
  logZ: number;
  entropy: number;
  rank: number;
}

/** One row in float64 with compensated (Neumaier) sums: error about 1e-15 relative, 1e8 times below the contract. */
export function scoreRow(x: ArrayLike<number>, target: number, temperature = 1): RowOracle {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]!);
  const sum = new Neumaier();
  const weighted = new Neumaier();
  let rank = 1;
  for (let i = 0; i < x.length; i++) {
    const z = (x[i]! - max) / temperature;
    const e = Math.exp(z);
    sum.add(e);
    if (e > 0) weighted.add(e * z);
    if (x[i]! > x[target]!) rank++;
  }
  const logSum = Math.log(sum.total());
  return {
    token: (x[target]! - max) / temperature - logSum,
    logZ: max / temperature + logSum,
    entropy: logSum - weighted.total() / sum.total(),
    rank,
  };
}

/** Neumaier's compensated sum. */
export class Neumaier {
  private sum = 0;
  private rest = 0;

  add(value: number): void {
    const next = this.sum + value;
    this.rest += Math.abs(this.sum) >= Math.abs(value) ? this.sum - next + value : value - next + this.sum;
    this.sum = next;
  }

  total(): number {
    return this.sum + this.rest;
  }
}

/** A small seeded generator (mulberry32) of uniforms and normals, for test data only. */
export function testRandom(seed: number) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const integer = (bound: number) => Math.floor(uniform() * bound);
  return { uniform, normal, integer };
}

const word = new DataView(new ArrayBuffer(4));

/** The bfloat16 of a float, by truncation. */
export function toBfloat16(value: number): number {
  word.setFloat32(0, value);
  return word.getUint16(0);
}

export function fromBfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** The value of an IEEE 754 half float (Sec. 3.6, binary16). */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A half float near the value (truncated), for |value| in the normal range. */
export function toFloat16(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (magnitude < 2 ** -14) return sign | Math.floor(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | ((exponent + 15) << 10) | Math.min(1023, Math.floor((magnitude / 2 ** exponent - 1) * 1024));
}
