/**
 * @file A processed set as SFT data: human dialogues without a teacher. What the human recommender said becomes the
 * interaction, from its first message to its last.
 */
import type { SftRow } from '../../data/sft_data.ts';
import type { Dialogue } from '../../types.ts';

/** Rows of the dialogues in which the recommender says something, and how many say nothing. */
export function sftRowsOfDialogues(dialogues: readonly Dialogue[]): { rows: SftRow[]; silent: number } {
  const rows: SftRow[] = [];
  for (const { key, dialog, targets } of dialogues) {
    const first = dialog.findIndex((m) => m.role === 'assistant');
    const last = dialog.findLastIndex((m) => m.role === 'assistant');
    if (first < 0) continue;
    const interaction = dialog.slice(first, last + 1);
    rows.push({
      key,
      dialog: dialog.slice(0, first),
      interaction,
      target_items: targets.map((t) => t.name),
      base_turn: interaction.filter(
        (m, i) => m.role === 'assistant' && interaction[i - 1]?.role !== 'assistant',
      ).length,
    });
  }
  return { rows, silent: dialogues.length - rows.length };
}
