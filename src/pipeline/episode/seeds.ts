/** @file Seeds of rollouts: from the run's seed and names, never from a position in a batch. */
import { hash32, hashString } from '../../core/random.ts';

/** Seed of one rollout. `attempt` counts from 0 and changes when an invalid rollout is sampled again. */
export function rolloutSeed(runSeed: number, dialogue: string, generation: number, attempt = 0): number {
  return hash32(runSeed, hashString('rollout'), hashString(dialogue), generation, attempt);
}

/** Seed of one participant's part in one turn of a rollout. */
export function turnSeed(rollout: number, turn: number, participant: 'recommender' | 'seeker'): number {
  return hash32(rollout, turn, participant === 'seeker' ? 1 : 0);
}

/** Globally unique key of a rollout. */
export function rolloutKey(dialogue: string, generation: number): string {
  return `${dialogue}/g${generation}`;
}
