/**
 * @file Title as written → catalogue item.
 *
 * Steps, the first that finds something wins:
 * 1. the exact name; 2. the same words (see title_key.ts) with the same year, a year off by one, or a side without a year;
 * 3. a missing or additional subtitle ("The Naked Gun (1988)"), only with agreeing years or when one item fits;
 * 4. edit distance on the words (1 for every 5 characters, 3 at most), numbers equal, years agreeing.
 * Several items that fit equally: nearest year, then names without a year, then the lowest id: always the same one.
 * Two films of one name and years further apart than one are two films.
 */
import type { Catalogue, Item } from '../types.ts';
import { editDistance } from './edit_distance.ts';
import { titleKey, type TitleKey } from './title_key.ts';
import { TrigramIndex } from './trigram_index.ts';

export type LinkKind = 'exact' | 'words' | 'subtitle' | 'spelling' | 'none';

/** What a title was linked to, and how. */
export interface Link {
  item: Item | null;
  kind: LinkKind;
  /** Further items that fitted equally well (a title without a year and two films of that name). */
  alternatives: Item[];
}

const NONE: Link = { item: null, kind: 'none', alternatives: [] };
const CACHE_LIMIT = 50_000;
/** A longer text is no title. Characters. */
const MAX_TITLE = 300;

export class TitleLinker {
  private readonly byKey = new Map<string, Item[]>();
  private readonly byMain = new Map<string, Item[]>();
  private readonly bySub = new Map<string, Item[]>();
  private readonly byOuter = new Map<string, Item[]>();
  private readonly keys = new Map<Item, TitleKey>();
  private readonly trigrams: TrigramIndex<Item>;
  private readonly cache = new Map<string, Link>();

  constructor(readonly catalogue: Catalogue) {
    for (const item of catalogue.items) {
      const key = titleKey(item.name);
      this.keys.set(item, key);
      push(this.byKey, key.key, item);
      if (key.main !== null) push(this.byMain, key.main, item);
      if (key.sub !== null) push(this.bySub, key.sub, item);
      if (key.outer !== null) push(this.byOuter, key.outer, item);
    }
    this.trigrams = new TrigramIndex(catalogue.items.map((item) => [this.keys.get(item)!.key, item]));
  }

  /** The item a title names, or null in `item`. Deterministic; cached. */
  link(title: string): Link {
    const text = title.replace(/\s+/g, ' ').trim();
    if (text.length > MAX_TITLE) return NONE;
    const cached = this.cache.get(text);
    if (cached) return cached;
    const link = this.find(text);
    if (this.cache.size >= CACHE_LIMIT) this.cache.clear();
    this.cache.set(text, link);
    return link;
  }

  /** Id of the linked item, or null. */
  linkId(title: string): number | null {
    return this.link(title).item?.id ?? null;
  }

  /**
   * Whether a title as written names this item. Beside the linked item that is a catalogue entry without a year whose
   * words are the same: ReDial lists "Back to the Future" and "Back to the Future (1985)".
   */
  names(title: string, item: Item): boolean {
    if (this.link(title).item === item) return true;
    const query = titleKey(title);
    const other = this.keys.get(item);
    if (!other || query.year === null || other.year !== null || other.key !== query.key) return false;
    return item.year === null || Math.abs(item.year - query.year) <= 1;
  }

  /** Whether a text is a title by its words alone (steps 1 and 2): what the list parser asks. */
  isTitle(text: string): boolean {
    if (this.catalogue.byName(text)) return true;
    const query = titleKey(text);
    return query.key !== '' && this.agreeing(this.byKey.get(query.key) ?? [], query).length > 0;
  }

  /** The catalogue name nearest to a text, whatever the year; undefined when nothing is near. For error messages. */
  suggest(text: string): string | undefined {
    const linked = this.link(text).item;
    if (linked) return linked.name;
    const sameWords = this.byKey.get(titleKey(text).key)?.[0];
    if (sameWords) return sameWords.name;
    // As a reader sees it, letter by letter; only error messages come here, so every item may be looked at.
    const query = text.trim().toLowerCase();
    let limit = Math.max(2, Math.floor(query.length / 3));
    let best: string | undefined;
    for (const { name } of this.catalogue.items) {
      const distance = editDistance(query, name.toLowerCase(), limit);
      if (distance > limit) continue;
      best = name;
      limit = distance - 1;
      if (limit < 0) break;
    }
    return best;
  }

  private find(text: string): Link {
    const exact = this.catalogue.byName(text);
    if (exact) return { item: exact, kind: 'exact', alternatives: [] };
    const query = titleKey(text);
    if (query.key === '') return NONE;
    return (
      this.choose(this.byKey.get(query.key) ?? [], query, 'words') ??
      this.bySubtitle(query) ??
      this.bySpelling(query) ??
      NONE
    );
  }

  /** Step 3. */
  private bySubtitle(query: TitleKey): Link | null {
    if (query.year === null) {
      // Undated text: only a beginning that belongs to one item alone.
      const only = this.byMain.get(query.key) ?? [];
      return only.length === 1 && wordCount(query.key) >= 2
        ? { item: only[0]!, kind: 'subtitle', alternatives: [] }
        : null;
    }
    const within = (items: readonly Item[] | undefined, years: number) =>
      (items ?? []).filter((i) => i.year !== null && Math.abs(i.year - query.year!) <= years);
    const longWords = (key: string | null) => key !== null && wordCount(key) >= 2;
    const steps: Item[][] = [
      // The catalogue has the subtitle: "The Naked Gun (1988)", "Borat (2006)".
      within(this.byMain.get(query.key), 1),
      // The middle part differs: "Star Wars: Episode VII – The Force Awakens", "Star Wars: Revenge of the Sith".
      query.outer === null ? [] : within(this.byKey.get(query.outer), 1),
      within(this.byOuter.get(query.key), 1),
      // The text has it: "Birdman or (The Unexpected Virtue of Ignorance) (2014)". A sequel's subtitle looks the same
      // ("Air Bud: Golden Receiver (1998)"), so the year must be the very one.
      query.main === null ? [] : within(this.byKey.get(query.main), 0),
      // Only the subtitle, on either side: "The Empire Strikes Back (1980)".
      longWords(query.key) ? within(this.bySub.get(query.key), 1) : [],
      longWords(query.sub) ? within(this.byKey.get(query.sub!), 0) : [],
    ];
    const fitting = steps.find((items) => items.length > 0);
    return fitting ? this.choose(fitting, query, 'subtitle') : this.byContainment(query);
  }

  /**
   * A longer form of a title of three words or more that agrees in year and number: "Indiana Jones and the Raiders of
   * the Lost Ark (1981)" for "Raiders of the Lost Ark (1981)".
   */
  private byContainment(query: TitleKey): Link | null {
    if (query.year === null) return null;
    const words = query.key.split(' ');
    for (let count = words.length - 1; count >= 3; count--) {
      for (const part of [words.slice(words.length - count), words.slice(0, count)]) {
        const start = ['the', 'a', 'an'].includes(part[0]!) ? 1 : 0;
        if (part.length - start < 3) continue;
        const items = (this.byKey.get(part.slice(start).join(' ')) ?? []).filter(
          (i) =>
            i.year !== null &&
            Math.abs(i.year - query.year!) <= 1 &&
            this.keys.get(i)!.numbers === query.numbers,
        );
        if (items.length > 0) return this.choose(items, query, 'subtitle');
      }
    }
    return null;
  }

  /** Step 4. */
  private bySpelling(query: TitleKey): Link | null {
    const limit = Math.min(3, Math.floor(query.key.length / 5));
    if (limit === 0) return null;
    let best = limit;
    let found: Item[] = [];
    for (const { key, value } of this.trigrams.search(query.key, 40)) {
      const other = this.keys.get(value)!;
      if (other.numbers !== query.numbers) continue;
      // Without two years that agree the spelling must be nearer.
      const dated = query.year !== null && value.year !== null;
      if (dated && Math.abs(value.year! - query.year!) > 1) continue;
      const allowed = dated ? best : Math.min(best, Math.floor(query.key.length / 14));
      const distance = editDistance(query.key, key, allowed);
      if (distance > allowed || distance === 0) continue;
      if (distance < best) {
        best = distance;
        found = [];
      }
      found.push(value);
    }
    return found.length === 0 ? null : this.choose(found, query, 'spelling');
  }

  /** Items whose year does not contradict the query's. */
  private agreeing(items: readonly Item[], query: TitleKey): Item[] {
    if (query.year === null) return [...items];
    return items.filter((i) => i.year === null || Math.abs(i.year - query.year!) <= 1);
  }

  private choose(items: readonly Item[], query: TitleKey, kind: LinkKind): Link | null {
    const rank = (item: Item): number => {
      if (query.year === null) return this.keys.get(item)!.year === null ? 0 : 1;
      if (item.year === null) return 1.5;
      return Math.abs(item.year - query.year);
    };
    const fitting = this.agreeing(items, query).sort((a, b) => rank(a) - rank(b) || a.id - b.id);
    const item = fitting[0];
    if (!item) return null;
    return { item, kind, alternatives: fitting.slice(1).filter((other) => rank(other) === rank(item)) };
  }
}

function push(map: Map<string, Item[]>, key: string, item: Item): void {
  const list = map.get(key);
  if (list) list.push(item);
  else map.set(key, [item]);
}

function wordCount(key: string): number {
  return key === '' ? 0 : key.split(' ').length;
}
