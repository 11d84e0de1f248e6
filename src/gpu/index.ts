/** @file The engine as a package: what a stranger needs to load, fine-tune, sample and save a model. */
export { createEngine, Engine } from './engine.ts';
export type { EngineOptions, GradientResult } from './engine.ts';
export { openModel } from './formats/open_model.ts';
export { randomModel } from './formats/random_model.ts';
export { readPeft } from './formats/peft.ts';
export { loadTokenizer } from './formats/tokenizer.ts';
export { mapFiles } from './formats/memory_files.ts';
export type { FileSource, ModelSource } from './formats/model_source.ts';
export type { LoraConfig, ModelConfig } from './model/config.ts';
export { linearModules } from './model/config.ts';
export { engineDeviceDescriptor } from './runtime/context.ts';
