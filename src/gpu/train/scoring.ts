/** @file Scoring without gradients: log-probs of every token, and logits, of whole sequences. */
import type { ModelRunner } from '../model/runner.ts';
import { microBatches, spread } from './micro_batch.ts';
import { pack, splitByTokens } from './packing.ts';

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
