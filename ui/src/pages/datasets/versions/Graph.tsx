import type { Node } from "./lanes";
import classes from "./Versions.module.css";

const LANE = 14;
const HEIGHT = 56;
const MIDDLE = HEIGHT / 2;

const x = (lane: number) => lane * LANE + LANE / 2;

/** The part of the tree of versions that belongs to one row. */
export function Graph({ node, lanes }: { node: Node; lanes: number }) {
  const own = x(node.lane);
  return (
    <svg
      className={classes.graph}
      width={lanes * LANE}
      height={HEIGHT}
      viewBox={`0 0 ${lanes * LANE} ${HEIGHT}`}
      aria-hidden="true"
    >
      {node.passing.map((lane) => (
        <path key={`pass-${lane}`} d={`M${x(lane)} 0V${HEIGHT}`} />
      ))}
      {node.joining.map((lane) => (
        <path key={`join-${lane}`} d={`M${x(lane)} 0Q${x(lane)} ${MIDDLE} ${own} ${MIDDLE}`} />
      ))}
      {node.hasChild && <path d={`M${own} 0V${MIDDLE}`} />}
      {node.parentLane !== null && <path d={`M${own} ${MIDDLE}V${HEIGHT}`} />}
      <circle cx={own} cy={MIDDLE} r={4} />
    </svg>
  );
}
