/** @file Where the embedded demo lies. */
import { join } from 'node:path';
import { demoFolder } from '../paths.ts';

/** A file of the demo. */
export const demoFile = (name: string): string => join(demoFolder, name);

/** Folder of the demo model. */
export const modelFolder = demoFile('model');
