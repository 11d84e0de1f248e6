/** @file The shape of `grpo_losses.json`, checked when it is read. */
import * as v from 'valibot';

const row = v.array(v.number());
const table = v.array(row);

const config = v.strictObject({
  kind: v.picklist(['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo', 'vespo', 'luspo']),
  n_items: v.optional(v.number()),
  ga: v.optional(v.number()),
  level: v.optional(v.literal('sequence')),
  delta: v.optional(v.number()),
  beta: v.optional(v.number()),
  bias_kl: v.optional(v.boolean()),
  tis: v.optional(v.picklist(['token_truncate_small', 'sequence_mask_small'])),
  opsm: v.optional(v.number()),
});

export const grpoLossesSchema = v.object({
  inputs: v.object({
    temperature: v.number(),
    epsilon: v.number(),
    epsilon_high: v.number(),
    cispo_epsilon_high: v.number(),
    max_completion_length: v.number(),
    logits: v.array(table),
    tokens: table,
    completion_mask: table,
    loss_mask: table,
    rewards: table,
    reward_weights: row,
    old_logps: table,
    ref_logps: table,
    sampling_logps: table,
  }),
  logps: table,
  entropies: table,
  advantages: v.object({
    reward: row,
    group_mean: row,
    group_std_ddof1: row,
    trl_group: row,
    trl_batch: row,
    trl_none: row,
    trl_gdpo: row,
    verl_group: row,
    openrlhf_group_norm: row,
    ddof0_group: row,
    rloo: row,
  }),
  losses: v.record(v.string(), v.object({ config, value: v.number(), grad_logps: table })),
  metrics: v.object({
    kl: v.number(),
    entropy: v.number(),
    'clip_ratio/low_mean': v.number(),
    'clip_ratio/high_mean': v.number(),
    'clip_ratio/region_mean': v.number(),
    'top_entropy_mask_rho_0.2': table,
    frac_reward_zero_std: v.number(),
  }),
  rank_grpo: v.object({
    seg_ids: table,
    item_rewards: table,
    adv_item: table,
    item_ratio: table,
    loss_grpo: v.number(),
  }),
  learning2interact: v.object({ pg: v.number(), kl: v.number(), total: v.number() }),
  verl: v.object({
    token_mean: v.number(),
    seq_mean_token_sum: v.number(),
    seq_mean_token_mean: v.number(),
    seq_mean_token_sum_norm: v.number(),
    k1: v.number(),
    k2: v.number(),
    k3: v.number(),
  }),
  prime_rl: v.object({ loss: v.number(), masked_fraction: v.number() }),
  edge_cases: v.object({
    masked_row: v.number(),
    trl_grpo_keeps_row_in_denominator: v.number(),
    verl_openrlhf_drop_row: v.number(),
    bnpo: v.number(),
    dr_grpo: v.number(),
    rewards: v.array(v.string()),
    advantages_nan_row_is_zero: row,
  }),
  sft: v.object({
    labels: table,
    num_items: v.number(),
    nll: v.number(),
    dft: v.number(),
    ga2_correct: v.number(),
    ga2_wrong_mean_of_means: v.number(),
    mean_token_accuracy: v.number(),
  }),
  adamw: v.object({
    x0: row,
    lr: v.number(),
    weight_decay: v.number(),
    max_norm: v.number(),
    steps: v.array(v.object({ grad_norm_pre_clip: v.number(), x: row })),
  }),
  lr_schedules: v.object({
    total: v.number(),
    warmup: v.number(),
    linear: row,
    cosine: row,
    constant_with_warmup: row,
  }),
  soft_overlong: v.record(v.string(), v.number()),
});

export type GrpoLosses = v.InferOutput<typeof grpoLossesSchema>;

/** Parse the file's text. Throws valibot's error, which names the field. */
export const parseGrpoLosses = (text: string): GrpoLosses => v.parse(grpoLossesSchema, JSON.parse(text));
