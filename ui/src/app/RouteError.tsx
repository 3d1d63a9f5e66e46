import { useLingui } from "@lingui/react/macro";
import { IconMapOff } from "@tabler/icons-react";
import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { ProblemError } from "@/api/problem";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ButtonLink } from "@/design/links";

/** Shown instead of a page that could not be loaded. */
export function RouteError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  if (error instanceof ProblemError && error.status === 404) return <NotFound />;
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return <ErrorNotice error={error} onRetry={retry} />;
}

export function NotFound() {
  const { t } = useLingui();
  return (
    <EmptyState
      icon={<IconMapOff size={32} stroke={1.5} />}
      title={t`There is nothing here, or you may not see it`}
      action={<ButtonLink to="/" variant="default">{t`Go to the home page`}</ButtonLink>}
    >
      {t`The address may be mistyped, the thing may be deleted, or it belongs to a project that you are not a member of.`}
    </EmptyState>
  );
}
