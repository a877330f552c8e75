// The built CUDA addon loads, and says in plain words why it cannot be used here; or, on a machine with a GPU, gives what the
// CPU gives.
import { devices, scoreLogits } from '../dist/index.js';

const cuda = devices().find(({ name }) => name === 'cuda');
if (!cuda.available) {
  // What a sound addon says of a machine. Others are faults of the addon.
  const plain = /^(no NVIDIA driver is installed|no CUDA device was found|the NVIDIA driver is too old: )/;
  console.log(cuda.reason);
  process.exit(plain.test(cuda.reason) ? 0 : 1);
}
console.log(cuda.gpu);
const [rows, vocab] = [64, 50_257];
const logits = Float32Array.from({ length: rows * vocab }, (_, i) => 8 * Math.sin(i * 0.7311));
const input = { logits, vocab, targets: Int32Array.from({ length: rows }, (_, row) => (row * 997) % vocab) };
const [found, wanted] = [await scoreLogits(input, { device: 'cuda' }), await scoreLogits(input)];
const worst = Math.max(...found.token.map((value, row) => Math.abs(value - wanted.token[row])));
console.log(`scoreLogits on ${found.device}: tokens within ${worst} nats of ${wanted.device}`);
process.exit(worst <= 4e-6 ? 0 : 1);
