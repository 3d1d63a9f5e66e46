import { useLingui } from "@lingui/react/macro";
import type { FixAction, Severity } from "@/api/reports";

/** Return a function that names the shape of rows. */
export function useShapeLabel(): (shape: string | null) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    chat: t`Conversations`,
    sharegpt: t`Conversations (ShareGPT)`,
    preference: t`Preference pairs`,
    alpaca: t`Instructions`,
    prompt_completion: t`Prompts and answers`,
    classification: t`Texts with labels`,
    unpaired_preference: t`Answers labelled good or bad`,
    embedding_pairs: t`Texts that belong together`,
    scored_pairs: t`Pairs of texts with a score`,
    text: t`Plain text`,
    table: t`Table`,
  };
  return (shape) => (shape ? (labels[shape] ?? shape) : "–");
}

/** Return a function that names how serious a finding is. */
export function useSeverityLabel(): (severity: Severity) => string {
  const { t } = useLingui();
  const labels: Record<Severity, string> = {
    error: t`Error`,
    warning: t`Warning`,
    info: t`Hint`,
  };
  return (severity) => labels[severity];
}

/** Return a function that says what a fix does. */
export function useFixLabel(): (action: FixAction) => string {
  const { t } = useLingui();
  const labels: Record<FixAction, string> = {
    drop: t`Remove these rows`,
    deduplicate: t`Keep one of each`,
    mask: t`Mask personal data`,
    repair: t`Repair the encoding`,
    strip: t`Strip markup`,
    trim: t`Trim`,
    rebalance: t`Balance the labels`,
  };
  return (action) => labels[action];
}

/** Return a function that names what a version was made by. */
export function useOperationLabel(): (madeBy: Record<string, unknown> | null) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    patch: t`Rows changed`,
    filter: t`Filtered`,
    fix: t`Fixed`,
    map: t`Columns mapped`,
    split: t`Split`,
    restore: t`Restored`,
    append: t`Rows appended`,
    upsert: t`Rows updated`,
    delete: t`Rows deleted`,
  };
  return (madeBy) => {
    const operation = madeBy?.operation ?? madeBy?.mode;
    return typeof operation === "string" ? (labels[operation] ?? operation) : t`Uploaded`;
  };
}
