/** @file Errors a person can act on: what is wrong, where, and what to do next. */

/** Base of every error that is meant to be read by a person. `remedy` says what to do next. */
export class TartError extends Error {
  constructor(
    message: string,
    /** One sentence that says what to do about it. */
    readonly remedy?: string,
    options?: { cause?: unknown },
  ) {
    super(remedy ? `${message} ${remedy}` : message, options);
    this.name = new.target.name;
  }
}

/** A file, row or field that cannot be read as what it should be. */
export class InputError extends TartError {}

/** A flag or a configuration value that is wrong or cannot be honoured (exit code 2 in the CLI). */
export class UsageError extends TartError {}

/** The GPU was lost, is missing a feature, or ran out of memory. */
export class DeviceError extends TartError {}

/** A checkpoint or run record that is torn, missing or of another model. */
export class CheckpointError extends TartError {}

/** A model behind an address that refused, failed or answered nonsense. */
export class ProviderError extends TartError {}
