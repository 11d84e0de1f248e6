/** @file What GRPO trains on: dialogues with targets from the catalogue and, where there is one, the teacher's interaction. */
import { InputError } from '../../../core/errors.ts';
import { splitExchanges, type SftRow } from '../../data/sft_data.ts';
import type { Catalogue, Dialogue, Message } from '../../types.ts';

export interface GrpoRow {
  dialogue: Dialogue;
  /** The teacher's exchanges; empty when the data has none. */
  interaction: Message[];
  /** How many there are; 0 = unknown. */
  baseTurn: number;
}

/** SFT rows (`tart prepare`) as training dialogues. Throws `InputError` naming row and field of an unknown target. */
export function grpoRows(rows: readonly SftRow[], catalogue: Catalogue, stem: string): GrpoRow[] {
  const seen = new Set<string>();
  return rows.map((row, index) => {
    const wanted = row.key ?? `${stem}:${index}`;
    const key = seen.has(wanted) ? `${wanted}@${index}` : wanted;
    seen.add(key);
    const targets = row.target_items.map((name, i) => {
      const item = catalogue.byName(name);
      if (!item)
        throw new InputError(
          `${stem} row ${index}, target_items[${i}]: "${name}" is not in the catalogue.`,
          'Check --kg_dataset.',
        );
      return item;
    });
    if (targets.length === 0)
      throw new InputError(`${stem} row ${index}, target_items: the row has no target.`, 'Remove the row.');
    return {
      dialogue: { key, index, dialog: row.dialog, targets },
      interaction: splitExchanges(row.interaction).flatMap(wholeExchange),
      baseTurn: row.base_turn,
    };
  });
}

/** A processed set (no teacher) as training dialogues. */
export function teacherlessRows(dialogues: readonly Dialogue[]): GrpoRow[] {
  return dialogues.map((dialogue) => ({ dialogue, interaction: [], baseTurn: 0 }));
}

/** One recommender and one seeker message; several seeker messages in a row are joined. */
function wholeExchange(exchange: readonly Message[]): Message[] {
  const [said, ...replies] = exchange;
  if (replies.length <= 1) return [...exchange];
  return [said!, { role: 'user', content: replies.map((m) => m.content).join('\n') }];
}
