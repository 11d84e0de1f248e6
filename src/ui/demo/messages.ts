/** @file What the page and its training worker say to each other: a discriminated union each way, checked on arrival. */
import * as v from 'valibot';
import { runEventSchema } from '../../pipeline/run/event_schema.ts';

/** Page → worker. */
export const requestSchema = v.variant('type', [
  v.object({
    type: v.literal('run'),
    seed: v.pipe(v.number(), v.integer(), v.minValue(0)),
    quick: v.boolean(),
    /** Where the demo's files are served. */
    files: v.pipe(v.string(), v.url()),
  }),
  v.object({ type: v.literal('stop') }),
]);
export type DemoRequest = v.InferOutput<typeof requestSchema>;

/** Worker → page. */
export const reportSchema = v.variant('type', [
  v.object({ type: v.literal('device'), name: v.string() }),
  v.object({ type: v.literal('stage'), title: v.string() }),
  v.object({ type: v.literal('event'), event: runEventSchema }),
  v.object({ type: v.literal('table'), text: v.string() }),
  v.object({ type: v.literal('failed'), message: v.string() }),
]);
export type DemoReport = v.InferOutput<typeof reportSchema>;
