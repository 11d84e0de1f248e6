import { expect, it } from 'vitest';
import type { RunEvent } from '../../core/run_event.ts';
import { metricsCsv } from './metrics_csv.ts';

const step = (seq: number, number: number, metrics: Record<string, number>): RunEvent => ({
  seq,
  time: 0,
  type: 'step',
  stage: 'sft',
  step: number,
  metrics,
});

it('has a column for every metric of any step and joins events of one step', () => {
  const csv = metricsCsv([
    step(0, 1, { loss: 2.5, 'odd,name': 1 }),
    { seq: 1, time: 0, type: 'progress', stage: 'sft', done: 1, total: 2, unit: 'steps' },
    step(2, 2, { loss: 2 }),
    step(3, 2, { eval_loss: 3 }),
  ]);
  expect(csv.split('\r\n')).toEqual([
    'stage,step,loss,"odd,name",eval_loss',
    'sft,1,2.5,1,',
    'sft,2,2,,3',
    '',
  ]);
});
