/**
 * @file Every flag of `tart`, once: name, type, default, meaning. Names are the original scripts' (snake_case). A command
 * lists the groups it takes (`commands.ts`); a flag outside them is refused, never ignored.
 */
export * from './run.ts';
export * from './data.ts';
export * from './model.ts';
export * from './generation.ts';
export * from './episode.ts';
export * from './training.ts';
export * from './grpo.ts';
export * from './tools.ts';
