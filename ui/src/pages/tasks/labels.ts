import { useLingui } from "@lingui/react/macro";

/** Return the name of each type of task. */
export function useTypeLabel(): (type: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    training: t`Training`,
    estimate: t`Estimate`,
    evaluation: t`Evaluation`,
    data_quality: t`Quality report`,
    data_fix: t`Dataset fix`,
    dataset_import: t`Dataset import`,
    model_import: t`Model import`,
    inference: t`Deployment`,
    script: t`Script`,
    external: t`External run`,
  };
  return (type) => labels[type] ?? type;
}
