import { useLingui } from "@lingui/react/macro";
import { Alert, Loader, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { estimateOptions } from "@/api/estimates";
import { ErrorNotice } from "@/design/ErrorNotice";
import { EstimateResult } from "../tasks/EstimateResult";

interface Props {
  estimate: string;
  /** Whether the form has changed since. */
  outdated: boolean;
}

/** The estimate that was made of the form, or how it stands. */
export function EstimatePanel({ estimate, outdated }: Props) {
  const { t } = useLingui();
  const { data, error } = useQuery(estimateOptions(estimate));
  const open = data?.status === "pending" || data?.status === "running";
  return (
    <section aria-live="polite" aria-label={t`Estimate`}>
      <Title order={2} mt="lg" mb="sm">{t`Estimate`}</Title>
      <ErrorNotice error={error} />
      {outdated && (
        <Alert color="gray" variant="outline" mb="sm">
          {t`The settings have changed since this estimate.`}
        </Alert>
      )}
      {open && (
        <p className="secondary">
          <Loader size={14} mr="xs" />
          {data?.status === "pending"
            ? t`Waiting for a worker.`
            : t`Reading the rows and, if there is no earlier training, measuring a few steps.`}
        </p>
      )}
      {data?.error_message && (
        <Alert color="red" variant="outline">
          {data.error_message}
        </Alert>
      )}
      {data?.result && <EstimateResult estimate={data.result} />}
    </section>
  );
}
