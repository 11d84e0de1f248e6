/** @file What a dispatch costs: a recorded list of tiny ones, replayed. */
import { DeviceError } from '../../src/core/errors.ts';
import type { GpuContext } from '../../src/gpu/runtime/context.ts';
import { DispatchList } from '../../src/gpu/runtime/dispatch_list.ts';
import { createTensor } from '../../src/gpu/runtime/tensor.ts';
import { elementwise, flatGrid } from '../../src/gpu/runtime/wgsl.ts';
import type { Report } from './report.ts';
import type { TimingOptions } from './timing.ts';
import { time } from './timing.ts';

/** Numbers that each dispatch changes. */
const width = 64;
/** Dispatches in the list: about those of a training step of a model of thirty layers. */
const length = 1000;

/** Microseconds per dispatch, wall clock and on the host alone. Every dispatch waits for the one before, as layers do. */
export async function benchDispatch(gpu: GpuContext, timing: TimingOptions, report: Report): Promise<void> {
  const x = createTensor(gpu, 'bench counters', [width], 'u32');
  try {
    const list = new DispatchList(gpu);
    const spec = elementwise('bench_count', width, {}, { x: 'u32' }, 'x[i] += 1u;');
    for (let i = 0; i < length; i++) list.add(spec, [x], flatGrid(width));
    let replays = 0;
    let hostSeconds = 0;
    const host: number[] = [];
    const subject = {
      run: async (times: number) => {
        hostSeconds = 0;
        for (let i = 0; i < times; i++) {
          const start = performance.now();
          list.submit();
          hostSeconds += (performance.now() - start) / 1000;
        }
        await gpu.device.queue.onSubmittedWorkDone();
        gpu.assertAlive();
        replays += times;
        host.push(hostSeconds / times);
      },
    };
    const wall = await time(subject, timing);
    const counters = new Uint32Array(await gpu.read(x.buffer, 0, width * 4));
    if (counters.some((count) => count !== replays * length))
      throw new DeviceError(
        `${replays * length} dispatches counted to ${counters[0]}.`,
        'Its speed means nothing: please report it with the name of the GPU and its driver.',
      );
    const microseconds = (perReplay: readonly number[]) => perReplay.map((s) => (s / length) * 1e6);
    const shape = { dispatches: length, invocations: width };
    report.measured('dispatch', shape, 'µs', microseconds(wall));
    report.measured('dispatch_host', shape, 'µs', microseconds(host.slice(-timing.repeats)));
  } finally {
    gpu.destroyBuffer(x.buffer);
  }
}
