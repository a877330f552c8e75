// The packages that covn is timed beside. Those of JavaScript are looked for as a module here would import them: in
// bench/node_modules (`npm run bench:peers`), then wherever covn itself is installed.
import { createRequire } from 'node:module';
import { openOnnx } from './onnx.mjs';
import { openPython } from './python.mjs';
import { openTensorFlow } from './tensorflow.mjs';

/** No other packages at all. */
export const noPeers = { versions: [], entries: () => [], close: async () => {} };

/** @returns { versions: of what was found; entries(kind, data, effort): for a group's `peers`; close() } */
export async function findPeers(threads) {
  const require = createRequire(import.meta.url);
  const python = openPython(threads);
  const all = [openOnnx(require, threads), await openTensorFlow(require, threads), python];
  return {
    versions: all.flatMap(({ versions }) => versions),
    entries: (kind, data, effort) => all.flatMap((peer) => peer[kind]?.(data, effort) ?? []),
    close: python.close,
  };
}
