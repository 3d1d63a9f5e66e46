import { useLingui } from "@lingui/react/macro";
import { Title } from "@mantine/core";
import type { Schema } from "@/api/types";
import { DataTable } from "@/design/table/DataTable";
import { Num } from "@/design/values";

type Compared = Schema<"ComparedData">;

/** Evaluation data and benchmarks, and how much of them was found among the rows. */
export function ComparedWith({ compared }: { compared: readonly Compared[] }) {
  const { t, i18n } = useLingui();
  if (compared.length === 0) return null;
  const chinese = i18n.locale.startsWith("zh");
  const found = (each: Compared) =>
    each.role === "benchmark"
      ? (each.contaminated ?? 0)
      : (each.exact ?? 0) + (each.question ?? 0) + (each.near ?? 0);
  return (
    <>
      <Title order={2} mt="lg" mb="sm">
        {t`Compared with other data`}
      </Title>
      <DataTable
        label={t`Compared with other data`}
        rows={[...compared]}
        rowKey={(each) => `${each.role}-${each.label}`}
        columns={[
          { id: "label", header: t`Data`, primary: true, cell: (each) => each.label },
          {
            id: "role",
            header: t`As`,
            width: 150,
            cell: (each) => (each.role === "benchmark" ? t`Benchmark` : t`Evaluation data`),
          },
          {
            id: "rows",
            header: t`Rows`,
            align: "right",
            width: 100,
            cell: (each) => <Num value={each.rows} />,
          },
          {
            id: "found",
            header: t`Found here`,
            align: "right",
            width: 120,
            cell: (each) => <Num value={found(each)} />,
          },
          {
            id: "method",
            header: t`How`,
            cell: (each) => (
              <span className="secondary" title={chinese ? each.method_zh : each.method}>
                {chinese ? each.method_zh : each.method}
              </span>
            ),
          },
        ]}
      />
    </>
  );
}
