/** @file The kinds of command-line flag, and the typed configuration that a table of them stands for. */

interface FlagBase {
  help: string;
  /** Heading in `--help`. */
  group: string;
  /** Shown in help where the recipe's own value differs from the default or needs a word. */
  note?: string;
}

export type Flag = FlagBase &
  (
    | { type: 'int' | 'float'; default?: number; min?: number; max?: number }
    | { type: 'string'; default?: string }
    | { type: 'choice'; choices: readonly string[]; default?: string }
    | { type: 'list'; default?: readonly string[] }
    | { type: 'bool'; default: boolean }
  );

/** The value a flag resolves to: undefined when it has no default and was not given. */
export type FlagValue<F extends Flag> = F extends { type: 'int' | 'float' }
  ? F extends { default: number }
    ? number
    : number | undefined
  : F extends { type: 'bool' }
    ? boolean
    : F extends { type: 'list' }
      ? F extends { default: readonly string[] }
        ? string[]
        : string[] | undefined
      : F extends { type: 'choice'; choices: readonly (infer C)[] }
        ? F extends { default: string }
          ? C
          : C | undefined
        : F extends { default: string }
          ? string
          : string | undefined;

export type FlagTable = Record<string, Flag>;
export type Values<T extends FlagTable> = { [K in keyof T]: FlagValue<T[K]> };
