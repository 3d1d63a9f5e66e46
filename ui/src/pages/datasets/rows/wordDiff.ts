/** Differences between two texts, word by word. Pure functions. */

export interface Piece {
  text: string;
  /** Whether the piece is in this text only. */
  own: boolean;
}

/** Texts with more cells to compare than this are shown as one difference in the middle. */
const MOST = 1_500_000;
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;

/** Return both texts in pieces that are equal or differ. */
export function wordDiff(before: string, after: string): { before: Piece[]; after: Piece[] } {
  const old = before.match(WORD) ?? [];
  const young = after.match(WORD) ?? [];
  let head = 0;
  while (head < old.length && head < young.length && old[head] === young[head]) head += 1;
  let tail = 0;
  while (
    tail < old.length - head &&
    tail < young.length - head &&
    old[old.length - 1 - tail] === young[young.length - 1 - tail]
  )
    tail += 1;
  const middle = [
    old.slice(head, old.length - tail),
    young.slice(head, young.length - tail),
  ] as const;
  const equal = commonWords(...middle);
  const frame = (words: readonly string[], inner: readonly string[], kept: ReadonlySet<number>) =>
    join([
      ...words.slice(0, head).map((text) => ({ text, own: false })),
      ...inner.map((text, index) => ({ text, own: !kept.has(index) })),
      ...words.slice(words.length - tail).map((text) => ({ text, own: false })),
    ]);
  return {
    before: frame(old, middle[0], equal.before),
    after: frame(young, middle[1], equal.after),
  };
}

/** Return the positions of a longest common subsequence in both lists. */
function commonWords(old: readonly string[], young: readonly string[]) {
  const before = new Set<number>();
  const after = new Set<number>();
  const width = young.length + 1;
  if ((old.length + 1) * width > MOST) return { before, after };
  const lengths = new Uint32Array((old.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let j = young.length - 1; j >= 0; j -= 1)
      lengths[i * width + j] =
        old[i] === young[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  let i = 0;
  let j = 0;
  while (i < old.length && j < young.length) {
    if (old[i] === young[j]) {
      before.add(i);
      after.add(j);
      i += 1;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) i += 1;
    else j += 1;
  }
  return { before, after };
}

/** Join neighbouring pieces of the same kind. */
function join(pieces: readonly Piece[]): Piece[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last && last.own === piece.own) last.text += piece.text;
    else joined.push({ ...piece });
  }
  return joined;
}
