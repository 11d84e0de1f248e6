/** @file The page: starts the training worker and shows its stages, figures and final table. */
import * as v from 'valibot';
import { advanceProgress, formatDuration, noProgress, readProgress } from '../pipeline/run/progress.ts';
import { reportSchema, type DemoReport, type DemoRequest } from './demo/messages.ts';

const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element #${id}.`);
  return found as T;
};
const form = element<HTMLFormElement>('run');
const stop = element<HTMLButtonElement>('stop');
const stages = element('stages');
const message = element('message');
const table = element('table');
const device = element('device');

/** Shown while a stage is under way. */
interface StageView {
  figures: HTMLElement;
  bar: HTMLProgressElement;
  progress: typeof noProgress;
}
let current: StageView | null = null;
let worker: Worker | null = null;

device.textContent =
  'gpu' in navigator
    ? 'This browser has WebGPU.'
    : 'This browser has no WebGPU: the recipe cannot run here. A current Chrome, Edge, Safari or Firefox can.';

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  stages.replaceChildren();
  message.textContent = '';
  table.hidden = true;
  setRunning(true);
  worker = new Worker(new URL('./demo/worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => show(v.parse(reportSchema, data)));
  worker.addEventListener('error', (error) => finish(error.message || 'The worker could not be started.'));
  send({
    type: 'run',
    seed: Number(fields.get('seed')),
    quick: fields.get('quick') === 'on',
    files: new URL('demo', document.baseURI).href,
  });
});
stop.addEventListener('click', () => send({ type: 'stop' }));

const send = (request: DemoRequest): void => worker?.postMessage(request);

function setRunning(running: boolean): void {
  form.querySelector<HTMLButtonElement>('[type=submit]')!.disabled = running;
  stop.disabled = !running;
}

function finish(text: string): void {
  message.textContent = text;
  worker?.terminate();
  worker = null;
  current = null;
  setRunning(false);
}

function show(report: DemoReport): void {
  switch (report.type) {
    case 'device':
      device.textContent = `Training on ${report.name}.`;
      break;
    case 'stage':
      current = addStage(report.title);
      break;
    case 'event':
      if (current) showEvent(current, report.event);
      break;
    case 'table':
      table.textContent = report.text;
      table.hidden = false;
      finish('');
      break;
    case 'failed':
      finish(report.message);
  }
}

function addStage(title: string): StageView {
  const item = document.createElement('li');
  const name = document.createElement('span');
  name.textContent = title;
  const figures = document.createElement('span');
  figures.className = 'figures';
  const bar = document.createElement('progress');
  bar.setAttribute('aria-label', title);
  item.append(name, figures, bar);
  stages.append(item);
  return { figures, bar, progress: noProgress };
}

function showEvent(view: StageView, event: Extract<DemoReport, { type: 'event' }>['event']): void {
  view.progress = advanceProgress(view.progress, event);
  const reading = readProgress(view.progress, Date.now());
  if (reading) {
    view.bar.value = reading.fraction;
    const left = reading.remainingMs ? `, ${formatDuration(reading.remainingMs)} left` : '';
    view.figures.textContent = `${reading.done} of ${reading.total} ${reading.unit}${left}`;
  }
  if (event.type === 'done') view.bar.value = 1;
}
