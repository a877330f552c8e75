// Builds the addon with node-gyp. Runs as the package's install script, so it uses only what Node ships and this
// package's own dependencies.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

// Node's own headers lie beside the binary where Node was installed from its Unix archives; with them node-gyp has nothing
// to download. Elsewhere (Windows) node-gyp fetches them once, as it does for every addon.
const prefix = path.dirname(path.dirname(process.execPath));
const hasHeaders = existsSync(path.join(prefix, 'include', 'node', 'node_api.h'));
const configured = process.env.npm_config_nodedir;

const nodeGyp = path.join(path.dirname(require.resolve('node-gyp/package.json')), 'bin', 'node-gyp.js');
// configure and build, not rebuild: objects that are still good stay.
const args = [nodeGyp, 'configure', 'build', '--jobs=max'];
if (!configured && hasHeaders) args.push(`--nodedir=${prefix}`);

const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
if (error) throw error;
process.exit(status ?? 1);
