import { useEffect, useState } from "react";

/**
 * State of a form that survives a reload, until it is submitted.
 *
 * Never keep passwords or secrets in it: drafts are readable by everyone who uses the browser.
 */
export function useDraft<Draft extends object>(
  name: string,
  initial: Draft,
): [Draft, (draft: Draft) => void, () => void] {
  const key = `aiplatform.draft.${name}`;
  const [draft, setDraft] = useState<Draft>(() => readDraft(key, initial));
  useEffect(() => {
    try {
      sessionStorage.setItem(key, JSON.stringify(draft));
    } catch {
      // A full store loses the draft on a reload; the form itself goes on.
    }
  }, [key, draft]);
  const clear = () => {
    sessionStorage.removeItem(key);
    setDraft(initial);
  };
  return [draft, setDraft, clear];
}

function readDraft<Draft extends object>(key: string, initial: Draft): Draft {
  const text = sessionStorage.getItem(key);
  if (!text) return initial;
  try {
    return { ...initial, ...(JSON.parse(text) as Partial<Draft>) };
  } catch {
    return initial;
  }
}
