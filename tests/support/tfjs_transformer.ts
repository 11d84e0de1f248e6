/**
 * @file The same decoder written with TensorFlow.js operations and differentiated by TensorFlow.js: an oracle of gradients
 * that shares no code with the engine or the float64 reference. CPU backend, float32.
 */
import * as tf from '@tensorflow/tfjs';
import type { LoraConfig, ModelConfig } from '../../src/gpu/model/config.ts';

/** Weights by the reference's names, LoRA matrices included. */
export type TfWeights = Record<string, tf.Tensor>;

/** Logits [T, V] of one sequence. */
export function tfLogits(
  config: ModelConfig,
  weights: TfWeights,
  lora: LoraConfig | null,
  tokens: readonly number[],
): tf.Tensor2D {
  const T = tokens.length;
  const { numHeads: H, numKvHeads: Kv, headDim: d } = config;
  const linear = (name: string, x: tf.Tensor2D): tf.Tensor2D => {
    let y = tf.matMul<tf.Tensor2D>(x, weights[`${name}.weight`]!, false, true);
    const bias = weights[`${name}.bias`];
    if (bias) y = y.add(bias) as tf.Tensor2D;
    const a = weights[`${name}.lora_A`];
    if (!lora || !a) return y;
    const inner = tf.matMul<tf.Tensor2D>(x, a, false, true);
    const branch = tf.matMul<tf.Tensor2D>(inner, weights[`${name}.lora_B`]!, false, true);
    return y.add(branch.mul(lora.alpha / lora.r)) as tf.Tensor2D;
  };
  const norm = <X extends tf.Tensor>(name: string, x: X): X =>
    x.div(x.square().mean(-1, true).add(config.rmsNormEps).sqrt()).mul(weights[name]!) as X;

  const [cos, sin] = rotations(config, T);
  const rotate = (x: tf.Tensor3D): tf.Tensor3D => {
    const [low, high] = tf.split(x, 2, 2) as [tf.Tensor3D, tf.Tensor3D];
    return x.mul(cos).add(tf.concat([high.neg(), low], 2).mul(sin)) as tf.Tensor3D;
  };
  // [T, heads · d] → [heads, T, d]
  const heads = (x: tf.Tensor2D, count: number): tf.Tensor3D =>
    x.reshape([T, count, d]).transpose([1, 0, 2]) as tf.Tensor3D;
  const repeat = (x: tf.Tensor3D): tf.Tensor3D =>
    tf.tile(x.expandDims(1), [1, H / Kv, 1, 1]).reshape([H, T, d]) as tf.Tensor3D;
  const causal = tf.tensor2d(
    Array.from({ length: T }, (_, t) => Array.from({ length: T }, (_, s) => (s <= t ? 0 : -1e9))),
  );

  let x = tf.matMul<tf.Tensor2D>(
    tf.oneHot(tf.tensor1d([...tokens], 'int32'), config.vocabSize).toFloat(),
    weights['model.embed_tokens.weight']!,
  );
  for (let layer = 0; layer < config.numLayers; layer++) {
    const at = `model.layers.${layer}`;
    const h = norm(`${at}.input_layernorm.weight`, x);
    let q = heads(linear(`${at}.self_attn.q_proj`, h), H);
    let k = heads(linear(`${at}.self_attn.k_proj`, h), Kv);
    const v = heads(linear(`${at}.self_attn.v_proj`, h), Kv);
    if (config.qkNorm) {
      q = norm(`${at}.self_attn.q_norm.weight`, q);
      k = norm(`${at}.self_attn.k_norm.weight`, k);
    }
    const scores = tf
      .matMul(rotate(q), repeat(rotate(k)), false, true)
      .div(Math.sqrt(d))
      .add(causal);
    const mixed = tf.matMul(tf.softmax(scores), repeat(v));
    const joined = mixed.transpose([1, 0, 2]).reshape([T, H * d]) as tf.Tensor2D;
    x = x.add(linear(`${at}.self_attn.o_proj`, joined)) as tf.Tensor2D;
    const m = norm(`${at}.post_attention_layernorm.weight`, x);
    const gate = linear(`${at}.mlp.gate_proj`, m);
    const inner = gate.mul(gate.sigmoid()).mul(linear(`${at}.mlp.up_proj`, m)) as tf.Tensor2D;
    x = x.add(linear(`${at}.mlp.down_proj`, inner)) as tf.Tensor2D;
  }
  const head = config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return tf.matMul<tf.Tensor2D>(norm('model.norm.weight', x), weights[head]!, false, true);
}

/** cos and sin of every position and channel, [T, d]: both halves of a head turn by the same angles. */
function rotations(config: ModelConfig, T: number): [tf.Tensor2D, tf.Tensor2D] {
  const half = config.headDim / 2;
  const scaled = (f: number): number => {
    const s = config.ropeScaling;
    if (!s) return f;
    const turns = (s.originalMaxPositionEmbeddings * f) / (2 * Math.PI);
    const share = (turns - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor);
    const blend = Math.min(1, Math.max(0, share));
    return f * (blend + (1 - blend) / s.factor);
  };
  const angles = Array.from({ length: T }, (_, t) =>
    Array.from({ length: config.headDim }, (_, i) => t * scaled(config.ropeTheta ** (-(i % half) / half))),
  );
  return [tf.tensor2d(angles).cos(), tf.tensor2d(angles).sin()];
}

/** Log-probs [T − 1] of tokens 1 … T − 1 at a temperature. */
export function tfLogprobs(logits: tf.Tensor2D, tokens: readonly number[], temperature: number): tf.Tensor1D {
  const [T, V] = logits.shape;
  const predicting = logits.slice([0, 0], [T - 1, V]).div(temperature);
  const targets = tf.oneHot(tf.tensor1d(tokens.slice(1), 'int32'), V);
  return tf.logSoftmax(predicting).mul(targets).sum(1);
}

/** A scalar of the weights, and its gradient with respect to the named ones. */
export function tfGradients(
  weights: ReadonlyMap<string, Float64Array | Float32Array>,
  shapes: ReadonlyMap<string, readonly number[]>,
  trained: readonly string[],
  loss: (weights: TfWeights) => tf.Scalar,
): { value: number; gradients: Map<string, Float32Array> } {
  const result = { value: 0, gradients: new Map<string, Float32Array>() };
  tf.tidy(() => {
    const tensors: TfWeights = {};
    for (const [name, data] of weights)
      tensors[name] = tf.tensor(Float32Array.from(data), [...shapes.get(name)!]);
    const { value, grads } = tf.valueAndGrads((...xs: tf.Tensor[]) =>
      loss({ ...tensors, ...Object.fromEntries(trained.map((name, i) => [name, xs[i]!])) }),
    )(trained.map((name) => tensors[name]!));
    result.value = value.dataSync()[0]!;
    trained.forEach((name, i) => result.gradients.set(name, Float32Array.from(grads[i]!.dataSync())));
  });
  return result;
}
