/** @file The float64 losses against `../shared/golden/grpo_losses.json` (skipped where the folder is absent). */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { grpoLossChecks, worstError } from '../../../tests/golden/grpo_losses.ts';
import { parseGrpoLosses } from '../../../tests/golden/grpo_losses_schema.ts';

const file = new URL('../../../../shared/golden/grpo_losses.json', import.meta.url);

if (!existsSync(file))
  it.skip('golden losses: ../shared/golden/grpo_losses.json is not here', () => undefined);
else
  describe('grpo_losses.json in float64', () => {
    const checks = grpoLossChecks(parseGrpoLosses(readFileSync(file, 'utf8')));
    it.each(checks.map((c) => [c.name, c] as const))('%s', (_, check) => {
      expect(worstError(check)).toBeLessThan(check.tolerance);
    });
  });
