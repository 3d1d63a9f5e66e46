import { useLingui } from "@lingui/react/macro";
import { Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useDeferredValue, useState } from "react";
import { type Licence, useLicences } from "@/api/licences";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";

interface Row extends Licence {
  part: "python" | "page";
}

/** The packages of the platform with their licences, and a search among them. */
export function Licences() {
  const { t } = useLingui();
  const { data, error, refetch } = useLicences();
  const [typed, setTyped] = useState("");
  const wanted = useDeferredValue(typed).trim().toLocaleLowerCase();
  const rows = data && [...named(data.python, "python"), ...named(data.page, "page")];
  const columns: Column<Row>[] = [
    { id: "name", header: t`Package`, cell: ({ name }) => name, primary: true },
    { id: "version", header: t`Version`, cell: ({ version }) => version },
    { id: "licence", header: t`Licence`, cell: ({ licence }) => licence },
    {
      id: "part",
      header: t`Part`,
      cell: ({ part }) => (part === "page" ? t`Web interface` : t`Python`),
    },
  ];
  return (
    <FormSection
      title={t`Licences`}
      description={t`The packages that this installation consists of, and the licences that they name.`}
    >
      <TextInput
        size="xs"
        w={280}
        leftSection={<IconSearch size={14} />}
        placeholder={t`Package or licence`}
        aria-label={t`Package or licence`}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Licences`}
          columns={columns}
          rows={rows?.filter(({ name, licence }) =>
            `${name} ${licence}`.toLocaleLowerCase().includes(wanted),
          )}
          rowKey={({ part, name, version }) => `${part} ${name} ${version}`}
          empty={<Text size="sm">{t`No package matches.`}</Text>}
        />
      )}
    </FormSection>
  );
}

function named(packages: Licence[], part: Row["part"]): Row[] {
  return packages.map((found) => ({ ...found, part }));
}
