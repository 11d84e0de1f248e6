/** @file Ranges that many flags share. */

/** At least 1. */
export const positive = { min: 1 } as const;
/** A share: 0 to 1. */
export const share = { min: 0, max: 1 } as const;
