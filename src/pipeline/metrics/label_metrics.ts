/**
 * @file The original's figures over a file of rows, in its order of summation, so that they agree to the last digit: hit@1/5/10,
 * MRR@10 and nDCG@10 per label, successful labels by the number of turns of their dialogue, successes, mean turns.
 */
import { discountedGain } from './definitions.ts';
import type { RowFacts } from './row_facts.ts';

/** The original's figures; null where there is no label. */
export interface LabelFigures {
  dialogues: number;
  labels: number;
  hit1: number | null;
  hit5: number | null;
  hit10: number | null;
  mrr: number | null;
  ndcg10: number | null;
  /** Labels hit, by the number of turns their dialogue took; at least turns 1 … 5 are listed. */
  turns: Record<string, number>;
  /** Dialogues whose row says success. */
  success: number;
  /** Mean number of turns over all dialogues. */
  avg_turn: number;
}

/** The figures over rows, in file order. */
export function labelFigures(rows: readonly RowFacts[]): LabelFigures {
  const sums = { hit1: 0, hit5: 0, hit10: 0, mrr: 0, ndcg10: 0 };
  const longest = Math.max(5, ...rows.map((r) => r.turns));
  const turns: Record<string, number> = {};
  for (let t = 1; t <= longest; t++) turns[t] = 0;
  let labels = 0;
  let success = 0;
  let turnSum = 0;
  for (const row of rows) {
    turnSum += row.turns;
    if (row.success.recorded) success++;
    for (const { rank } of row.labels) {
      labels++;
      if (rank === 0 || rank > 10) continue;
      if (rank <= 1) sums.hit1++;
      if (rank <= 5) sums.hit5++;
      sums.hit10++;
      sums.mrr += 1 / rank;
      sums.ndcg10 += discountedGain(rank);
      // A row without a recommender message has no turn to count under.
      if (row.turns > 0) turns[row.turns]!++;
    }
  }
  const mean = (sum: number) => (labels === 0 ? null : sum / labels);
  return {
    dialogues: rows.length,
    labels,
    hit1: mean(sums.hit1),
    hit5: mean(sums.hit5),
    hit10: mean(sums.hit10),
    mrr: mean(sums.mrr),
    ndcg10: mean(sums.ndcg10),
    turns,
    success,
    avg_turn: rows.length === 0 ? 0 : turnSum / rows.length,
  };
}

/** Dialogues that succeeded for the first time at turn 1, 2, …; at least turns 1 … 5 are listed. */
export function successesByTurn(rows: readonly RowFacts[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (let t = 1; t <= Math.max(5, ...rows.map((r) => r.successTurn)); t++) out[t] = 0;
  for (const { successTurn } of rows) if (successTurn > 0) out[successTurn]!++;
  return out;
}
