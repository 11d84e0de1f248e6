/**
 * @file `npm run setup`: everything a fresh machine needs, with nothing but Node 20 on it.
 *
 * 1. The packages of package-lock.json.
 * 2. A Vulkan driver for Dawn: the GPU's own, or SwiftShader (a software one), which Debian's Chromium brings along.
 * 3. With `--browser`: a Chromium to run the page's tests in.
 *
 * Plain JavaScript and Node's own modules only: it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const wantBrowser = process.argv.includes('--browser');
const say = (text) => console.log(`setup: ${text}`);

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  return { ok: result.status === 0, output: `${result.stdout ?? ''}${result.stderr ?? ''}` };
}

function fail(what, remedy) {
  console.error(`setup: ${what}\n       ${remedy}`);
  process.exit(1);
}

/** `npm ci`, unless node_modules already is what the lock file says. */
function installPackages() {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) fail(`Node ${process.versions.node} is too old.`, 'Install Node 20.19 or newer.');
  const stamp = `${root}node_modules/.setup-stamp`;
  const lock = createHash('sha256')
    .update(readFileSync(`${root}package-lock.json`))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('installing packages (npm ci) …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const result = run(npm, ['ci', '--no-audit', '--no-fund'], { shell: process.platform === 'win32' });
  if (!result.ok)
    fail(`npm ci failed:\n${result.output}`, 'Check the network and the npm registry, then run it again.');
  writeFileSync(stamp, lock);
}

const chromiumPaths = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const swiftShader = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
];
const hasGpu = () => existsSync('/dev/nvidia0') || existsSync('/dev/dri/renderD128');
const hasVulkanLoader = () => run('sh', ['-c', 'ldconfig -p | grep -q libvulkan.so.1']).ok;

/** Install Debian packages; the reason it could not be done otherwise. */
function aptInstall(packages) {
  if (!run('sh', ['-c', 'command -v apt-get']).ok) return 'this system has no apt-get';
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && !run('sudo', ['-n', 'true']).ok) return 'it needs root, and sudo asks for a password';
  const command = (args) => {
    const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args];
    return isRoot ? run(apt[0], apt.slice(1)) : run('sudo', ['-n', ...apt]);
  };
  say(`installing ${packages.join(' ')} (apt-get) …`);
  let result = command(['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  if (!result.ok) {
    command(['update', '-qq']);
    result = command(['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  }
  return result.ok ? null : result.output.trim().split('\n').slice(-3).join('\n');
}

/** The Vulkan loader and, without a GPU, a software driver. */
function installDrivers() {
  if (process.platform !== 'linux') return; // Dawn speaks Metal and D3D12 there.
  const missing = [];
  if (!hasVulkanLoader()) missing.push('libvulkan1');
  const software = !hasGpu() || process.env.TART_SOFTWARE_GPU === '1';
  const explicit =
    process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES || process.env.TART_SWIFTSHADER_ICD;
  const needsChromium =
    (software && !explicit && !swiftShader.some(existsSync)) || (wantBrowser && !findChromium());
  if (needsChromium) missing.push('chromium');
  if (!missing.length) return;
  const why = aptInstall(missing);
  if (why)
    fail(
      `could not install ${missing.join(' and ')}: ${why}.`,
      `Install ${missing.join(' and ')} with your system's package manager, or point VK_ICD_FILENAMES at a Vulkan driver's manifest.`,
    );
}

function findChromium() {
  return process.env.CHROMIUM_PATH ?? chromiumPaths.find(existsSync);
}

installPackages();
installDrivers();
if (process.argv.includes('--verbose'))
  say(
    `Node ${process.versions.node}, ${hasGpu() ? 'GPU' : 'software GPU'}, Chromium ${findChromium() ?? 'not needed'}, ` +
      `commit ${run('git', ['rev-parse', '--short', 'HEAD']).output.trim()}`,
  );
