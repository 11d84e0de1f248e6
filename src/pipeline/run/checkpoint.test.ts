import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import { CheckpointStore } from './checkpoint.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);
const files = (step: number) =>
  new Map([
    ['state.json', new TextEncoder().encode(`{"step":${step}}`)],
    ['weights/adapter.bin', bytes(step, 2, 3, 4, 5, 6, 7, 8)],
    ['empty.bin', bytes()],
  ]);

describe('CheckpointStore', () => {
  it('gives back what was saved', async () => {
    const checkpoints = new CheckpointStore(new MemoryStore());
    expect(await checkpoints.latest()).toEqual({ checkpoint: null, damaged: [] });
    const path = await checkpoints.save(12, files(12));
    const { checkpoint, damaged } = await checkpoints.latest();
    expect(checkpoint).toEqual({ step: 12, path, files: files(12) });
    expect(damaged).toEqual([]);
  });

  it('keeps the last K and those asked for', async () => {
    const store = new MemoryStore();
    const checkpoints = new CheckpointStore(store, { keepLast: 2 });
    for (let step = 1; step <= 6; step++) await checkpoints.save(step, files(step), { keep: step === 2 });
    const steps = new Set([...store.files.keys()].map((path) => Number(path.split('/')[1]!.slice(5))));
    expect([...steps].sort()).toEqual([2, 5, 6]);
  });

  it('uses the previous one whatever is cut, flipped or removed in the newest', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(),
        fc.constantFrom('cut', 'flip', 'remove'),
        fc.integer({ min: 1, max: 255 }),
        async (which, where, how, mask) => {
          const store = new MemoryStore();
          const checkpoints = new CheckpointStore(store);
          await checkpoints.save(1, files(1));
          const newest = await checkpoints.save(2, files(2));
          const victims = [...store.files].filter(([path, b]) => path.startsWith(newest) && b.length > 0);
          const [path, whole] = victims[which % victims.length]!;
          const at = where % whole.length;
          if (how === 'remove') store.files.delete(path);
          else if (how === 'cut') store.files.set(path, whole.slice(0, at));
          else
            store.files.set(
              path,
              whole.map((b, i) => (i === at ? b ^ mask : b)),
            );
          const found = await checkpoints.latest();
          expect(found.checkpoint?.step).toBe(1);
          expect(found.checkpoint?.files).toEqual(files(1));
          expect(found.damaged.map((d) => d.path)).toEqual([newest]);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('survives a crash at every single write of a save', async () => {
    const countWrites = async (): Promise<number> => {
      const store = new MemoryStore();
      let n = 0;
      const write = store.write.bind(store);
      store.write = (...args) => (n++, write(...args));
      await new CheckpointStore(store).save(2, files(2));
      return n;
    };
    const total = await countWrites();
    for (let crash = 0; crash < total; crash++) {
      const store = new MemoryStore();
      await new CheckpointStore(store).save(1, files(1));
      const write = store.write.bind(store);
      let n = 0;
      store.write = (...args) => (n++ === crash ? Promise.reject(new Error('killed')) : write(...args));
      await expect(new CheckpointStore(store).save(2, files(2))).rejects.toThrow('killed');
      store.write = write;
      const again = new CheckpointStore(store);
      expect((await again.latest()).checkpoint?.step).toBe(1);
      await again.save(2, files(2));
      expect((await again.latest()).checkpoint?.files).toEqual(files(2));
    }
  });

  it('refuses file names that leave the folder', async () => {
    const checkpoints = new CheckpointStore(new MemoryStore());
    await expect(checkpoints.save(1, new Map([['../x', bytes(1)]]))).rejects.toThrow(/cannot be a file/);
  });
});
