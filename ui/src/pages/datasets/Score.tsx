import classes from "./Score.module.css";

/** The score of a quality report, from 0 to 100; a dash while there is no report. */
export function Score({
  report,
}: {
  report: Readonly<Record<string, unknown>> | null | undefined;
}) {
  const score = report?.score;
  if (typeof score !== "number") return <span className="secondary">–</span>;
  return <ScoreValue score={score} />;
}

export function ScoreValue({ score }: { score: number }) {
  return (
    <span className={classes.score} data-tone={toneOf(score)}>
      {score}
    </span>
  );
}

function toneOf(score: number): "good" | "fair" | "poor" {
  if (score >= 90) return "good";
  return score >= 60 ? "fair" : "poor";
}
