// Makes a checkout ready to run: installs the locked packages, builds the addon and compiles the TypeScript, each only
// when missing or older than what it is made from. Uses only what Node ships.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => path.join(root, ...parts);

function run(what, command, args) {
  console.error(`covn: ${what} ...`);
  // Builders talk much; their words are shown only when they fail.
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  console.error(`${stdout ?? ''}${stderr ?? ''}${error ?? ''}`);
  console.error(`covn: ${what} failed: ${command} ${args.join(' ')}`);
  process.exit(1);
}

function newest(...files) {
  let time = 0;
  for (const file of files) {
    const stat = statSync(file);
    if (!stat.isDirectory()) time = /\.md$|CMakeLists\.txt$/.test(file) ? time : Math.max(time, stat.mtimeMs);
    else time = Math.max(time, newest(...readdirSync(file).map((name) => path.join(file, name))));
  }
  return time;
}

const isOlder = (file, ...sources) => !existsSync(file) || statSync(file).mtimeMs < newest(...sources);

// The lock file that node_modules was installed from.
const lockHash = createHash('sha256')
  .update(readFileSync(at('package-lock.json')))
  .digest('hex');
const stamp = at('node_modules', '.covn-lock');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lockHash) {
  // The npm that runs this script, without a shell in between; by name where there is none.
  const npm = process.env.npm_execpath;
  const [command, ...first] = npm ? [process.execPath, npm] : ['npm'];
  run('installing packages', command, [...first, 'ci', '--ignore-scripts']);
  writeFileSync(stamp, lockHash);
}

const native = ['include', 'core', 'kernels', 'model', 'learn', 'binding', 'sources.json'].map((name) =>
  at('native', name),
);
if (isOlder(at('build', 'Release', 'covn.node'), ...native, at('binding.gyp'))) {
  run('building the native addon (a minute or so)', process.execPath, [at('scripts', 'build-addon.mjs')]);
}

if (isOlder(at('dist', 'index.js'), at('lib'), at('tsconfig.json'), at('tsconfig.build.json'))) {
  rmSync(at('dist'), { recursive: true, force: true });
  run('compiling TypeScript', process.execPath, [
    at('node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    'tsconfig.build.json',
  ]);
}

// For tests: the CUDA backend on the emulator. Those that need it are skipped where it cannot be built.
if (process.argv.includes('--emulated')) {
  const emulated = at('build-cuda', 'Release', 'covn_cuda_emulated.node');
  const canBuild = spawnSync('cmake', ['--version'], { stdio: 'ignore' }).status === 0;
  if (!canBuild) console.error('covn: without cmake, tests of the emulated CUDA backend are skipped');
  else if (isOlder(emulated, ...native, at('native', 'cuda'), at('CMakeLists.txt'))) {
    const script = at('scripts', 'build-cuda.mjs');
    run('building the emulated CUDA addon for tests (some minutes at first)', process.execPath, [script, '--emulated']);
    utimesSync(emulated, new Date(), new Date()); // what was built may not depend on what changed
  }
}
