/**
 * @file TensorBoard event files, written by hand: TFRecord frames around `tensorflow.Event` protobufs with scalar
 * summaries. A frame is: length (u64), masked CRC of the length (u32), data, masked CRC of the data (u32), little-endian.
 */
import type { RunEvent } from '../../core/run_event.ts';
import { maskedCrc32c } from './crc32c.ts';

/** Scalars of one moment. */
export interface ScalarEvent {
  /** Seconds since the epoch. */
  wallTime: number;
  step: number;
  scalars: Record<string, number>;
}

/** Name that TensorBoard recognises; `seconds` of the run's start keeps two runs of a folder apart. */
export function tensorboardFileName(seconds: number, host = 'tart'): string {
  return `events.out.tfevents.${String(Math.floor(seconds)).padStart(10, '0')}.${host}`;
}

/** First record of every event file: `Event{wall_time, file_version: "brain.Event:2"}`. */
export function tensorboardHeader(wallTime: number): Uint8Array {
  return frame([...double(1, wallTime), ...bytesField(3, utf8('brain.Event:2'))]);
}

/** One record: `Event{wall_time, step, summary: {value: [{tag, simple_value}]}}`. */
export function tensorboardRecord(event: ScalarEvent): Uint8Array {
  const summary: number[] = [];
  for (const [tag, value] of Object.entries(event.scalars))
    summary.push(...bytesField(1, [...bytesField(1, utf8(tag)), ...float(2, value)]));
  return frame([...double(1, event.wallTime), ...varintField(2, event.step), ...bytesField(5, summary)]);
}

/**
 * The scalars of a run event, tagged as the Hugging Face trainers tag them (`train/loss`, `eval/loss` for `eval_loss`), or
 * null when there are none.
 */
export function scalarsOf(event: RunEvent): ScalarEvent | null {
  if (event.type !== 'step') return null;
  const scalars: Record<string, number> = {};
  for (const [name, value] of Object.entries(event.metrics))
    scalars[name.startsWith('eval_') ? `eval/${name.slice(5)}` : `train/${name}`] = value;
  return { wallTime: event.time / 1000, step: event.step, scalars };
}

/** A whole event file of a run. */
export function tensorboardFile(events: readonly RunEvent[]): Uint8Array {
  const parts = [tensorboardHeader((events[0]?.time ?? 0) / 1000)];
  for (const event of events) {
    const scalars = scalarsOf(event);
    if (scalars) parts.push(tensorboardRecord(scalars));
  }
  return concat(parts);
}

const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

/** Protobuf varint of a non-negative integer below 2^53. */
function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return out;
}

const varintField = (field: number, value: number): number[] => [field << 3, ...varint(value)];
const bytesField = (field: number, data: number[]): number[] => [
  (field << 3) | 2,
  ...varint(data.length),
  ...data,
];

function double(field: number, value: number): number[] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value, true);
  return [(field << 3) | 1, ...new Uint8Array(view.buffer)];
}

function float(field: number, value: number): number[] {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value, true);
  return [(field << 3) | 5, ...new Uint8Array(view.buffer)];
}

function frame(data: number[]): Uint8Array {
  const out = new Uint8Array(16 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc32c(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(out.subarray(12, 12 + data.length)), true);
  return out;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
