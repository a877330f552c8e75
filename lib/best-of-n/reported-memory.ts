/**
 * What V8 is told of memory that batches of responses have. It may mark its whole heap each time memory outside of it has
 * grown by some tens of megabytes (24 as traced with Node 20), whatever has become of the arrays that it counted since; many
 * times a second, which takes longer than drawing what is in them. Where it has marked for no more of them than that, it hears
 * of a chunk at once, for which it marks once more, and then, of each batch, whose arrays it counts itself, that as much of the
 * chunk is gone; of the next chunk when one is used up. So it believes at most a chunk and a batch more to be there than is,
 * until a second after the last batch.
 */

import { clearTimeout, setTimeout } from 'node:timers';
import { getHeapStatistics } from 'node:v8';
import { addon } from '../native/index.ts';

/** Reported at a time, bytes: V8 marks once for each. For more than half of what its heap may grow to it would stop to. */
const CHUNK = Math.min(2 ** 30, getHeapStatistics().heap_size_limit / 4);
/** V8 marks too often where it does for so many bytes of batches: not for fewer, which then is not for the batches. */
const OFTEN = { least: 2 ** 23, most: 2 ** 27 };
/** Larger batches are few. V8 collects young arrays at 32 MiB, and these would outlive that, until it marks. */
const LARGEST = 2 ** 23;

let chunkLeft = 0;
let ending: NodeJS.Timeout | undefined;
let marked = false;
let bytesSinceMarking = 0;

/** Of an object that nobody holds: marking alone finds that out, collections of what is young do not look for it. */
const marking = new FinalizationRegistry(watchMarking);
function watchMarking(): void {
  marked = true;
  marking.register({}, undefined);
}
marking.register({}, undefined);

function report(bytes: number): void {
  addon().reportMemory(bytes);
  chunkLeft += bytes;
}

/** To be called for the arrays of each batch that V8 is to collect soon, once they are there. */
export function reportBatch(arrays: readonly ArrayBufferView[]): void {
  const bytes = arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes > LARGEST) return;
  clearTimeout(ending);
  if (chunkLeft >= bytes) {
    report(-bytes);
    if (chunkLeft < LARGEST) report(CHUNK);
  } else {
    bytesSinceMarking += bytes;
    if (marked && bytesSinceMarking >= OFTEN.least && bytesSinceMarking < OFTEN.most) report(CHUNK);
    if (marked) bytesSinceMarking = 0;
  }
  marked = false;
}

/** To be called after the last batch. */
export function endBatches(): void {
  clearTimeout(ending);
  ending = setTimeout(() => {
    report(-chunkLeft);
    bytesSinceMarking = 0;
  }, 1000).unref();
}
