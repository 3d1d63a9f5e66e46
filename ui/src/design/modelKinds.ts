import { useLingui } from "@lingui/react/macro";
import type { Model } from "@/api/types";

/** Return the names of the kinds of models, as in the middle of a sentence. */
export function useModelKinds(): Record<Model["kind"], string> {
  const { t } = useLingui();
  return {
    classifier: t`classifier`,
    encoder: t`encoder`,
    language_model: t`language model`,
    reward_model: t`reward model`,
  };
}
