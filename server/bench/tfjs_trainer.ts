/**
 * @file One LoRA training step of a model written with TensorFlow.js operations, as its users would: batched, frozen weights as
 * tensors, adapter matrices as variables, its own Adam.
 */
import type { Rank, Scalar, Tensor, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs';
import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { ropeFrequencies } from '../../src/gpu/kernels/rope.ts';
import type { LoraConfig } from '../../src/gpu/model/config.ts';
import type { TfModule } from './tfjs.ts';

/** Trains on one batch of sequences of equal length, every token but the first a target. */
export interface TfjsTrainer {
  /** One step; resolves to the loss before it. */
  step(): Promise<number>;
  dispose(): void;
}

/** The start of an adapter: by parameter name as the engine gives it, `….lora_A.default.weight`. */
export type AdapterStart = ReadonlyMap<string, Float32Array>;

/** What a trainer is made of. */
export interface TfjsTrainerOptions {
  model: ModelSource;
  lora: LoraConfig;
  adapter: AdapterStart;
  /** [B][T] */
  batch: readonly (readonly number[])[];
  learningRate: number;
}

/** Upload everything and build the step. */
export async function tfjsTrainer(tf: TfModule, options: TfjsTrainerOptions): Promise<TfjsTrainer> {
  const { model, lora, adapter, batch, learningRate } = options;
  const { config: c } = model;
  const [B, T] = [batch.length, batch[0]!.length];
  const { numHeads: H, numKvHeads: Kv, headDim: d, hiddenSize: D } = c;
  const share = H / Kv;

  const weights = new Map<string, Tensor>();
  for (const [name, shape] of parameterShapes(c))
    weights.set(name, tf.tensor(await model.read(name), [...shape]));
  const variables = new Map<string, Variable<Rank.R2>>();
  for (const [name, data] of adapter) {
    const width = name.includes('lora_A') ? data.length / lora.r : lora.r;
    const start = tf.tensor2d(data, [data.length / width, width]);
    variables.set(name.replace('.default.weight', ''), tf.variable(start, true));
    start.dispose();
  }
  const ids = tf.tensor1d(batch.flat(), 'int32');
  const targets = tf.tidy(() =>
    tf
      .oneHot(
        tf.tensor1d(
          batch.flatMap((s) => s.slice(1)),
          'int32',
        ),
        c.vocabSize,
      )
      .toFloat(),
  ) as Tensor2D;
  const frequencies = [...ropeFrequencies(c), ...ropeFrequencies(c)];
  const turns = (of: (angle: number) => number) =>
    tf.tensor2d(Array.from({ length: T }, (_, t) => frequencies.map((f) => of(t * f))));
  const [cos, sin] = [turns(Math.cos), turns(Math.sin)];
  const causal = Array.from({ length: share * T }, (_, i) =>
    Array.from({ length: T }, (_, s) => (s <= i % T ? 0 : -1e9)),
  );
  const mask = tf.tensor2d(causal);

  const linear = (name: string, x: Tensor2D): Tensor2D => {
    let y = tf.matMul<Tensor2D>(x, weights.get(`${name}.weight`)!, false, true);
    const bias = weights.get(`${name}.bias`);
    if (bias) y = tf.add(y, bias);
    const a = variables.get(`${name}.lora_A`);
    if (!a) return y;
    const inner = tf.matMul(
      tf.matMul<Tensor2D>(x, a, false, true),
      variables.get(`${name}.lora_B`)!,
      false,
      true,
    );
    return tf.add(y, tf.mul(inner, lora.alpha / lora.r));
  };
  const norm = <X extends Tensor>(name: string, x: X): X =>
    tf.mul(
      tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), c.rmsNormEps))),
      weights.get(`${name}.weight`)!,
    );
  /** [B·T, heads·d] → [B·heads, T, d] */
  const heads = (x: Tensor2D, count: number): Tensor3D =>
    x
      .reshape([B, T, count, d])
      .transpose([0, 2, 1, 3])
      .reshape([B * count, T, d]);
  const rotate = (x: Tensor3D): Tensor3D => {
    const [low, high] = tf.split(x, 2, 2) as [Tensor3D, Tensor3D];
    return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(high), low], 2), sin));
  };
  const attention = (at: string, x: Tensor2D): Tensor2D => {
    let q = heads(linear(`${at}.q_proj`, x), H);
    let k = heads(linear(`${at}.k_proj`, x), Kv);
    const v = heads(linear(`${at}.v_proj`, x), Kv);
    if (c.qkNorm) {
      q = norm(`${at}.q_norm`, q);
      k = norm(`${at}.k_norm`, k);
    }
    // Query heads of one key head lie one after another: as more rows they share it without a copy.
    const rows = rotate(q).reshape<Tensor3D>([B * Kv, share * T, d]);
    const scores = tf.matMul<Tensor3D>(rows, rotate(k), false, true);
    const weighed = tf.softmax(tf.add(tf.mul(scores, 1 / Math.sqrt(d)), mask)) as Tensor3D;
    const mixed = tf.matMul<Tensor3D>(weighed, v);
    const joined = mixed
      .reshape([B, H, T, d])
      .transpose([0, 2, 1, 3])
      .reshape<Tensor2D>([B * T, H * d]);
    return linear(`${at}.o_proj`, joined);
  };
  const head = c.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  const loss = (): Scalar => {
    let x = tf.gather(weights.get('model.embed_tokens.weight')! as Tensor2D, ids);
    for (let layer = 0; layer < c.numLayers; layer++) {
      const at = `model.layers.${layer}`;
      x = tf.add(x, attention(`${at}.self_attn`, norm(`${at}.input_layernorm`, x)));
      const h = norm(`${at}.post_attention_layernorm`, x);
      const gate = linear(`${at}.mlp.gate_proj`, h);
      const hidden = tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(`${at}.mlp.up_proj`, h)) as Tensor2D;
      x = tf.add(x, linear(`${at}.mlp.down_proj`, hidden));
    }
    const predicting = x
      .reshape([B, T, D])
      .slice([0, 0, 0], [B, T - 1, D])
      .reshape<Tensor2D>([B * (T - 1), D]);
    const logits = tf.matMul<Tensor2D>(norm('model.norm', predicting), weights.get(head)!, false, true);
    return tf.losses.softmaxCrossEntropy(targets, logits).asScalar();
  };
  const optimizer = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const trained = [...variables.values()];
  return {
    step: async () => {
      const cost = optimizer.minimize(loss, true, trained)!;
      const [value] = await cost.data();
      cost.dispose();
      return value!;
    },
    dispose: () => {
      optimizer.dispose();
      for (const t of [...weights.values(), ...trained, ids, targets, cos, sin, mask]) t.dispose();
    },
  };
}
