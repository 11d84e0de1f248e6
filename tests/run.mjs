/**
 * @file `npm test`: every check of the project, in order of cost, each with its time. The closing line sums up what the
 * test runners counted. A step that fails does not hide the ones after it.
 *
 *     npm test                  everything
 *     npm test -- unit golden   only the steps whose name contains one of the words
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name) => `${root}node_modules/.bin/${name}`;
const tsx = (...args) => [process.execPath, ['--import', 'tsx', ...args]];

const steps = [
  { name: 'types', command: [bin('tsc'), ['--noEmit']] },
  { name: 'lint', command: [bin('eslint'), ['.']] },
  { name: 'format', command: [bin('prettier'), ['--check', '--log-level', 'warn', '.']] },
  { name: 'unit', command: [bin('vitest'), ['run']], count: countVitest },
  { name: 'golden on Dawn', command: tsx('tests/golden/run.ts'), count: countGolden },
  { name: 'golden in Chromium', command: tsx('tests/golden/run.ts', '--browser'), count: countGolden },
  { name: 'page', command: [bin('vite'), ['build', '--logLevel', 'warn']] },
];

/** Vitest's `Tests  3 failed | 20 passed | 1 skipped (24)`. */
function countVitest(output) {
  const line = [...output.matchAll(/^\s*Tests\s+(.*)$/gm)].at(-1)?.[1] ?? '';
  const of = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: of('passed'), failed: of('failed'), skipped: of('skipped') };
}

/** The golden suite's closing line. */
function countGolden(output) {
  const match = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  return match ? { passed: Number(match[1]), failed: Number(match[2]), skipped: 0 } : null;
}

function run([command, args]) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    let output = '';
    const keep = (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

const wanted = process.argv.slice(2);
const chosen = steps.filter((s) => !wanted.length || wanted.some((w) => s.name.includes(w)));
const total = { passed: 0, failed: 0, skipped: 0 };
const summary = [];
for (const step of chosen) {
  console.log(`\n── ${step.name} ${'─'.repeat(Math.max(0, 60 - step.name.length))}`);
  const started = Date.now();
  const { code, output } = await run(step.command);
  const counted = step.count?.(output.replace(/\u001b\[[0-9;]*m/g, '')) ?? {
    passed: code === 0 ? 1 : 0,
    failed: 0,
    skipped: 0,
  };
  if (code !== 0 && counted.failed === 0) counted.failed = 1;
  for (const key of Object.keys(total)) total[key] += counted[key];
  summary.push(
    `${code === 0 ? '✓' : '✗'} ${step.name.padEnd(20)} ${((Date.now() - started) / 1000).toFixed(1)} s`,
  );
}
console.log(`\n${summary.join('\n')}\n`);
const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed ? 1 : 0;
