/** @file Causal scaled dot-product attention with grouped key/value heads. */
import type { ModelConfig } from '../model/config.ts';
import type { Matrix } from './matrix.ts';
import { zeros } from './matrix.ts';

/** Attention's output and its backward pass, which gives one gradient for each of q, k, v. */
export interface AttentionLayer {
  y: Matrix;
  backward: (dy: Matrix) => { dq: Matrix; dk: Matrix; dv: Matrix };
}

/** q [T, H·d], k and v [T, Hkv·d] → y [T, H·d]; query head h reads key/value head ⌊h / (H/Hkv)⌋. */
export function attention(config: ModelConfig, q: Matrix, k: Matrix, v: Matrix): AttentionLayer {
  const { numHeads, numKvHeads, headDim: d } = config;
  const T = q.rows;
  const scale = 1 / Math.sqrt(d);
  const y = zeros(T, q.cols);
  const kvColumn = (head: number): number => Math.floor(head / (numHeads / numKvHeads)) * d;
  /** Softmax weights [H][T][≤ T]. */
  const weights: number[][][] = [];

  for (let head = 0; head < numHeads; head++) {
    const kv = kvColumn(head);
    weights.push([]);
    for (let t = 0; t < T; t++) {
      const scores: number[] = [];
      for (let s = 0; s <= t; s++) {
        let dot = 0;
        for (let i = 0; i < d; i++) dot += q.data[t * q.cols + head * d + i]! * k.data[s * k.cols + kv + i]!;
        scores.push(dot * scale);
      }
      const max = Math.max(...scores);
      const exps = scores.map((x) => Math.exp(x - max));
      const sum = exps.reduce((a, b) => a + b, 0);
      const p = exps.map((x) => x / sum);
      weights[head]!.push(p);
      p.forEach((share, s) => {
        for (let i = 0; i < d; i++)
          y.data[t * y.cols + head * d + i]! += share * v.data[s * v.cols + kv + i]!;
      });
    }
  }

  return {
    y,
    backward(dy) {
      const dq = zeros(T, q.cols);
      const dk = zeros(T, k.cols);
      const dv = zeros(T, v.cols);
      for (let head = 0; head < numHeads; head++) {
        const kv = kvColumn(head);
        for (let t = 0; t < T; t++) {
          const p = weights[head]![t]!;
          const dp = p.map((share, s) => {
            let dot = 0;
            for (let i = 0; i < d; i++) {
              const g = dy.data[t * dy.cols + head * d + i]!;
              dot += g * v.data[s * v.cols + kv + i]!;
              dv.data[s * dv.cols + kv + i]! += share * g;
            }
            return dot;
          });
          const mean = p.reduce((a, share, s) => a + share * dp[s]!, 0);
          p.forEach((share, s) => {
            const dScore = share * (dp[s]! - mean) * scale;
            for (let i = 0; i < d; i++) {
              dq.data[t * dq.cols + head * d + i]! += dScore * k.data[s * k.cols + kv + i]!;
              dk.data[s * dk.cols + kv + i]! += dScore * q.data[t * q.cols + head * d + i]!;
            }
          });
        }
      }
      return { dq, dk, dv };
    },
  };
}
