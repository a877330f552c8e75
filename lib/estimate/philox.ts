/** Philox4x32-10 (Salmon et al. 2011; Random123): a counter-based generator, the same as in the native layer. */

/** The high 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const t = ah * bl + ((al * bl) >>> 16);
  const u = al * bh + (t & 0xffff);
  return (ah * bh + (t >>> 16) + (u >>> 16)) >>> 0;
}

/** Writes the four 32-bit words of one block into `out`. Counter (4) and key (2) are unsigned 32-bit words. */
export function philox(counter: Uint32Array, key0: number, key1: number, out: Uint32Array): void {
  let c0 = counter[0]!;
  let c1 = counter[1]!;
  let c2 = counter[2]!;
  let c3 = counter[3]!;
  let k0 = key0;
  let k1 = key1;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** A stream of draws with key = seed and counter = (block, 0, sample, stream): one sample never depends on another. */
export class PhiloxStream {
  readonly #key0: number;
  readonly #key1: number;
  readonly #counter = new Uint32Array(4);
  readonly #words = new Uint32Array(4);
  #used = 4;

  /** @param seed whole number in [0, 2^53) */
  constructor(seed: number, sample = 0, stream = 0) {
    this.#key0 = seed >>> 0;
    this.#key1 = Math.floor(seed / 2 ** 32) >>> 0;
    this.#counter[2] = sample;
    this.#counter[3] = stream;
  }

  /** The next unsigned 32-bit word. */
  next(): number {
    if (this.#used === 4) {
      philox(this.#counter, this.#key0, this.#key1, this.#words);
      if (++this.#counter[0]! === 2 ** 32) this.#counter[1]!++;
      this.#used = 0;
    }
    return this.#words[this.#used++]!;
  }

  /** A whole number in [0, n), n <= 2^32; no value is favoured by more than a share n / 2^32. */
  below(n: number): number {
    return Math.floor((this.next() * n) / 2 ** 32);
  }

  /** A uniform in the open interval (0, 1), of 52 bits: with one more the largest would round to 1. */
  uniform(): number {
    const high = this.next() >>> 6;
    return (high * 2 ** 26 + (this.next() >>> 6) + 0.5) / 2 ** 52;
  }
}
