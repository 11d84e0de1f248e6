/** @file The text of an item, as embedders and the lexical index see it: title, genre, stars, director. */
import type { Item } from '../types.ts';

/** `Heat (1995). Genre: action, crime. Stars: Al Pacino, Robert De Niro. Director: Michael Mann.` Empty fields are left out. */
export function itemText(item: Item): string {
  const parts = [item.name];
  if (item.genres.length > 0) parts.push(`Genre: ${item.genres.join(', ')}`);
  if (item.stars.length > 0) parts.push(`Stars: ${item.stars.join(', ')}`);
  if (item.directors.length > 0) parts.push(`Director: ${item.directors.join(', ')}`);
  return `${parts.join('. ')}.`;
}
