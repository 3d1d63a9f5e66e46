import { type Mark, markText } from "./marks";
import classes from "./RowContent.module.css";

/** A text with its marked parts; the reason is read on hover. */
export function Marked({ text, marks }: { text: string; marks: readonly Mark[] }) {
  if (marks.length === 0) return <>{text}</>;
  let start = 0;
  return (
    <>
      {markText(text, marks).map((piece) => {
        const key = start;
        start += piece.text.length;
        if (piece.title === null) return <span key={key}>{piece.text}</span>;
        return (
          <mark key={key} title={piece.title} className={classes.mark}>
            {piece.text}
          </mark>
        );
      })}
    </>
  );
}
