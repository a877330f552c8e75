// Sets two runs of `covn bench --json` side by side.
//
//   node bench/compare.mjs BEFORE.json AFTER.json [--flag 5]
//
// Rates are compared as fractions of the machine's limit where both runs have that, since machines drift; otherwise as
// they are. Differences beyond --flag percent are marked. Exit codes: 0 done, 1 a file cannot be read, 2 wrong usage.
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

// Versions of peers change their names, not what they are.
const key = ({ suite, case: name, by, metric }) => [suite, name, by, metric].join('\n');

/** After as a multiple of before; below 1 is slower, or for sizes smaller. */
function ratio(before, after) {
  const comparable = before.ofLimit !== undefined && after.ofLimit !== undefined;
  return comparable ? after.ofLimit / before.ofLimit : after.value / before.value;
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
      rows.push([name, digits(a.value), '', a.unit, '', 'only before']);
      continue;
    }
    const change = ratio(a, b);
    const mark = Math.abs(change - 1) * 100 <= percent ? '' : change > 1 ? 'more' : 'LESS';
    rows.push([name, digits(a.value), digits(b.value), a.unit, change.toFixed(3), mark]);
  }
  for (const b of later.values()) {
    rows.push([`${b.suite}: ${b.case}, ${b.by}`, '', digits(b.value), b.unit, '', 'only after']);
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
const header = ['', 'before', 'after', '', 'after / before', `beyond ${percent} %`];
console.log(`\n${aligned([header, ...compare(before, after, percent)])}`);
