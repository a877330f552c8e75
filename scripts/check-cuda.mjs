// The built CUDA addon loads, and says in plain words why it cannot be used here; or, on a machine with a GPU, gives what the
// CPU gives.
import { devices, scoreHidden, scoreLogits } from '../dist/index.js';

const cuda = devices().find(({ name }) => name === 'cuda');
if (!cuda.available) {
  // What a sound addon says of a machine. Others are faults of the addon.
  const plain =
    /^(no NVIDIA driver is installed|no CUDA device was found|the NVIDIA driver is too old: |.* is the least that is supported$|.* has no memory pools here)/;
  console.log(cuda.reason);
  process.exit(plain.test(cuda.reason) ? 0 : 1);
}
console.log(cuda.gpu);

/** Values that 16 bits hold too, as `dtype` stores them: multiples of 1/16 below 8. */
function numbers(count, dtype, seed) {
  const values = Float32Array.from(
    { length: count },
    (_, i) => Math.round(16 * 7.9 * Math.sin((i + seed) * 0.7311)) / 16,
  );
  if (dtype === 'f32') return values;
  const bits = new Uint32Array(values.buffer);
  if (dtype === 'bf16') return Uint16Array.from(bits, (word) => word >>> 16);
  return Uint16Array.from(
    bits,
    (word) => ((word >>> 16) & 0x8000) | (word << 1 ? ((word & 0x7fffffff) - 0x38000000) >>> 13 : 0),
  );
}

const targetsOf = (rows, vocab) => Int32Array.from({ length: rows }, (_, row) => (row * 997) % vocab);

function* cases() {
  for (const dtype of ['f32', 'bf16', 'f16']) {
    for (const [rows, vocab] of [
      [64, 50_257],
      [1000, 33],
    ]) {
      const input = { logits: numbers(rows * vocab, dtype, 0), dtype, vocab, targets: targetsOf(rows, vocab) };
      yield [`scoreLogits ${dtype} [${rows}, ${vocab}]`, scoreLogits, input, 4e-6];
    }
    const [rows, vocab, width] = [300, 5001, 72];
    const hidden = numbers(rows * width, dtype, 1);
    const weight = numbers(vocab * width, dtype, 2);
    // Logits of hundreds, whose float sums have errors of 2^-24 of the largest.
    yield [
      `scoreHidden ${dtype} [${rows}, ${vocab}, ${width}]`,
      scoreHidden,
      { hidden, weight, dtype, softcap: 20, targets: targetsOf(rows, vocab) },
      1e-3,
    ];
  }
}

let sound = true;
for (const [what, score, input, bound] of cases()) {
  const outputs = { token: true, rank: true };
  const [found, wanted] = [await score(input, { outputs, device: 'cuda' }), await score(input, { outputs })];
  const worst = Math.max(...found.token.map((value, row) => Math.abs(value - wanted.token[row])));
  console.log(`${what} on ${found.device}: tokens within ${worst} nats of ${wanted.device}`);
  // NaN is not within any bound.
  if (!(worst <= bound)) sound = false;
}
process.exit(sound ? 0 : 1);
