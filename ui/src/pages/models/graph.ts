/** The graph of a model's origins and uses, and where its nodes stand. Pure functions. */

export type NodeKind = "dataset" | "base" | "experiment" | "task" | "model" | "deployment";

export interface GraphNode {
  key: string;
  kind: NodeKind;
  label: string;
  /** The uuid of the thing, or null if it was deleted since. */
  uuid: string | null;
  /** More about it: the role of a dataset, the state of a deployment. */
  detail?: string;
}

interface Sources {
  datasets: GraphNode[];
  base: GraphNode | null;
  experiment: GraphNode | null;
  task: GraphNode | null;
  model: GraphNode;
  deployments: GraphNode[];
}

export interface Graph {
  /** Columns from the origins on the left to the uses on the right. */
  columns: GraphNode[][];
  edges: [string, string][];
}

/** Connect dataset versions, experiment, task, model and deployments, leaving out what is not there. */
export function buildGraph(sources: Sources): Graph {
  const columns = [
    [...sources.datasets, ...(sources.base ? [sources.base] : [])],
    sources.experiment ? [sources.experiment] : [],
    sources.task ? [sources.task] : [],
    [sources.model],
    sources.deployments,
  ].filter((column) => column.length > 0);
  const edges = columns
    .slice(1)
    .flatMap((column, index) =>
      (columns[index] ?? []).flatMap((from) =>
        column.map((to): [string, string] => [from.key, to.key]),
      ),
    );
  return { columns, edges };
}

export const NODE = { width: 188, height: 60, across: 56, down: 16 };

export interface Place {
  x: number;
  y: number;
}

export interface Layout {
  places: Map<string, Place>;
  width: number;
  height: number;
}

/** Return where each node stands; columns are centred on each other. */
export function layOut({ columns }: Graph): Layout {
  const step = NODE.height + NODE.down;
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const height = tallest * step - NODE.down;
  const places = new Map<string, Place>();
  for (const [index, column] of columns.entries()) {
    const top = (height - (column.length * step - NODE.down)) / 2;
    for (const [row, node] of column.entries())
      places.set(node.key, { x: index * (NODE.width + NODE.across), y: top + row * step });
  }
  const width = columns.length * (NODE.width + NODE.across) - NODE.across;
  return { places, width, height };
}

/** Return the path of a line from the right side of one node to the left side of another. */
export function edgePath(from: Place, to: Place): string {
  const x1 = from.x + NODE.width;
  const y1 = from.y + NODE.height / 2;
  const y2 = to.y + NODE.height / 2;
  const middle = (x1 + to.x) / 2;
  return `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${to.x} ${y2}`;
}
