/** @file The k best of many scores, best first, ties by id, without sorting them all. */
import type { Scored } from '../types.ts';

/**
 * @param ids [N] item ids
 * @param scores [N]
 * @returns the min(k, N) highest scores in order; equal scores in the order of their ids
 */
export function topK(ids: ArrayLike<number>, scores: ArrayLike<number>, k: number): Scored[] {
  // A heap whose root is the worst kept entry.
  const heap: number[] = [];
  const worse = (a: number, b: number) =>
    scores[a]! < scores[b]! || (scores[a] === scores[b] && ids[a]! > ids[b]!);
  const size = Math.min(k, ids.length);
  for (let i = 0; i < ids.length && size > 0; i++) {
    if (heap.length < size) {
      heap.push(i);
      for (let at = heap.length - 1; at > 0;) {
        const parent = (at - 1) >> 1;
        if (!worse(heap[at]!, heap[parent]!)) break;
        [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
        at = parent;
      }
    } else if (worse(heap[0]!, i)) {
      heap[0] = i;
      for (let at = 0; ;) {
        const left = 2 * at + 1;
        const right = left + 1;
        let least = at;
        if (left < size && worse(heap[left]!, heap[least]!)) least = left;
        if (right < size && worse(heap[right]!, heap[least]!)) least = right;
        if (least === at) break;
        [heap[at], heap[least]] = [heap[least]!, heap[at]!];
        at = least;
      }
    }
  }
  return heap
    .sort((a, b) => (worse(a, b) ? 1 : worse(b, a) ? -1 : 0))
    .map((i) => ({ id: ids[i]!, score: scores[i]! }));
}
