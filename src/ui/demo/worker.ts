/** @file The training worker: puts engine, recipe and store together and runs the embedded demo off the page's thread. */
import * as v from 'valibot';
import { systemClock } from '../../core/clock.ts';
import { DeviceError } from '../../core/errors.ts';
import { MemoryStore } from '../../core/memory_store.ts';
import { readPeftFiles } from '../../gpu/formats/peft.ts';
import { createEngine, engineDeviceDescriptor, loadTokenizer, openModel } from '../../gpu/index.ts';
import { readCatalogue } from '../../pipeline/data/catalogue.ts';
import { readProcessedSet } from '../../pipeline/data/processed_set.ts';
import { demoConfig, quickDemoConfig } from '../../pipeline/demo/demo_config.ts';
import { renderDemoTable } from '../../pipeline/demo/demo_table.ts';
import { runDemo } from '../../pipeline/demo/run_demo.ts';
import { createItemTools } from '../../pipeline/item_tools.ts';
import { ChatTokens } from '../../pipeline/policy/chat_tokens.ts';
import { RunLog } from '../../pipeline/run/run_log.ts';
import { fetchBytes, httpFiles } from './http_files.ts';
import { requestSchema, type DemoReport, type DemoRequest } from './messages.ts';

const modelFiles = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'model.safetensors',
];

const say = (report: DemoReport): void => postMessage(report);
let running: AbortController | null = null;

addEventListener('message', ({ data }: MessageEvent<unknown>) => {
  const request = v.parse(requestSchema, data);
  if (request.type === 'stop') {
    running?.abort(new DOMException('Stopped.', 'AbortError'));
    return;
  }
  running = new AbortController();
  run(request, running.signal).catch((error: unknown) => {
    say({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  });
});

/** A device of the page's GPU with everything the engine can use. */
async function requestDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new DeviceError(
      'This browser offers no WebGPU adapter.',
      'Use a current Chrome, Edge, Safari or Firefox with its GPU enabled.',
    );
  return adapter.requestDevice(engineDeviceDescriptor(adapter));
}

async function run(request: Extract<DemoRequest, { type: 'run' }>, signal: AbortSignal): Promise<void> {
  const text = async (file: string) => ({
    name: file,
    text: new TextDecoder().decode(await fetchBytes(`${request.files}/${file}`)),
  });
  const config = (request.quick ? quickDemoConfig : demoConfig)(request.seed);
  const { catalogue } = readCatalogue({
    entity2id: await text('entity2id.json'),
    id2info: await text('id2info.json'),
  });
  const set = async (name: string) =>
    readProcessedSet(await text(`demo_processed_${name}.json`), catalogue).dialogues;
  const files = httpFiles(`${request.files}/model`, modelFiles);
  const model = await openModel(files);
  const device = await requestDevice();
  try {
    const { vendor, architecture } = device.adapterInfo;
    say({ type: 'device', name: [vendor, architecture].filter(Boolean).join(' ') });
    const table = await runDemo(
      {
        tools: createItemTools(catalogue, { topk: config.inference.topk }),
        sets: { train: await set('train'), test: await set('test') },
        chat: new ChatTokens(await loadTokenizer(files)),
        maxContext: model.config.maxPositionEmbeddings,
        store: new MemoryStore(),
        clock: systemClock,
        signal,
        resume: false,
        version: __APP_VERSION__,
        openPolicy: async (what) =>
          createEngine({
            device,
            model,
            ...('adapter' in what ? { adapter: await readPeftFiles(what.adapter, model.config) } : what),
          }),
        openLog: async (store, _stage, title) => {
          say({ type: 'stage', title });
          const log = await RunLog.open(store, systemClock);
          log.subscribe((event) => {
            if (event.type !== 'rollout' && event.type !== 'update') say({ type: 'event', event });
          });
          return log;
        },
      },
      config,
    );
    say({ type: 'table', text: renderDemoTable(table) });
  } finally {
    device.destroy();
  }
}
