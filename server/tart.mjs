#!/usr/bin/env node
/** @file `tart`: starts the TypeScript command line through tsx, so that a checkout needs no build step. */
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./cli/main.ts');
await main(process.argv.slice(2));
