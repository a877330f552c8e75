// Sets two runs of `covn bench --json` side by side.
//
//   node bench/compare.mjs BEFORE.json AFTER.json [--flag 5]
//
// Machines drift, so rates are compared as they are and as fractions of the machine's limit; a difference is marked where
// both, or the one there is, are beyond --flag percent. Exit codes: 0 done, 1 a file cannot be read, 2 wrong usage.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { aligned, digits } from './report.mjs';

function arguments_() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { flag: { type: 'string' } } });
    const percent = Number(values.flag ?? 5);
    if (positionals.length === 2 && percent >= 0) return { files: positionals, percent };
  } catch {
    // An unknown option: the usage says which there are.
  }
  console.error('usage: node bench/compare.mjs BEFORE.json AFTER.json [--flag PERCENT]');
  process.exit(2);
}

function read(file) {
  try {
    const run = JSON.parse(readFileSync(file, 'utf8'));
    if (!Array.isArray(run.results)) throw new Error('no list "results"');
    return run;
  } catch (error) {
    console.error(`${file}: expected what "covn bench --json" prints but found ${error.message}`);
    process.exit(1);
  }
}

const key = ({ suite, case: name, by, metric }) => [suite, name, by, metric].join('\n');

/** After as a multiple of before: of the value, and of its fraction of the machine's limit where both have one. */
function changes(before, after) {
  const ofLimit = before.ofLimit && after.ofLimit && after.ofLimit / before.ofLimit;
  return [after.value / before.value, ...(ofLimit ? [ofLimit] : [])];
}

/** What is marked: a change that every way of looking at it shows. */
function mark(ratios, percent) {
  if (ratios.every((ratio) => ratio > 1 + percent / 100)) return 'more';
  if (ratios.every((ratio) => ratio < 1 - percent / 100)) return 'LESS';
  return '';
}

function compare(before, after, percent) {
  const measured = before.results.filter(({ status }) => status === 'measured');
  const later = new Map(after.results.filter(({ status }) => status === 'measured').map((each) => [key(each), each]));
  const rows = [];
  for (const a of measured) {
    const b = later.get(key(a));
    later.delete(key(a));
    const name = `${a.suite}: ${a.case}, ${a.by}`;
    if (!b) {
      rows.push([name, digits(a.value), '', a.unit, '', '', 'only before']);
      continue;
    }
    const ratios = changes(a, b);
    const [value, ofLimit] = ratios.map((ratio) => ratio.toFixed(3));
    rows.push([name, digits(a.value), digits(b.value), a.unit, value, ofLimit ?? '', mark(ratios, percent)]);
  }
  for (const b of later.values()) {
    rows.push([`${b.suite}: ${b.case}, ${b.by}`, '', digits(b.value), b.unit, '', '', 'only after']);
  }
  return rows;
}

const { files, percent } = arguments_();
const [before, after] = files.map(read);
for (const [name, { machine, command }] of Object.entries({ before, after })) {
  console.log(
    `${name}: ${command}; covn ${machine.covn} (${machine.device}, ${machine.threads} threads), ${machine.processor}`,
  );
}
const sameMachine =
  before.machine.processor === after.machine.processor && before.machine.threads === after.machine.threads;
if (!sameMachine) console.log('The runs are of different machines or threads.');
const header = ['', 'before', 'after', '', 'after / before', 'of limit', `beyond ${percent} %`];
console.log(`\n${aligned([header, ...compare(before, after, percent)])}`);
