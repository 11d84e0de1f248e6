/** @file The embedded demo's settings: which dialogues serve which stage, and every hyper-parameter. */
import type { LoraSettings } from './run_demo.ts';
import type { GrpoOptions } from '../config/grpo_options.ts';
import type { InferenceOptions } from '../config/inference_options.ts';
import type { SftOptions } from '../config/sft_options.ts';

/** Rows `[start, end)` of a set. */
export interface Range {
  start: number;
  end: number;
}

/** One run of the demo. */
export interface DemoConfig {
  seed: number;
  /** Training dialogues that the teacher explores; its successes are the SFT data. */
  explore: Range;
  /** Training dialogues of GRPO: others than those explored. */
  grpoDialogues: Range;
  /** Test dialogues for every model. */
  test: Range;
  teacherErrorRate: number;
  seekerErrorRate: number;
  lora: LoraSettings;
  sft: Omit<SftOptions, 'seed'>;
  grpo: Omit<GrpoOptions, 'seed'>;
  inference: Omit<InferenceOptions, 'seed'>;
}

const turnNum = 2;
const maxNewTokens = 48;

const training = {
  lr_scheduler_type: 'linear',
  warmup_steps: 0,
  weight_decay: 0,
  max_grad_norm: 1,
  save_total_limit: 1,
} as const;

/** The whole demo: about five minutes on two CPU cores, half a minute on a GPU. */
export function demoConfig(seed: number): DemoConfig {
  return {
    seed,
    explore: { start: 0, end: 600 },
    grpoDialogues: { start: 600, end: 1200 },
    test: { start: 0, end: 250 },
    teacherErrorRate: 0.1,
    seekerErrorRate: 0.1,
    lora: {
      r: 16,
      alpha: 32,
      dropout: 0,
      targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    },
    sft: {
      ...training,
      epoch: 2,
      batch_size: 16,
      gradient_accumulation_steps: 1,
      learning_rate: 2e-3,
      save_steps: 50,
      train_only_interaction: true,
      train_seeker_tokens: false,
    },
    grpo: {
      ...training,
      lr_scheduler_type: 'constant',
      epoch: 1,
      ppo_epoch: 1,
      batch_size: 64,
      max_steps: 24,
      learning_rate: 1e-3,
      save_steps: 12,
      init_kl_coef: 0.02,
      reward: 0,
      bonus: 0,
      turn_num: turnNum,
      turn_num_offset: 0,
      num_generations: 8,
      groups_in_flight: 8,
      max_attempts: 2,
      loss_type: 'learning2interact',
      dynamic_sampling: true,
      sampling_threshold: 0,
      hardcore: true,
      new_tgi: false,
      rerank: false,
      save_turn: 10_000,
      step_size: 350_000,
      off_policy: false,
      recommendation_mask: false,
      off_formatcheck: false,
      rec_format_check: false,
      rec_format_check_rule: false,
      rec_format_check_rule_generous: false,
      last_turn_recommend: false,
      rec_success_recommend: false,
      success: 'original',
      max_new_tokens: maxNewTokens,
      temperature: 1,
    },
    inference: {
      turn_num: turnNum,
      success: 'original',
      hardcore: false,
      last_turn_recommend: false,
      topk: 10,
      num_concurrent: 128,
      max_new_tokens: maxNewTokens,
      num_beams: 1,
      // The likeliest token repeats titles in a list; a little chance does so half as often, at the same success.
      do_sample: true,
      temperature: 0.5,
      top_p: 1,
      top_k: 0,
    },
  };
}

/** Every stage once, in a minute or so: it shows that things work, its figures mean little. */
export function quickDemoConfig(seed: number): DemoConfig {
  const full = demoConfig(seed);
  return {
    ...full,
    explore: { start: 0, end: 60 },
    grpoDialogues: { start: 600, end: 620 },
    test: { start: 0, end: 24 },
    sft: { ...full.sft, epoch: 1, max_steps: 2 },
    grpo: { ...full.grpo, batch_size: 16, groups_in_flight: 2, max_steps: 1 },
  };
}
