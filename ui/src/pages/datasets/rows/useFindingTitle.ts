import { useLingui } from "@lingui/react/macro";
import type { Report } from "@/api/reports";

/** Return a function that says a finding of the report in the user's language. */
export function useFindingTitle(report: Report | undefined): (code: string) => string {
  const { i18n } = useLingui();
  const chinese = i18n.locale.startsWith("zh");
  return (code) => {
    const finding = report?.findings.find((each) => each.code === code);
    return (chinese ? finding?.message_zh : finding?.message) ?? code;
  };
}
