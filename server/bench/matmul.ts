/**
 * @file FLOP/s of the matrix products of a model, each through the engine's own choice of kernel, checked against f64 on sampled
 * entries of a poisoned output; and the same products by TensorFlow.js on the same operands.
 */
import { DeviceError } from '../../src/core/errors.ts';
import { Rng } from '../../src/core/random.ts';
import type { MatmulKind } from '../../src/gpu/kernels/matmul.ts';
import { chooseMatmul, recordMatmul } from '../../src/gpu/kernels/matmul.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import { linearShape } from '../../src/gpu/model/config.ts';
import { chunkRows, defaultChunkBytes } from '../../src/gpu/model/head.ts';
import { fusedModules, type FusedLinear } from '../../src/gpu/model/weights.ts';
import type { GpuContext } from '../../src/gpu/runtime/context.ts';
import { DispatchList } from '../../src/gpu/runtime/dispatch_list.ts';
import type { Tensor } from '../../src/gpu/runtime/tensor.ts';
import { createTensor } from '../../src/gpu/runtime/tensor.ts';
import { noiseAt, noiseTensor, poison } from './noise.ts';
import type { Report } from './report.ts';
import type { Tfjs } from './tfjs.ts';
import { withTfjs } from './tfjs.ts';
import type { Subject, TimingOptions } from './timing.ts';
import { timeInTurns } from './timing.ts';

/** A product c[m,n] of inner dimension k, see `MatmulKind`. */
export interface Product {
  layer: string;
  kind: MatmulKind;
  m: number;
  n: number;
  k: number;
}

/** Products of a training step over T tokens, logits in chunks of so many bytes: forward (NT), gradient of the input (NN) and of the weight (TN), and square ones. */
export function productsOf(
  config: ModelConfig,
  tokens: number,
  logitsBytes: number,
  square: number,
): Product[] {
  const products: Product[] = [];
  for (const layer of Object.keys(fusedModules) as FusedLinear[]) {
    const shapes = fusedModules[layer].map((module) => linearShape(config, module));
    const out = shapes.reduce((sum, [rows]) => sum + rows, 0);
    const width = shapes[0]![1];
    products.push(
      { layer, kind: 'NT', m: tokens, n: out, k: width },
      { layer, kind: 'NN', m: tokens, n: width, k: out },
      { layer, kind: 'TN', m: out, n: width, k: tokens },
    );
  }
  const rows = Math.min(tokens, chunkRows(config, logitsBytes));
  const { vocabSize: V, hiddenSize: D } = config;
  products.push({ layer: 'head', kind: 'NT', m: rows, n: V, k: D });
  products.push({ layer: 'head', kind: 'NN', m: rows, n: D, k: V });
  for (const kind of ['NT', 'NN', 'TN'] as const)
    products.push({ layer: 'square', kind, m: square, n: square, k: square });
  return products;
}

/** How far a sampled entry may be from f64, as a share of Σ|a·b|: f32 sums of a few ten thousand terms stay far below. */
const tolerance = 1e-5;

/** Places of `c` that are checked: its corners and some in between. `[row, column]` */
function samplePlaces({ m, n }: Product): [number, number][] {
  const rng = new Rng(m).fork(n);
  const inner = Array.from({ length: 20 }, (): [number, number] => [rng.int(m), rng.int(n)]);
  return [[0, 0], [0, n - 1], [m - 1, 0], [m - 1, n - 1], ...inner];
}

const seeds = { a: 1, b: 2 };

/** Worst error of sampled entries, as a share of Σ|a·b|. Throws `DeviceError` beyond the tolerance. */
function checkEntries(
  p: Product,
  places: readonly [number, number][],
  got: ArrayLike<number>,
  who: string,
): number {
  let worst = 0;
  places.forEach(([row, column], s) => {
    let sum = 0;
    let size = 0;
    for (let t = 0; t < p.k; t++) {
      const x = noiseAt(seeds.a, p.kind === 'TN' ? t * p.m + row : row * p.k + t);
      const y = noiseAt(seeds.b, p.kind === 'NT' ? column * p.k + t : t * p.n + column);
      sum += x * y;
      size += Math.abs(x * y);
    }
    const error = Math.abs(got[s]! - sum) / Math.max(size, 1e-9);
    if (!(error <= tolerance))
      throw new DeviceError(
        `${who}: the ${p.kind} product ${p.m}×${p.n}×${p.k} has ${got[s]} at [${row}, ${column}], float64 says ${sum}.`,
        'Its speed means nothing: please report it with the name of the GPU and its driver.',
      );
    worst = Math.max(worst, error);
  });
  return worst;
}

/** Operands and output of a product on the GPU. */
interface Operands {
  a: Tensor;
  b: Tensor;
  c: Tensor;
}

/** Our product as a subject: a recorded list that holds it as often as a sample wants it. */
function ourSubject(gpu: GpuContext, p: Product, tensors: Operands): Subject {
  const lists = new Map<number, DispatchList>();
  return {
    run: async (times) => {
      let list = lists.get(times);
      if (!list) {
        lists.set(times, (list = new DispatchList(gpu)));
        for (let i = 0; i < times; i++) recordMatmul(gpu, list, p, tensors);
      }
      list.submit();
      await gpu.device.queue.onSubmittedWorkDone();
      gpu.assertAlive();
    },
  };
}

/** Measure one product, with TensorFlow.js in turns where it is given. */
async function measureProduct(
  gpu: GpuContext,
  p: Product,
  precision: 'f32' | 'f16',
  timing: TimingOptions,
  report: Report,
  tfjs: Tfjs | null,
): Promise<void> {
  const { layer, kind, m, n, k } = p;
  const weightDtype = kind === 'TN' ? 'f32' : precision;
  const shapeB = kind === 'NT' ? [n, k] : [k, n];
  const a = noiseTensor(gpu, 'bench a', kind === 'TN' ? [k, m] : [m, k], seeds.a);
  const b = noiseTensor(gpu, 'bench b', shapeB, seeds.b, weightDtype);
  const c = createTensor(gpu, 'bench c', [m, n]);
  // TensorFlow.js stores f32: the same values once more where ours are f16.
  const b32 = tfjs && weightDtype === 'f16' ? noiseTensor(gpu, 'bench b32', shapeB, seeds.b) : b;
  try {
    const ours = ourSubject(gpu, p, { a, b, c });
    const places = samplePlaces(p);
    poison(gpu, c);
    await ours.run(1);
    const entries = await Promise.all(
      places.map(
        async ([row, column]) => new Float32Array(await gpu.read(c.buffer, 4 * (row * n + column), 4))[0]!,
      ),
    );
    const error = checkEntries(p, places, entries, 'tart');
    const shape = { layer, kind, m, n, k, weights: weightDtype };
    const flops = (perRun: readonly number[]) => perRun.map((s) => (2 * m * n * k) / s);
    const facts = { kernel: chooseMatmul(gpu, p), worst_error: error };
    if (!tfjs) {
      const [mine] = await timeInTurns([ours], timing);
      report.measured('matmul', shape, 'FLOP/s', flops(mine!), facts);
      return;
    }
    const theirs = tfjs.product(kind, a, b32);
    try {
      const theirError = checkEntries(p, places, await theirs.entries(places), 'TensorFlow.js');
      const [mine, other] = await timeInTurns([ours, theirs], timing);
      report.measured('matmul', shape, 'FLOP/s', flops(mine!), facts);
      report.measured('matmul_tfjs', { ...shape, weights: 'f32' }, 'FLOP/s', flops(other!), {
        precision: 'f32',
        worst_error: theirError,
      });
      const ratios = mine!.map((s, i) => other![i]! / s);
      report.measured('matmul_ratio', shape, 'ours/tfjs', ratios);
    } finally {
      await theirs.dispose();
    }
  } finally {
    for (const t of new Set([a, b, c, b32])) gpu.destroyBuffer(t.buffer);
  }
}

/** All products of a model, one after another. */
export async function benchMatmul(
  gpu: GpuContext,
  config: ModelConfig,
  tokens: number,
  precision: 'f32' | 'f16',
  timing: TimingOptions,
  report: Report,
  compare: boolean,
): Promise<void> {
  const square = gpu.capabilities.software ? 256 : 4096;
  for (const p of productsOf(config, tokens, defaultChunkBytes(gpu.capabilities), square)) {
    // TensorFlow.js keeps what it allocated: a backend a product, so that the outputs of one do not crowd the next.
    if (compare)
      await withTfjs(gpu.device, (tfjs) => measureProduct(gpu, p, precision, timing, report, tfjs));
    else await measureProduct(gpu, p, precision, timing, report, null);
  }
}
