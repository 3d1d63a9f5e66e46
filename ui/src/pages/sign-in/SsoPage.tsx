import { useLingui } from "@lingui/react/macro";
import { Stack, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useSsoSignIn } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageSkeleton } from "@/design/Skeletons";
import { EntryFrame } from "./EntryFrame";
import { localPath } from "./next";
import { takeBegun } from "./sso";

interface Props {
  code: string | undefined;
  state: string | undefined;
  error: string | undefined;
}

/** Where single sign-on comes back to. */
export function SsoPage({ code, state, error }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const { mutate, error: refusal } = useSsoSignIn();
  const begun = useRef<ReturnType<typeof takeBegun> | undefined>(undefined);
  useEffect(() => {
    if (begun.current !== undefined) return;
    begun.current = takeBegun(state);
    const target = begun.current;
    if (!target || !code) {
      if (!error) void navigate({ to: "/sign-in" });
      return;
    }
    mutate(
      { code, code_verifier: target.verifier },
      { onSuccess: () => void navigate({ to: localPath(target.next), replace: true }) },
    );
  }, [code, state, error, mutate, navigate]);
  return (
    <EntryFrame title={t`Single sign-on`}>
      <Stack gap="md">
        {!error && !refusal && <PageSkeleton />}
        <ErrorNotice error={refusal} />
        {error && <Text>{t`The provider did not sign you in: ${error}`}</Text>}
        {(error || refusal) && <AnchorLink to="/sign-in">{t`Back to the sign-in`}</AnchorLink>}
      </Stack>
    </EntryFrame>
  );
}
