/** @file Scoring without gradients: log-probs of every token, and logits, of whole sequences. */
import type { TrainSequence } from '../../core/policy.ts';
import type { ModelRunner } from '../model/runner.ts';
import { lossMasks, microBatches, spread } from './micro_batch.ts';
import { pack, planPacks } from './packing.ts';
import { emptyRecord, recordMetrics } from './step_record.ts';

/** Log-prob of every token given those before it, at a temperature; entry 0 is 0. [T] each */
export async function scoreSequences(
  runner: ModelRunner,
  sequences: readonly (readonly number[])[],
  tokenBudget: number,
  temperature: number,
): Promise<Float32Array[]> {
  const results = sequences.map((s) => new Float32Array(s.length));
  const masks = sequences.map((s) => new Uint8Array(s.length).fill(1));
  // Nothing goes backward: all but the last token of a sequence may be shared.
  const shareable = sequences.map((s) => s.length - 1);
  const micro = microBatches(sequences, masks, tokenBudget, shareable);
  const pending = micro.map((part) => {
    runner.load(part.packed, part.judged, temperature);
    runner.forward();
    return runner.statistics();
  });
  const statistics = await Promise.all(pending);
  micro.forEach((part, i) => spread(part, statistics[i]!.logprobs, results));
  return results;
}

/** Cross-entropy of a batch and its metrics, without gradients. */
export async function evaluateBatch(
  runner: ModelRunner,
  batch: readonly TrainSequence[],
  tokenBudget: number,
): Promise<Record<string, number>> {
  const masks = lossMasks(batch);
  const record = emptyRecord(batch, masks, { kind: 'sft' });
  const micro = microBatches(
    batch.map((s) => s.tokens),
    masks,
    tokenBudget,
  );
  for (const part of micro) {
    runner.load(part.packed, part.judged);
    runner.forward();
    const { logprobs, entropies, correct } = await runner.statistics();
    spread(part, logprobs, record.logprobs);
    spread(part, entropies, record.entropies);
    spread(part, correct, record.correct);
    record.loss -= logprobs.reduce((a, b) => a + b, 0) / Math.max(1, record.lossTokens);
  }
  return recordMetrics(record);
}

/** Logits of every position. [T, V] each */
export async function sequenceLogits(
  runner: ModelRunner,
  sequences: readonly (readonly number[])[],
  tokenBudget: number,
): Promise<Float32Array[]> {
  const V = runner.weights.config.vocabSize;
  const results: Float32Array[] = [];
  for (const groups of planPacks(sequences, tokenBudget)) {
    const packed = pack(sequences, groups);
    const rows = Uint32Array.from({ length: packed.used }, (_, n) => n);
    runner.load(packed, { rows, targets: new Uint32Array(packed.used) });
    const logits = await runner.logits();
    for (const { index, start } of packed.members)
      results.push(logits.slice(start * V, (start + sequences[index]!.length) * V));
  }
  return results;
}
