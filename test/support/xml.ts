/** Well-formed XML, as far as covn writes it: no comments, no entities of its own. */

import { expect } from 'vitest';

/** Asserts that tags nest, attributes are quoted and nothing is left unescaped. */
export function expectWellFormed(xml: string): void {
  const open: string[] = [];
  const tag = /<(\/?)([a-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/giy;
  const text = /[^<>&]*(?:&(?:amp|lt|gt|quot|apos|#\d+);[^<>&]*)*/y;
  let at = 0;
  while (at < xml.length) {
    text.lastIndex = at;
    text.exec(xml);
    if (text.lastIndex === xml.length) break;
    tag.lastIndex = text.lastIndex;
    const found = tag.exec(xml);
    if (!found) throw new Error(`no tag at ${text.lastIndex}: ${xml.slice(text.lastIndex, text.lastIndex + 80)}`);
    const [, closes, name, attributes, empty] = found;
    const names = [...attributes!.matchAll(/([\w:-]+)="/g)].map(([, attribute]) => attribute);
    expect(new Set(names).size).toBe(names.length);
    if (closes) expect(open.pop()).toBe(name);
    else if (!empty) open.push(name!);
    at = tag.lastIndex;
  }
  expect(open).toEqual([]);
}
