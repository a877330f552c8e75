// Responses of a model in another runtime: onnxruntime-node gives logits, covn draws.
//
//   npm install onnxruntime-node
//   node examples/rollout.mjs [model.onnx]
//
// The model: `input_ids` [batch, sequence] (and `attention_mask`, where it has one) to `logits` [batch, sequence, vocab],
// as causal language models are exported. Without one, a stand-in with 8 tokens is made, whose logits depend on the last.
import { createRequire } from 'node:module';
import { rollout } from 'covn';
import { encodeModel, FLOAT, INT64, input, node, output, weights } from '../bench/peers/onnx-model.mjs';

const require = createRequire(import.meta.url);
// In a checkout, `npm run bench:peers` has installed it for the benchmarks.
const ort = require(require.resolve('onnxruntime-node', { paths: ['.', `${import.meta.dirname}/../bench`] }));

/** The next token is likely to be the one after the last, of 8; token 7 ends a response. */
function standIn() {
  const logits = Float32Array.from({ length: 64 }, (_, i) => ((i >> 3) + 1 - (i & 7) ? 0 : 3));
  return encodeModel('bigram', [
    node('Gather', ['table', 'input_ids'], 'logits', 0),
    weights('table', logits, [8, 8]),
    input('input_ids', INT64, ['batch', 'sequence']),
    output('logits', FLOAT, ['batch', 'sequence', 'vocab']),
  ]);
}

const session = await ort.InferenceSession.create(process.argv[2] ?? standIn());

/** Logits after each prefix. Shorter ones are padded on the right, which a causal model does not see. */
async function step({ tokens, offsets }) {
  const batch = offsets.length - 1;
  const lengths = Array.from({ length: batch }, (_, i) => offsets[i + 1] - offsets[i]);
  const longest = Math.max(...lengths);
  const ids = new BigInt64Array(batch * longest);
  const mask = new BigInt64Array(batch * longest);
  for (let i = 0; i < batch; i++) {
    for (let h = 0; h < lengths[i]; h++) {
      ids[i * longest + h] = BigInt(tokens[offsets[i] + h]);
      mask[i * longest + h] = 1n;
    }
  }
  const tensor = (data) => new ort.Tensor('int64', data, [batch, longest]);
  const feeds = { input_ids: tensor(ids) };
  if (session.inputNames.includes('attention_mask')) feeds.attention_mask = tensor(mask);
  const { logits } = await session.run(feeds);
  const vocab = logits.dims[2];
  const last = new Float32Array(batch * vocab);
  for (let i = 0; i < batch; i++) {
    const row = i * longest + lengths[i] - 1;
    last.set(logits.data.subarray(row * vocab, (row + 1) * vocab), i * vocab);
  }
  return last;
}

const request = { prompts: [[0], [2, 3]], N: 4, maxLength: 12, seed: 1, stop: 7 };
const { prompts, samples, tokens, offsets, logProbs, ended } = await rollout(step, request, { batch: 3 });
for (let i = 0; i < prompts.length; i++) {
  const response = tokens.subarray(offsets[i], offsets[i + 1]).join(' ');
  const end = ended[i] ? '' : ' ... (cut off)';
  console.log(`prompt ${prompts[i]}, response ${samples[i]}: ${response}${end}   ${logProbs[i].toFixed(3)} nats`);
}
