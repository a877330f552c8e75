// TensorFlow.js with its WebAssembly backend: logSumExp and gather, on a tensor that is already in its memory (the copy
// into it, which every new batch needs, is not counted).
import { timeSync } from '../measure.mjs';

const BYTES = 2 ** 26; // WebAssembly's memory is small

export async function openTensorFlow(require, threads) {
  const by = 'tfjs wasm';
  let tf;
  let wasm;
  try {
    tf = require('@tensorflow/tfjs');
    wasm = require('@tensorflow/tfjs-backend-wasm');
  } catch {
    return { versions: [], logprob: () => [{ by, missing: 'not installed' }] };
  }
  wasm.setThreadsCount(threads);
  await tf.setBackend('wasm');
  await tf.ready();
  const version = tf.version.tfjs;
  const measure = ({ logits, targets, vocab, rows: all }, effort) => {
    const rows = Math.min(all, Math.floor(BYTES / 4 / vocab));
    const x = tf.tensor2d(logits.slice(0, rows * vocab), [rows, vocab]);
    const flat = tf.tensor1d(
      targets.subarray(0, rows).map((target, row) => row * vocab + target),
      'int32',
    );
    const call = () => {
      const token = tf.tidy(() => tf.sub(tf.gather(x.reshape([rows * vocab]), flat), tf.logSumExp(x, 1)));
      token.dataSync();
      token.dispose();
    };
    try {
      return [{ by, how: `${version}, logSumExp`, work: 4 * rows * vocab, seconds: timeSync(call, effort) }];
    } finally {
      x.dispose();
      flat.dispose();
    }
  };
  return {
    versions: [`${by} ${version} (${wasm.getThreadsCount()} thread)`],
    logprob: (data, effort) =>
      data.dtype === 'f32' ? [{ by, measure: () => measure(data, effort) }] : [{ by, missing: `no ${data.dtype}` }],
  };
}
