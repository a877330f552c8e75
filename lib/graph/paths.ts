/** Paths through the graphs: which are valid, and which are right. */

import type { Automaton } from '../best-of-n/index.ts';
import { rangeError } from '../errors.ts';
import type { Responses } from '../model/index.ts';
import { checkNumberList, type NumberList } from '../validate.ts';
import type { Graphs } from './draw.ts';

const mostEntries = 2 ** 28;

/** Whether a path leads from s to t by passable nodes, each in its layer. */
export function isValidPath({ settings, nodes, open }: Graphs, prompt: number, path: NumberList): boolean {
  const { length, starts, size } = settings;
  if (checkNumberList(path, 'path').length !== length) return false;
  const passes = (h: number): boolean => {
    const first = prompt * size;
    for (let j = first + starts[h]!; j < first + starts[h + 1]!; j++) {
      if (nodes[j] === path[h]) return open[j] === 1;
    }
    return false;
  };
  for (let h = 0; h < length; h++) if (!passes(h)) return false;
  return true;
}

/** Accepts the valid paths: state (prompt, h) after h nodes, and the last one after all. */
export function validityAutomaton({ settings, nodes, open }: Graphs): Automaton {
  const { prompts, ids, length, starts, size } = settings;
  const vocab = ids + 3;
  const accepting = prompts * length;
  const entries = (accepting + 1) * vocab;
  if (entries > mostEntries) throw rangeError('prompts with up to 2^28 entries', 'the automaton', entries);
  const next = new Int32Array(entries).fill(-1);
  for (let prompt = 0; prompt < prompts; prompt++) {
    for (let h = 0; h < length; h++) {
      const state = prompt * length + h;
      const after = h + 1 < length ? state + 1 : accepting;
      for (let j = prompt * size + starts[h]!; j < prompt * size + starts[h + 1]!; j++) {
        if (open[j] === 1) next[state * vocab + nodes[j]!] = after;
      }
    }
  }
  return { next, start: Int32Array.from({ length: prompts }, (_, prompt) => prompt * length), accepting: [accepting] };
}

/** The paths that pi_D gives positive probability, equally much to each, prompt after prompt. */
export function rightPaths({ settings, nodes, open, classOf, rule }: Graphs): Responses {
  const { prompts, length, starts, size, forks } = settings;
  const count = Float64Array.from(classOf, (drawn, i) => (rule[i]! < 0 ? 2 ** forks[drawn - 1]! : 1));
  const total = count.reduce((sum, paths) => sum + paths, 0);
  const tokens = new Int32Array(total * length);
  const of = new Int32Array(total);
  for (let i = 0, prompt = 0; prompt < prompts; prompt++) {
    for (let path = 0; path < count[prompt]!; path++, i++) {
      of[i] = prompt;
      // Bit by bit which of a fork's nodes is taken.
      let bits = path;
      for (let h = 0; h < length; h++) {
        const ways: number[] = [];
        for (let j = prompt * size + starts[h]!; j < prompt * size + starts[h + 1]!; j++) {
          if (open[j] === 1) ways.push(nodes[j]!);
        }
        let way = 0;
        if (ways.length === 2) {
          if (rule[prompt]! >= 0) way = ways.findIndex((v) => ((v ^ h) & 1) === rule[prompt]);
          else {
            way = bits & 1;
            bits >>= 1;
          }
        }
        tokens[i * length + h] = ways[way]!;
      }
    }
  }
  return { prompts: of, tokens, offsets: Float64Array.from({ length: total + 1 }, (_, i) => i * length) };
}
