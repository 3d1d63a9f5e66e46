import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { binOptions } from "@/api/projectSettings";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { BinTable } from "./BinTable";

/** Deleted projects. The list has only those that the user may restore and purge. */
export function BinPage() {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(binOptions);
  return (
    <>
      <PageHeader
        title={t`Deleted projects`}
        crumbs={[
          <AnchorLink key="projects" to="/projects">
            {t`Projects`}
          </AnchorLink>,
        ]}
        lead={t`A restored project comes back with its members and all that was in it. Its tasks stay cancelled.`}
      />
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && <BinTable items={data?.items} canRestore={() => true} canPurge />}
    </>
  );
}
