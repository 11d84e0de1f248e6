/**
 * @file How things are timed: compile and warm up first (a GPU lowers its clock while shaders compile), then samples long
 * enough for the clock; two subjects that are compared take turns.
 */

/** Something to time. `run(times)` does it that often and resolves when the device is done. */
export interface Subject {
  run(times: number): Promise<void>;
}

export interface TimingOptions {
  /** Samples taken. */
  repeats: number;
  /** Run at least this long before the first sample, in ms. */
  warmUpMs: number;
  /** A sample lasts about this long or one run, whichever is longer, in ms. */
  sampleMs: number;
}

/** Most runs in a sample: recorded lists stay short. */
const mostRuns = 256;

async function seconds(subject: Subject, times: number): Promise<number> {
  const start = performance.now();
  await subject.run(times);
  return (performance.now() - start) / 1000;
}

/** Compile, warm up, and find how many runs make a sample. */
async function warmUp(subject: Subject, { warmUpMs, sampleMs }: TimingOptions): Promise<number> {
  await subject.run(1);
  const start = performance.now();
  let times = 1;
  do {
    const perRun = (await seconds(subject, times)) / times;
    times = Math.min(mostRuns, Math.max(1, Math.ceil(sampleMs / 1000 / Math.max(perRun, 1e-9))));
  } while (performance.now() - start < warmUpMs);
  return times;
}

/** Seconds of one run, of every sample of every subject; the subjects take turns. `[subject][repeat]` */
export async function timeInTurns(subjects: readonly Subject[], options: TimingOptions): Promise<number[][]> {
  const times: number[] = [];
  for (const subject of subjects) times.push(await warmUp(subject, options));
  const samples = subjects.map((): number[] => []);
  for (let repeat = 0; repeat < options.repeats; repeat++)
    for (const [i, subject] of subjects.entries())
      samples[i]!.push((await seconds(subject, times[i]!)) / times[i]!);
  return samples;
}

/** Seconds of one run, of every sample. `[repeat]` */
export async function time(subject: Subject, options: TimingOptions): Promise<number[]> {
  return (await timeInTurns([subject], options))[0]!;
}
