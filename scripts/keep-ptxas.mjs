// Runs the CUDA compiler (its arguments are the command), and keeps what ptxas says of each kernel beside the object, for
// check-spills.mjs, rather than on the terminal.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const [command, ...args] = process.argv.slice(2);
const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
if (error) throw error;
const [said, rest] = [[], []];
for (const line of stderr.split('\n')) {
  const kept = /^ptxas info|^ {4}\d+ bytes stack frame/.test(line);
  if (kept) said.push(line);
  // C75..: products of tensor cores that are done one after another.
  if (!kept || /\(C75\d\d\)/.test(line)) rest.push(line);
}
const place = args.indexOf('-o');
const object = place >= 0 && args[place + 1];
if (object) writeFileSync(`${object}.ptxas`, `${said.join('\n')}\n`);
process.stdout.write(stdout);
process.stderr.write(rest.join('\n'));
process.exit(status ?? 1);
