/** @file adapter_config.json of PEFT → `LoraConfig`: every field honoured, known to be without effect, or refused. */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { LinearModule, LoraConfig } from '../model/config.ts';
import { linearModules, linearName } from '../model/config.ts';
import { checkShape } from './text_files.ts';

const finite = v.pipe(v.number(), v.finite());
const schema = v.looseObject({
  peft_type: v.string(),
  r: v.pipe(v.number(), v.integer(), v.minValue(1)),
  lora_alpha: finite,
  lora_dropout: v.nullish(v.pipe(finite, v.minValue(0), v.ltValue(1))),
  target_modules: v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))]),
  use_rslora: v.nullish(v.boolean()),
  init_lora_weights: v.nullish(v.union([v.boolean(), v.string()])),
  bias: v.nullish(v.string()),
});

/** Fields read above, and fields that change nothing about a trained adapter's numbers. */
const understood = new Set([
  ...Object.keys(schema.entries),
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'loftq_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'task_type',
]);

/** Ways to initialise that leave the base weights alone; the others (pissa, olora, loftq, …) change them. */
const plainInitialisations = ['gaussian', 'eva', 'orthogonal'];

const isNeutral = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === false ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0);

/**
 * Check a parsed adapter_config.json for a model of `numLayers` layers. rsLoRA's scale alpha/√r is kept by raising alpha
 * to alpha·√r. Throws `InputError` naming the field.
 */
export function parsePeftConfig(value: unknown, numLayers: number, where: string): LoraConfig {
  const raw = checkShape(where, schema, value);
  const refuse = (
    what: string,
    remedy = 'Merge the adapter into its base model in PEFT, or train a plain LoRA.',
  ) => new InputError(`${where}: ${what}.`, remedy);
  if (raw.peft_type !== 'LORA') throw refuse(`peft_type "${raw.peft_type}" is not supported (only LORA)`);
  if (raw.bias && raw.bias !== 'none') throw refuse(`bias "${raw.bias}" is not supported (only none)`);
  if (typeof raw.init_lora_weights === 'string' && !plainInitialisations.includes(raw.init_lora_weights))
    throw refuse(
      `init_lora_weights "${raw.init_lora_weights}" changes the base weights and is not supported`,
    );
  for (const [field, setting] of Object.entries(raw))
    if (!understood.has(field) && !isNeutral(setting))
      throw refuse(`${field} is set to ${JSON.stringify(setting)}, which is not supported`);
  return {
    r: raw.r,
    alpha: raw.use_rslora ? raw.lora_alpha * Math.sqrt(raw.r) : raw.lora_alpha,
    dropout: raw.lora_dropout ?? 0,
    targetModules: targets(raw.target_modules, numLayers, refuse),
  };
}

/**
 * PEFT's rule: a list matches a module's full name or its end after a dot; a string is a regular expression for the
 * full name, or "all-linear". The same modules must be meant in every layer.
 */
function targets(
  wanted: string | readonly string[],
  numLayers: number,
  refuse: (what: string, remedy?: string) => InputError,
): LinearModule[] {
  if (wanted === 'all-linear') return [...linearModules];
  const layers = Array.from({ length: numLayers }, (_, layer) => layer);
  const nameOf = (layer: number, module: LinearModule) => linearName(layer, module).replace(/\.weight$/, '');
  const unused = new Set(typeof wanted === 'string' ? [] : wanted);
  const matches = (name: string): boolean => {
    if (typeof wanted === 'string') return pattern(wanted, refuse).test(name);
    const hits = wanted.filter((target) => name === target || name.endsWith(`.${target}`));
    for (const hit of hits) unused.delete(hit);
    return hits.length > 0;
  };
  const chosen = linearModules.filter((module) => {
    const hits = layers.filter((layer) => matches(nameOf(layer, module)));
    if (hits.length !== 0 && hits.length !== numLayers)
      throw refuse(
        `target_modules adapts ${module} in layers ${hits.join(', ')} only, which is not supported`,
      );
    return hits.length > 0;
  });
  const [other] = unused;
  if (other !== undefined)
    throw refuse(`target_modules names "${other}"`, `Supported are: ${linearModules.join(', ')}.`);
  if (chosen.length === 0)
    throw refuse(
      `target_modules ${JSON.stringify(wanted)} matches no linear layer`,
      `Supported are: ${linearModules.join(', ')}.`,
    );
  return chosen;
}

function pattern(text: string, refuse: (what: string) => InputError): RegExp {
  try {
    return new RegExp(`^(?:${text})$`, 'u');
  } catch {
    throw refuse(`target_modules "${text}" is not a regular expression that can be read here`);
  }
}
