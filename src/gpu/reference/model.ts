/** @file The whole decoder in float64: embedding, blocks, final norm, head (tied or not). One sequence at a time. */
import { block } from './block.ts';
import type { LoraInputMask } from './linear.ts';
import type { Layer, Matrix } from './matrix.ts';
import { addOuterProducts, addProduct, addProductTransposed, row, zeros } from './matrix.ts';
import type { ReferenceModel } from './parameters.ts';
import { gradient, weight } from './parameters.ts';
import { rmsNorm } from './rmsnorm.ts';

/** Logits of every position, and the backward pass from their gradient. */
export interface ForwardPass {
  /** [T, V]; row t predicts token t + 1. */
  logits: Matrix;
  /** Add to `model.gradients`. */
  backward: (dLogits: Matrix) => void;
}

const embeddingName = 'model.embed_tokens.weight';

/** Run one sequence of at least one token. */
export function forward(model: ReferenceModel, tokens: readonly number[], mask?: LoraInputMask): ForwardPass {
  const layers: Layer[] = [];
  let x = embed(model, tokens);
  for (let i = 0; i < model.config.numLayers; i++) {
    const layer = block(model, i, x, mask);
    layers.push(layer);
    x = layer.y;
  }
  layers.push(rmsNorm(model, 'model.norm.weight', x));
  layers.push(head(model, layers.at(-1)!.y));
  return {
    logits: layers.at(-1)!.y,
    backward(dLogits) {
      const dx = layers.reduceRight((d, layer) => layer.backward(d), dLogits);
      const dEmbedding = gradient(model, embeddingName);
      if (dEmbedding)
        tokens.forEach((token, t) => row(dx, t).forEach((d, i) => (dEmbedding[token * dx.cols + i]! += d)));
    },
  };
}

/** Rows of the embedding table. [T, D] */
function embed(model: ReferenceModel, tokens: readonly number[]): Matrix {
  const { hiddenSize: D, vocabSize } = model.config;
  const table = weight(model, embeddingName);
  const x = zeros(tokens.length, D);
  tokens.forEach((token, t) => {
    if (!(token >= 0 && token < vocabSize))
      throw new RangeError(`Token ${token} is not in 0 … ${vocabSize - 1}.`);
    row(x, t).set(table.subarray(token * D, (token + 1) * D));
  });
  return x;
}

/** Logits of the vocabulary; a tied head is the embedding table itself and adds to its gradient. */
function head(model: ReferenceModel, x: Matrix): Layer {
  const name = model.config.tieWordEmbeddings ? embeddingName : 'lm_head.weight';
  const w = weight(model, name);
  const y = zeros(x.rows, model.config.vocabSize);
  addProductTransposed(y, x, w);
  return {
    y,
    backward(dy) {
      const dx = zeros(x.rows, x.cols);
      addProduct(dx, dy, w);
      const dw = gradient(model, name);
      if (dw) addOuterProducts(dw, dy, x);
      return dx;
    },
  };
}
