/**
 * @file Counter-based random numbers on the GPU: WGSL twins of `pcg32`, `hash32` and `toUnit` of `src/core/random.ts`.
 * A number depends only on the integers it is keyed by, never on which thread draws it or what else is in the batch.
 */

/**
 * WGSL functions to paste before a kernel:
 * - `pcg32(u32) → u32`, `hash2(a, b)`, `hash3(a, b, c)`: the same bits as the TypeScript functions;
 * - `unit(bits) → f32`: `toUnit` rounded to f32, so in (0, 1]: the highest of its 2²⁴ values rounds up to 1;
 * - `exponential(bits) → f32`: a variate of Exp(1), `−log(1 − v)` with v = (bits + ½)/2³², always finite and above 0. Small
 *   values, which decide a Gumbel race, keep the full resolution of 32 bits.
 */
export const randomWgsl = /* wgsl */ `
fn pcg32(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}
fn hash2(a: u32, b: u32) -> u32 { return pcg32(pcg32(a) ^ b); }
fn hash3(a: u32, b: u32, c: u32) -> u32 { return pcg32(pcg32(pcg32(a) ^ b) ^ c); }
fn unit(bits: u32) -> f32 { return (f32(bits >> 8u) + 0.5) * 5.9604644775390625e-8; }
fn exponential(bits: u32) -> f32 {
  let v = (f32(bits) + 0.5) * 2.3283064365386963e-10;
  // WGSL promises log only to 2⁻²¹ absolute near 1: a small v takes the series −log(1 − v) = Σ vⁿ/n, exact to f32 here.
  if (v < 0.125) {
    return v * (1.0 + v * (0.5 + v * (0.33333333 + v * (0.25 + v * (0.2 + v * (0.16666667 + v * 0.14285714))))));
  }
  return -log(max(1.0 - v, 2.9802322387695312e-8));
}
`;
