/** @file A transformer block: `h = x + o(attention(norm(x)))`, `y = h + mlp(norm(h))`. */
import { attention } from './attention.ts';
import { linear } from './linear.ts';
import type { LoraInputMask } from './linear.ts';
import type { Layer, Matrix } from './matrix.ts';
import { add } from './matrix.ts';
import { mlp } from './mlp.ts';
import type { ReferenceModel } from './parameters.ts';
import { rmsNorm } from './rmsnorm.ts';
import { rope } from './rope.ts';

/** Layers one after the other as one. */
function chain(first: Layer, ...next: ((x: Matrix) => Layer)[]): Layer {
  const layers = [first];
  for (const make of next) layers.push(make(layers.at(-1)!.y));
  return { y: layers.at(-1)!.y, backward: (dy) => layers.reduceRight((d, layer) => layer.backward(d), dy) };
}

/** x [T, D] → [T, D]. */
export function block(model: ReferenceModel, index: number, x: Matrix, mask?: LoraInputMask): Layer {
  const { config } = model;
  const name = `model.layers.${index}`;
  const heads = (proj: 'q' | 'k' | 'v', from: Matrix): Layer => {
    const count = proj === 'q' ? config.numHeads : config.numKvHeads;
    const projected = linear(model, `${name}.self_attn.${proj}_proj`, from, count * config.headDim, mask);
    if (proj === 'v') return projected;
    const turn = (z: Matrix): Layer => rope(config, z);
    if (!config.qkNorm) return chain(projected, turn);
    return chain(
      projected,
      (z) => rmsNorm(model, `${name}.self_attn.${proj}_norm.weight`, z, config.headDim),
      turn,
    );
  };

  const norm1 = rmsNorm(model, `${name}.input_layernorm.weight`, x);
  const q = heads('q', norm1.y);
  const k = heads('k', norm1.y);
  const v = heads('v', norm1.y);
  const mixed = attention(config, q.y, k.y, v.y);
  const o = linear(model, `${name}.self_attn.o_proj`, mixed.y, config.hiddenSize, mask);
  const h = add(x, o.y);
  const feed = chain(rmsNorm(model, `${name}.post_attention_layernorm.weight`, h), (z) =>
    mlp(model, `${name}.mlp`, z, mask),
  );

  return {
    y: add(h, feed.y),
    backward(dy) {
      const dh = add(dy, feed.backward(dy));
      const { dq, dk, dv } = mixed.backward(o.backward(dh));
      const dNorm = add(add(q.backward(dq), k.backward(dk)), v.backward(dv));
      return add(dh, norm1.backward(dNorm));
    },
  };
}
