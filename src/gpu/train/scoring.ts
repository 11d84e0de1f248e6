/** @file Scoring without gradients: log-probs of every token, and logits, of whole sequences. */
import type { TrainSequence } from '../../core/policy.ts';
import type { ModelRunner } from '../model/runner.ts';
import { lossMasks, microBatches, spread } from './micro_batch.ts';
import { pack, splitByTokens } from './packing.ts';
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
  const micro = microBatches(sequences, masks, tokenBudget);
  const pending = micro.map((part) => {
    runner.load(part.packed, part.judged, temperature);
    runner.forward();
    return runner.statistics();
  });
  for (const [i, part] of micro.entries()) spread(part, (await pending[i]!).logprobs, results);
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
  const lengths = sequences.map((s) => s.length);
  for (const members of splitByTokens(lengths, tokenBudget)) {
    const used = members.reduce((sum, i) => sum + lengths[i]!, 0);
    const rows = Uint32Array.from({ length: used }, (_, n) => n);
    runner.load(pack(sequences, members), { rows, targets: new Uint32Array(used) });
    const logits = await runner.logits();
    let first = 0;
    for (const i of members) {
      results.push(logits.slice(first * V, (first + lengths[i]!) * V));
      first += lengths[i]!;
    }
  }
  return results;
}
