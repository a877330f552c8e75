/** Tables of responses as automata, for the addon. */

import type { CheckedAutomaton, CheckedTable } from './rewards.ts';

/** Larger ones are looked up by JavaScript: their states and tokens would fill memory with -1. */
const mostEntries = 2 ** 26;

/**
 * The trie of a table's responses: a state for each beginning, a column for each token that occurs and one for all others.
 * Undefined where it would be too large.
 */
export function tableAutomaton(table: CheckedTable, prompts: number, vocab: number): CheckedAutomaton | undefined {
  const { tokens, offsets } = table;
  const classes = new Uint32Array(vocab);
  let columns = 1;
  for (const token of tokens) if (classes[token] === 0) classes[token] = columns++;
  // State 0 is that of prompts without responses.
  const start = new Int32Array(prompts);
  const values = [table.otherwise];
  const edges = new Map<number, number>();
  const addState = () => values.push(table.otherwise) - 1;
  for (let i = 0; i < table.prompts.length; i++) {
    const prompt = table.prompts[i]!;
    if (start[prompt] === 0) start[prompt] = addState();
    let state = start[prompt]!;
    for (let h = offsets[i]!; h < offsets[i + 1]!; h++) {
      const edge = state * columns + classes[tokens[h]!]!;
      let next = edges.get(edge);
      if (next === undefined) {
        next = addState();
        edges.set(edge, next);
      }
      state = next;
    }
    values[state] = table.values[i]!;
  }
  if (values.length * columns > mostEntries) return undefined;
  const next = new Int32Array(values.length * columns).fill(-1);
  for (const [edge, state] of edges) next[edge] = state;
  return { columns, classes, next, start, values: Float64Array.from(values), rejected: table.otherwise };
}
