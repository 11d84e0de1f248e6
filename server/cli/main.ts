/**
 * @file The `tart` command line: parses, explains, and turns the outcome into an exit code:
 * 0 done, 1 failed with a reason, 2 wrong usage.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { InputError, TartError, UsageError } from '../../src/core/errors.ts';
import { releaseDawn } from '../dawn.ts';
import type { CommandName } from './commands.ts';
import { commandFlags, commandInfo, runCommand } from './commands.ts';
import type { Flag, FlagTable } from './flag_types.ts';
import { nearest, resolveFlags, unknownFlag } from './resolve.ts';

const version = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Run `tart` with its arguments and set the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await execute(argv);
  releaseDawn();
}

/** Run `tart` and return its exit code; messages go to stderr. */
export async function execute(argv: readonly string[]): Promise<number> {
  try {
    await program().parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      return report(usageOf(error, argv));
    }
    return report(error);
  }
}

function report(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`tart: ${error.message}\n`);
    return 2;
  }
  if (error instanceof TartError) process.stderr.write(`tart: ${error.message}\n`);
  else if (error instanceof DOMException && error.name === 'AbortError') {
    process.stderr.write('tart: stopped. Continue with the same command and --resume.\n');
  } else
    process.stderr.write(
      `tart: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  return 1;
}

/** Commander's own complaints in our words. */
function usageOf(error: CommanderError, argv: readonly string[]): UsageError {
  const command = argv.find((a) => !a.startsWith('-')) ?? '';
  const names = Object.keys(commandFlags);
  if (error.code === 'commander.unknownOption' && command in commandFlags) {
    const name = /--([^'=\s]+)/.exec(error.message)?.[1] ?? error.message;
    return unknownFlag(name, command, commandFlags[command as CommandName], commandFlags);
  }
  if (error.code === 'commander.unknownCommand' || (command && !names.includes(command))) {
    const near = nearest(command, names);
    return new UsageError(
      `Unknown command ${JSON.stringify(command)}.`,
      near ? `Did you mean \`tart ${near}\`?` : 'See `tart --help`.',
    );
  }
  if (error.code === 'commander.help') return new UsageError('Name a command.', 'See `tart --help`.');
  return new UsageError(error.message.replace(/^error: /, ''), 'See `tart --help`.');
}

function program(): Command {
  const root = new Command('tart')
    .description('Train conversational recommenders with SFT and GRPO on WebGPU.')
    .version(version)
    .configureHelp({ optionDescription: (option) => option.description })
    .configureOutput({ writeErr: () => undefined })
    .exitOverride()
    .addHelpText(
      'after',
      `
The recipe:  explore → prepare → sft → grpo → inference → evaluate
Start with:  tart demo          Learn one command:  tart grpo --help
Flags keep the original scripts' names; --config FILE (JSON) holds the same names, flags win.
Exit codes: 0 done, 1 failed with a reason, 2 wrong usage.`,
    );
  for (const name of Object.keys(commandFlags) as CommandName[]) addCommand(root, name);
  return root;
}

function addCommand(root: Command, name: CommandName): void {
  const table: FlagTable = commandFlags[name];
  const command = root
    .command(name)
    .summary(commandInfo[name].summary)
    .description(`${commandInfo[name].summary}\n\n${commandInfo[name].teach}`)
    .allowExcessArguments(false)
    .configureHelp({ optionDescription: (option) => option.description })
    .configureOutput({ writeErr: () => undefined })
    .exitOverride()
    .action(async (raw: Record<string, unknown>) => {
      const file = typeof raw.config === 'string' ? readConfig(raw.config) : {};
      await runCommand(name, resolveFlags(name, table, [file, raw], commandFlags) as never);
    });
  const byGroup = Object.entries(table).sort(([, a], [, b]) => groupOrder(table, a) - groupOrder(table, b));
  for (const [flag, spec] of byGroup) {
    const option = new Option(`--${flag} ${placeholder(spec)}`, describe(spec)).helpGroup(`${spec.group}:`);
    if (spec.type === 'bool') option.preset(true);
    command.addOption(option);
  }
}

const groupOrder = (table: FlagTable, flag: Flag): number => {
  const groups = [...new Set(Object.values(table).map((f) => f.group))];
  return flag.group === 'Run' ? groups.length : groups.indexOf(flag.group);
};

function placeholder(flag: Flag): string {
  if (flag.type === 'bool') return '[bool]';
  if (flag.type === 'choice') return '<choice>';
  return `<${flag.type === 'string' ? 'text' : flag.type}>`;
}

function describe(flag: Flag): string {
  const notes: string[] = [];
  if (flag.type === 'choice') notes.push(flag.choices.join(' | '));
  if ('default' in flag && flag.default !== undefined && flag.default !== false)
    notes.push(`default ${Array.isArray(flag.default) ? flag.default.join(',') : String(flag.default)}`);
  return notes.length ? `${flag.help} (${notes.join('; ')})` : flag.help;
}

/** The flags of a --config file. */
function readConfig(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageError(`--config ${path} cannot be read.`, 'Give the path of a JSON file.', { cause });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
    return value as Record<string, unknown>;
  } catch (cause) {
    throw new InputError(
      `${path} is not a JSON object of flags (${(cause as Error).message}).`,
      'Correct the file.',
      {
        cause,
      },
    );
  }
}
