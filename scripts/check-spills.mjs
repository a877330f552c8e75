// Registers and local memory of every kernel of the CUDA addon, for each architecture: what ptxas said when
// build-cuda.mjs compiled them. Fails where a kernel keeps anything in local memory: registers that were spilled, or an array
// that is indexed by what is only known when it runs; and where ptxas gave up overlapping a kernel's products. Every kernel counts as hot unless it is named below, with the reason.
//
//   node scripts/check-spills.mjs [--all]     --all: a line for each architecture, in place of the most registers
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** [the beginning of a kernel's name, why its local memory costs nothing that counts]. */
const exempt = [];

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { variables } = JSON.parse(readFileSync(path.join(root, 'native', 'sources.json'), 'utf8'));
const folder = path.join(root, 'build-cmake', 'native', 'cuda', 'CMakeFiles', 'covn_cuda_backend.dir');

function refuse(message) {
  console.error(`covn: ${message}`);
  process.exit(1);
}

/** Of each kernel and architecture: registers, bytes of the stack frame, and bytes of spill stores and loads. */
function parse(text) {
  const kernels = [];
  let current;
  for (const line of text.split('\n')) {
    const compiling = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line);
    if (compiling) {
      current = { name: compiling[1], architecture: compiling[2], registers: 0, frame: 0, spilled: 0 };
      kernels.push(current);
    }
    const bytes = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    // Functions that are not inlined have lines of their own, after their kernel's: their frames are the kernel's.
    if (bytes && current) {
      current.frame += Number(bytes[1]);
      current.spilled += Number(bytes[2]) + Number(bytes[3]);
    }
    const used = /Used (\d+) registers/.exec(line);
    if (used && current) current.registers = Number(used[1]);
  }
  return kernels;
}

if (!existsSync(folder)) refuse('Expected the CUDA addon to be built but it is not: npm run build:cuda');
const said = readdirSync(folder).filter((name) => name.endsWith('.cu.o.ptxas'));
const present = new Set(variables.covn_cuda_sources.map((source) => `${path.basename(source)}.o.ptxas`));
const found = said
  .filter((name) => present.has(name))
  .flatMap((name) => parse(readFileSync(path.join(folder, name), 'utf8')));
const silent = [...present].filter((name) => !said.includes(name));
if (found.length === 0 || silent.length > 0) {
  refuse(
    `Expected what ptxas said of each source in ${folder} but found none of ${silent.join(', ')}: npm run build:cuda`,
  );
}
const serialised = said
  .filter((name) => present.has(name))
  .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').split('\n'))
  .filter((line) => /C75\d\d/.test(line));
if (serialised.length > 0)
  refuse(`Expected products of tensor cores to overlap but ptxas says\n${serialised.join('\n')}`);
const names = [...new Set(found.map(({ name }) => name))];
const filter = ['cu++filt', 'c++filt']
  .map((command) => spawnSync(command, { input: `${names.join('\n')}\n`, encoding: 'utf8' }))
  .find(({ status }) => status === 0);
const readable = filter ? filter.stdout.trim().split('\n') : names;
const short = new Map(
  names.map((name, i) => [
    name,
    readable[i]
      .replaceAll('(anonymous namespace)::', '')
      .replaceAll('covn::cuda::', '')
      .replaceAll('covn::', '')
      .replace(/^void /, '')
      .replace(/\(.*$/, ''),
  ]),
);

const architectures = [...new Set(found.map(({ architecture }) => architecture))];
const left = variables.covn_cuda_architectures.filter((name) => !architectures.includes(`sm_${name}`));
if (left.length > 0) console.log(`Not compiled here: ${left.map((name) => `sm_${name}`).join(', ')}`);

const shown = [];
const bad = [];
for (const name of names) {
  const each = found.filter((kernel) => kernel.name === name);
  const called = short.get(name);
  const allowed = exempt.find(([start]) => called.startsWith(start));
  for (const kernel of each) {
    if (kernel.frame + kernel.spilled > 0 && !allowed) bad.push(kernel);
  }
  const lines = process.argv.includes('--all')
    ? each.map((kernel) => [kernel.architecture, kernel])
    : [[`${each.length} architectures`, each.reduce((a, b) => (b.registers > a.registers ? b : a))]];
  for (const [where, { registers, frame, spilled }] of lines) {
    shown.push([called, where, registers, frame, spilled, allowed ? `(${allowed[1]})` : '']);
  }
}
shown.sort(([a], [b]) => (a < b ? -1 : 1));
const width = Math.max(...shown.map(([name]) => name.length));
console.log(`${'kernel'.padEnd(width)}  registers  frame  spilled`);
for (const [name, where, registers, frame, spilled, why] of shown) {
  const numbers = [`${registers}`.padStart(9), `${frame}`.padStart(5), `${spilled}`.padStart(7)];
  console.log(`${name.padEnd(width)}  ${numbers.join('  ')}  ${where} ${why}`.trimEnd());
}
for (const { name, architecture, frame, spilled } of bad) {
  console.error(
    `covn: ${short.get(name)} has a frame of ${frame} bytes and ${spilled} bytes of spill code on ${architecture}`,
  );
}
console.log(
  `${names.length} kernels on ${architectures.join(', ')}: ${bad.length} of ${found.length} keep local memory`,
);
process.exit(bad.length === 0 ? 0 : 1);
