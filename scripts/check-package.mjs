// Packs the package, installs it into an empty folder and runs it there: what a user gets is what works. Packages come from
// the cache where it has them.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const folder = mkdtempSync(path.join(tmpdir(), 'covn-package-'));
const run = (command, args, cwd = folder) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' });

try {
  run('npm', ['pack', '--pack-destination', folder], root);
  writeFileSync(path.join(folder, 'package.json'), '{ "name": "user", "private": true, "type": "module" }\n');
  run('npm', ['install', '--prefer-offline', `./covn-${version}.tgz`]);
  run('npx', ['--offline', 'covn', 'doctor', '--json']);
  run('npx', [
    '--offline',
    'covn',
    'bench',
    '--quick',
    '--no-peers',
    '--json',
    '--mib',
    '1',
    '--rows',
    '10',
    'best-of-n',
  ]);
  const demo = JSON.parse(run('npx', ['--offline', 'covn', 'demo', '--json']));
  const script = `
    import { scoreLogits } from 'covn';
    const { sequence } = await scoreLogits({ logits: new Float32Array(8), vocab: 4, targets: new Int32Array(2) });
    if (Math.abs(sequence[0] + 2 * Math.log(4)) > 1e-6) throw new Error(String(sequence));`;
  run(process.execPath, ['--input-type=module', '-e', script]);
  console.log(`The packed package installs, builds and runs (demo keys: ${Object.keys(demo).join(', ')})`);
} catch (error) {
  console.error(error.stdout ?? '', error.stderr ?? '', error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
