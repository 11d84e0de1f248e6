/**
 * @file Full training state: trainable parameters, AdamW's moments and the step counter (which also keys dropout), bit for bit.
 * `state.json` says what it belongs to and carries a checksum of `state.safetensors`.
 */
import * as v from 'valibot';
import { CheckpointError } from '../../core/errors.ts';
import type { PolicyFiles } from '../../core/policy.ts';
import { mapFiles } from '../formats/memory_files.ts';
import { singleFile } from '../formats/open_model.ts';
import { openSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { FlatTensors } from '../model/parameters.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { readTensor, sizeOf, writeTensor } from '../runtime/tensor.ts';
import type { AdamW } from './optimizer.ts';

export const stateFile = 'state.json';
export const stateTensorsFile = 'state.safetensors';

const schema = v.object({
  version: v.literal(1),
  step: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** What was trained: compared as text. */
  identity: v.unknown(),
  bytes: v.number(),
  checksum: v.number(),
});

/** The state as files. Without an optimizer (nothing was trained yet) there are no moments. */
export async function writeState(
  gpu: GpuContext,
  identity: unknown,
  parameters: FlatTensors,
  optimizer: AdamW | null,
): Promise<PolicyFiles> {
  const parts: [string, Tensor][] = [['parameters', parameters.flat]];
  if (optimizer && optimizer.step > 0) parts.push(['m', optimizer.m.flat], ['v', optimizer.v.flat]);
  const tensors = [];
  for (const [name, tensor] of parts)
    tensors.push({ name, shape: tensor.shape, data: await readTensor(gpu, tensor) });
  const bytes = writeSafetensors(tensors);
  const json = {
    version: 1,
    step: optimizer?.step ?? 0,
    identity,
    bytes: bytes.byteLength,
    checksum: checksum(bytes),
  };
  return new Map([
    [stateFile, new TextEncoder().encode(JSON.stringify(json, null, 2) + '\n')],
    [stateTensorsFile, bytes],
  ]);
}

/** Restore what `writeState` gave. `optimizer` is asked for only when there are moments or a step to restore. */
export async function readState(
  gpu: GpuContext,
  identity: unknown,
  parameters: FlatTensors,
  files: PolicyFiles,
  optimizer: () => AdamW,
): Promise<void> {
  const torn = 'Take the previous checkpoint.';
  const [json, bytes] = [files.get(stateFile), files.get(stateTensorsFile)];
  if (!json || !bytes)
    throw new CheckpointError(`The checkpoint lacks ${json ? stateTensorsFile : stateFile}.`, torn);
  const parsed = v.safeParse(schema, parse(json));
  if (!parsed.success) throw new CheckpointError(`${stateFile} is not a training state.`, torn);
  const state = parsed.output;
  if (JSON.stringify(state.identity) !== JSON.stringify(identity))
    throw new CheckpointError(
      'The checkpoint belongs to another model or another LoRA configuration.',
      'Resume with the model and the LoRA flags it was made with.',
    );
  if (bytes.byteLength !== state.bytes || checksum(bytes) !== state.checksum)
    throw new CheckpointError(`${stateTensorsFile} does not match its checksum: it is torn.`, torn);
  const file = await openSafetensors(mapFiles('checkpoint', files), stateTensorsFile);
  writeTensor(gpu, parameters.flat, await file.read('parameters'));
  const adamw = optimizer();
  adamw.step = state.step;
  for (const [name, tensor] of [
    ['m', adamw.m.flat],
    ['v', adamw.v.flat],
  ] as const)
    writeTensor(
      gpu,
      tensor,
      file.tensors.has(name) ? await file.read(name) : new Float32Array(tensor.shape[0]!),
    );
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(json));
  } catch {
    return null;
  }
}

/** FNV-1a over 32-bit words (and the bytes that are left). */
function checksum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = bytes.byteLength >> 2;
  let hash = 0x811c9dc5;
  for (let i = 0; i < words; i++) hash = Math.imul(hash ^ view.getUint32(4 * i, true), 0x01000193);
  for (let i = 4 * words; i < bytes.byteLength; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

/** All weights by Hugging Face's names, as `model.safetensors`. */
export async function writeFullWeights(gpu: GpuContext, parameters: FlatTensors): Promise<PolicyFiles> {
  const values = await readTensor(gpu, parameters.flat);
  const tensors = parameters.layout.entries.map(({ name, shape, offset }) => ({
    name,
    shape,
    data: values.subarray(offset, offset + sizeOf(shape)),
  }));
  return new Map([[singleFile, writeSafetensors(tensors)]]);
}
