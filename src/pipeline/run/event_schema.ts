/** @file The shape of a run event as it stands in a file: checked once, when a log is read. */
import * as v from 'valibot';
import type { RunEvent } from '../../core/run_event.ts';

const number = v.number();
const text = v.string();
const numbers = v.array(number);
const stage = v.picklist(['explore', 'prepare', 'sft', 'grpo', 'inference', 'evaluate']);
const stamp = { seq: v.pipe(number, v.integer(), v.minValue(0)), time: number, stage };
const anything = v.record(text, v.unknown());
/** JSON has no NaN or infinity: they are written as null and read back as NaN. */
const metric = v.pipe(
  v.nullable(number),
  v.transform((x) => x ?? Number.NaN),
);

const turn = v.object({
  response: text,
  reply: text,
  intent: v.picklist(['recommendation', 'inquiry', 'malformed']),
  listed: v.array(text),
  retrieved: numbers,
  shown: v.boolean(),
  hit: v.boolean(),
  accepted: v.boolean(),
});

const rollout = v.object({
  key: text,
  dialogue: text,
  generation: number,
  turns: v.array(turn),
  reward: number,
  success: v.object({
    shown: v.boolean(),
    retrieved: v.boolean(),
    accepted: v.boolean(),
    rewarded: v.boolean(),
  }),
  successTurn: number,
  edited: v.boolean(),
  malformed: number,
  seed: number,
  tokens: v.optional(v.object({ ids: numbers, lossMask: numbers, logprobs: numbers })),
});

/** One line of events.jsonl. Unknown fields are dropped, unknown event types refused. */
export const runEventSchema = v.variant('type', [
  v.object({ ...stamp, type: v.literal('config'), config: anything, version: text }),
  v.object({ ...stamp, type: v.literal('progress'), done: number, total: number, unit: text }),
  v.object({ ...stamp, type: v.literal('step'), step: number, metrics: v.record(text, metric) }),
  v.object({ ...stamp, type: v.literal('rollout'), step: number, rollout }),
  v.object({
    ...stamp,
    type: v.literal('group'),
    step: number,
    dialogue: text,
    rewards: numbers,
    advantages: numbers,
    decision: v.object({ kept: v.boolean(), reason: text }),
  }),
  v.object({
    ...stamp,
    type: v.literal('update'),
    step: number,
    rollouts: v.array(
      v.object({ key: text, logprobs: numbers, ratios: numbers, kls: numbers, clipped: numbers }),
    ),
  }),
  v.object({ ...stamp, type: v.literal('checkpoint'), step: number, path: text }),
  v.object({
    ...stamp,
    type: v.literal('cost'),
    model: text,
    promptTokens: number,
    completionTokens: number,
    costUsd: number,
  }),
  v.object({ ...stamp, type: v.literal('warning'), code: text, message: text }),
  v.object({ ...stamp, type: v.literal('metrics'), name: text, metrics: anything }),
  v.object({ ...stamp, type: v.literal('done'), summary: anything }),
]) satisfies v.GenericSchema<unknown, RunEvent>;
