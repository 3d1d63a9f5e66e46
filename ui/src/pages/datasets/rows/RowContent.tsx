import { useLingui } from "@lingui/react/macro";
import type { Row } from "@/api/datasets";
import { cellText, fullText, type Message, partsOf, turns } from "./cells";
import { Folded } from "./Folded";
import { Marked } from "./Marked";
import type { Mark } from "./marks";
import classes from "./RowContent.module.css";
import { type Piece, wordDiff } from "./wordDiff";

interface Props {
  row: Row;
  shape: string | null;
  marks: readonly Mark[];
}

/** A row to read: a conversation by turns, two answers side by side, and all other columns. */
export function RowContent({ row, shape, marks }: Props) {
  const { messages, pair, good, fields } = partsOf(row, shape);
  const { t } = useLingui();
  return (
    <div className={classes.content}>
      {messages && <Conversation messages={messages} marks={marks} />}
      {good !== null && (
        <p className={classes.sideTitle} data-tone={good ? "good" : "bad"}>
          {good ? t`Labelled as a good answer` : t`Labelled as a bad answer`}
        </p>
      )}
      {pair && <Pair chosen={pair.chosen} rejected={pair.rejected} />}
      {fields.length > 0 && (
        <dl className={classes.fields} data-only={(!messages && !pair) || undefined}>
          {fields.map(([name, value]) => (
            <div key={name} className={classes.field}>
              <dt>{name}</dt>
              <dd>
                <Value value={value} marks={marks} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

function Value({ value, marks }: { value: unknown; marks: readonly Mark[] }) {
  const { t } = useLingui();
  if (value === null || value === undefined)
    return <span className="secondary">{t`no value`}</span>;
  if (value === "") return <span className="secondary">{t`empty text`}</span>;
  if (typeof value === "string")
    return (
      <Folded>
        <Marked text={value} marks={marks} />
      </Folded>
    );
  if (typeof value === "object")
    return (
      <Folded>
        <span className="mono">
          <Marked text={fullText(value)} marks={marks} />
        </span>
      </Folded>
    );
  return <>{cellText(value)}</>;
}

/** Return a function that names who speaks. */
export function useRoleLabel(): (role: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    system: t`System`,
    user: t`User`,
    assistant: t`Assistant`,
    tool: t`Tool`,
  };
  return (role) => labels[role] ?? role;
}

function Conversation({ messages, marks }: { messages: Message[]; marks: readonly Mark[] }) {
  const label = useRoleLabel();
  return (
    <ol className={classes.turns}>
      {messages.map(({ role, content }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: turns never change their order
        <li key={index} className={classes.turn} data-role={role}>
          <span className={classes.role}>{label(role)}</span>
          <Folded>
            <Marked text={content} marks={marks} />
          </Folded>
        </li>
      ))}
    </ol>
  );
}

/** Two answers beside each other; what only one of them says is marked. */
function Pair({ chosen, rejected }: { chosen: unknown; rejected: unknown }) {
  const { t } = useLingui();
  const sides = [turns(chosen, "assistant"), turns(rejected, "assistant")] as const;
  // The last turns are what differs; the turns before are the same question.
  const texts = sides.map((side) => side.at(-1)?.content ?? "") as [string, string];
  const pieces = wordDiff(...texts);
  return (
    <div className={classes.pair}>
      <Side title={t`Chosen`} tone="good" before={sides[0].slice(0, -1)} pieces={pieces.before} />
      <Side title={t`Rejected`} tone="bad" before={sides[1].slice(0, -1)} pieces={pieces.after} />
    </div>
  );
}

interface SideProps {
  title: string;
  tone: "good" | "bad";
  before: Message[];
  pieces: readonly Piece[];
}

function Side({ title, tone, before, pieces }: SideProps) {
  return (
    <section className={classes.side} aria-label={title}>
      <h3 className={classes.sideTitle} data-tone={tone}>
        {title}
      </h3>
      {before.length > 0 && <Conversation messages={before} marks={[]} />}
      <Folded>
        <Pieces pieces={pieces} tone={tone} />
      </Folded>
    </section>
  );
}

/** A text whose own parts are marked as added or removed. */
export function Pieces({ pieces, tone }: { pieces: readonly Piece[]; tone: "good" | "bad" }) {
  let start = 0;
  return (
    <>
      {pieces.map(({ text, own }) => {
        const key = start;
        start += text.length;
        if (!own) return <span key={key}>{text}</span>;
        const Tag = tone === "good" ? "ins" : "del";
        return (
          <Tag key={key} className={classes.own} data-tone={tone}>
            {text}
          </Tag>
        );
      })}
    </>
  );
}
