/** The tree of versions as lanes, newest first. Pure functions. */

export interface Commit {
  version: string;
  parent: string | null;
}

export interface Node {
  version: string;
  lane: number;
  /** Lanes of other branches that pass by in this row. */
  passing: number[];
  /** The lane in which the parent stands further down; null at a root. */
  parentLane: number | null;
  /** Lanes of children that end in this row, other than its own. */
  joining: number[];
  /** Whether a child stands above in the same lane. */
  hasChild: boolean;
}

/** Return for each version, newest first, its lane and the lines through its row. */
export function layOut(commits: readonly Commit[]): Node[] {
  /** The version that each lane leads down to. */
  const lanes: (string | null)[] = [];
  return commits.map(({ version, parent }) => {
    const mine = lanes.flatMap((wanted, lane) => (wanted === version ? [lane] : []));
    const lane = mine[0] ?? firstFree(lanes);
    const joining = mine.slice(1);
    for (const each of joining) lanes[each] = null;
    lanes[lane] = null;
    const passing = lanes.flatMap((wanted, other) => (wanted === null ? [] : [other]));
    lanes[lane] = parent;
    return {
      version,
      lane,
      passing,
      joining,
      parentLane: parent === null ? null : lane,
      hasChild: mine.length > 0,
    };
  });
}

function firstFree(lanes: (string | null)[]): number {
  const free = lanes.indexOf(null);
  if (free >= 0) return free;
  lanes.push(null);
  return lanes.length - 1;
}

/** Return how many lanes a tree has. */
export function laneCount(nodes: readonly Node[]): number {
  return nodes.reduce(
    (most, { lane, passing }) => Math.max(most, lane + 1, ...passing.map((p) => p + 1)),
    1,
  );
}
