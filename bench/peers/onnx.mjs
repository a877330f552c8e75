// onnxruntime-node: LogSoftmax and GatherElements in one graph, in chunks of rows, of which the best size counts: small
// chunks keep the log-softmax, which is as large as the logits, in the cache.
import { median, timeAsync } from '../measure.mjs';
import { logProbs } from './javascript.mjs';
import { encodeModel, FLOAT, INT64, input, node, output } from './onnx-model.mjs';

// Far more than the caches that its chunks live in, and a part of the data, since four chunkings are tried.
const BYTES = 2 ** 28;

const logSoftmaxModel = () =>
  encodeModel('logprob', [
    node('LogSoftmax', ['logits'], 'all', -1),
    node('GatherElements', ['all', 'targets'], 'token', 1),
    input('logits', FLOAT, ['rows', 'vocab']),
    input('targets', INT64, ['rows', 'one']),
    output('token', FLOAT, ['rows', 'one']),
  ]);

/** Chunks of rows to try; rows are counted as if V were at least 32000, so that short rows come in larger chunks. */
const chunkings = (rows, vocab) => {
  const scale = Math.max(1, Math.round(32000 / vocab));
  return [...[8, 32, 128].map((chunk) => chunk * scale).filter((chunk) => chunk < rows), rows];
};

/** That the graph computes what it is timed for. */
async function check(session, feed, logits, targets, vocab) {
  const { token } = await session.run(feed);
  const [expected] = logProbs({ logits, targets, vocab }, 1);
  if (!(Math.abs(token.data[0] - expected) <= 1e-2)) throw new Error(`log-prob ${token.data[0]} is not ${expected}`);
}

async function bestChunking(ort, session, { logits, targets, vocab }, rows, effort) {
  const plain = logits.slice(0, rows * vocab); // it takes no shared memory
  const ids = new BigInt64Array(rows);
  for (let row = 0; row < rows; row++) ids[row] = BigInt(targets[row]);
  let best;
  for (const chunk of chunkings(rows, vocab)) {
    // Tensors are made once: they are views of the same memory.
    const feeds = [];
    for (let begin = 0; begin < rows; begin += chunk) {
      const n = Math.min(chunk, rows - begin);
      feeds.push({
        logits: new ort.Tensor('float32', plain.subarray(begin * vocab, (begin + n) * vocab), [n, vocab]),
        targets: new ort.Tensor('int64', ids.subarray(begin, begin + n), [n, 1]),
      });
    }
    const call = async () => {
      for (const feed of feeds) await session.run(feed);
    };
    await check(session, feeds[0], logits, targets, vocab);
    const seconds = await timeAsync(call, { ...effort, samples: 2 });
    if (!best || median(seconds) < median(best.seconds)) best = { chunk, seconds };
  }
  return best;
}

export function openOnnx(require, threads) {
  const by = 'onnxruntime-node';
  let ort;
  try {
    ort = require('onnxruntime-node');
  } catch {
    return { versions: [], logprob: () => [{ by, missing: 'not installed' }] };
  }
  const version = ort.env.versions.node;
  const measure = async (data, effort) => {
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, executionProviders: ['cpu'] };
    const session = await ort.InferenceSession.create(logSoftmaxModel(), options);
    try {
      const rows = Math.min(data.rows, Math.ceil(BYTES / 4 / data.vocab));
      const { chunk, seconds } = await bestChunking(ort, session, data, rows, effort);
      const how = chunk === rows ? 'all rows at once' : `chunks of ${chunk} rows`;
      return [{ by, how: `${version}, LogSoftmax, ${how}`, work: 4 * rows * data.vocab, seconds }];
    } finally {
      await session.release();
    }
  };
  return {
    versions: [`${by} ${version}`],
    logprob: (data, effort) =>
      data.dtype === 'f32'
        ? [{ by, measure: () => measure(data, effort) }]
        : [{ by, missing: `no ${data.dtype} LogSoftmax on processors` }],
  };
}
