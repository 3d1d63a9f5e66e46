import { useLingui } from "@lingui/react/macro";
import { Alert, Button, Group, Text } from "@mantine/core";
import { IconAlertTriangle, IconPlugConnectedX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { ConnectionError, ProblemError } from "@/api/problem";

interface Props {
  error: unknown;
  /** Tries again what failed. */
  onRetry?: () => void;
  /** The button of what to do next, where the page knows it. */
  action?: ReactNode;
}

/** Say what went wrong and what to do: the API's own words, or that there is no connection. */
export function ErrorNotice({ error, onRetry, action }: Props) {
  const { t } = useLingui();
  if (!error) return null;
  const lost = error instanceof ConnectionError;
  const title = error instanceof ProblemError ? error.problem.title : t`This did not work`;
  const detail =
    error instanceof ProblemError
      ? error.problem.detail
      : t`The page could not be shown. Reload it; if that does not help, tell your administrator.`;
  return (
    <Alert
      role="alert"
      color="red"
      variant="outline"
      icon={lost ? <IconPlugConnectedX aria-hidden /> : <IconAlertTriangle aria-hidden />}
      title={lost ? t`The platform does not answer` : title}
    >
      <Text size="sm">
        {lost
          ? t`Your input is kept. Check the connection, or wait until the platform is back.`
          : detail}
      </Text>
      {(onRetry || action) && (
        <Group mt="sm" gap="sm">
          {onRetry && (
            <Button variant="default" onClick={onRetry}>
              {t`Try again`}
            </Button>
          )}
          {action}
        </Group>
      )}
    </Alert>
  );
}
