/** @file Greedy and beam outputs of a golden model, and log-probs recorded while sampling. */
import type { GenerateOptions } from '../../src/core/policy.ts';
import { InputError } from '../../src/core/errors.ts';
import { readJson } from '../../src/gpu/formats/text_files.ts';
import type { CheckResult } from './check.ts';
import { absolute, failure, identical, maxDifference } from './check.ts';
import type { EngineUnderTest } from './engine_under_test.ts';
import type { GoldenModel } from './golden_model.ts';
import type { Tolerances } from './tolerances.ts';

/** Stop tokens as transformers' `generate` takes them: from generation_config.json, else from config.json. */
async function stopTokens({ files }: GoldenModel): Promise<number[]> {
  const present = await files.list();
  for (const file of ['generation_config.json', 'config.json'])
    if (present.includes(file)) {
      const { eos_token_id: eos } = (await readJson(files, file)) as {
        eos_token_id?: number | number[] | null;
      };
      if (eos !== undefined && eos !== null) return [eos].flat();
    }
  return [];
}

/** A returned sequence without the padding after its stop token. */
function untilStop(tokens: readonly number[], stops: readonly number[]): number[] {
  const end = tokens.findIndex((token) => stops.includes(token));
  return end < 0 ? [...tokens] : tokens.slice(0, end + 1);
}

export async function* generationChecks(
  golden: GoldenModel,
  engine: EngineUnderTest,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const { name, json } = golden;
  const { prompt, ...outputs } = json.generate;
  const stops = await stopTokens(golden);
  // The golden outputs do not record their limit: the longest output has it.
  const maxNewTokens = Math.max(
    ...Object.values(outputs).map((o) => (Array.isArray(o[0]) ? o[0].length : o.length)),
  );
  const write = (options: Partial<GenerateOptions>) =>
    engine.policy.generate([{ prompt, seed: 0 }], {
      maxNewTokens,
      stopTokens: stops,
      temperature: 0,
      ...options,
    });

  for (const [key, expected] of Object.entries(outputs)) {
    const kind = /^(?:greedy(?:_min(\d+))?|beam(\d+))$/.exec(key);
    if (!kind) {
      yield failure(
        name,
        `generate: ${key}`,
        new InputError(`golden.json: generate.${key} is of no known kind.`),
      );
      continue;
    }
    const [completion] = await write({
      ...(kind[1] ? { minNewTokens: Number(kind[1]) } : {}),
      ...(kind[2] ? { numBeams: Number(kind[2]) } : {}),
    });
    const wanted = (kind[2] ? (expected as number[][]) : [expected as number[]]).map((tokens) =>
      kind[1] ? tokens : untilStop(tokens, stops),
    );
    const got = kind[2]
      ? (completion!.beams ?? []).map((beam) => untilStop(beam.tokens, stops))
      : [completion!.tokens];
    if (tolerance.identicalGeneration)
      yield identical(
        name,
        `generate: ${key}`,
        wanted.map((tokens, i) => ({ actual: got[i] ?? [], expected: tokens, of: `sequence ${i}` })),
      );
    else yield await asLikely(name, `generate: ${key}`, engine, prompt, got[0] ?? [], wanted[0]!, tolerance);
  }

  const requests = [1, 2, 3].map((seed) => ({ prompt, seed }));
  const sampled = await engine.policy.generate(requests, { maxNewTokens, stopTokens: stops, temperature: 1 });
  const forced = await engine.policy.logprobs(sampled.map((c) => [...prompt, ...c.tokens]));
  const worst = sampled.map((c, i) => maxDifference(c.logprobs, forced[i]!.subarray(prompt.length)));
  yield absolute(
    name,
    'generate: recorded log-probs = teacher-forced ones',
    Math.max(...worst),
    tolerance.logprobs,
  );
}

/** With rounded weights a near tie may fall the other way: the sequence must be as likely per token as the golden one. */
async function asLikely(
  group: string,
  name: string,
  engine: EngineUnderTest,
  prompt: readonly number[],
  actual: readonly number[],
  expected: readonly number[],
  tolerance: Tolerances,
): Promise<CheckResult> {
  const same = Math.max(
    0,
    actual.findIndex((token, i) => token !== expected[i]),
  );
  const upTo = actual.every((token, i) => token === expected[i]) ? expected.length : same + 1;
  const [a, e] = await engine.policy.logprobs(
    [actual, expected].map((tokens) => [...prompt, ...tokens.slice(0, upTo)]),
  );
  const gap = Math.abs(a!.at(-1)! - e!.at(-1)!);
  return absolute(group, `${name} (as likely as the golden one)`, gap, 2 * tolerance.logprobs);
}
