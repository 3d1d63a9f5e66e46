import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type Compared, reportChangesOptions } from "@/api/reports";
import type { Dataset, Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { formatPercent } from "@/design/format";
import { TableSkeleton } from "@/design/Skeletons";
import { DataTable } from "@/design/table/DataTable";

interface Props {
  dataset: Dataset;
  version: string;
  compared: Compared;
}

type Change = Schema<"FindingChange">;

/** What got better and what got worse since another report. */
export function ReportChanges({ dataset, version, compared }: Props) {
  const { t, i18n } = useLingui();
  const { data, error, refetch } = useQuery(reportChangesOptions(dataset.uuid, version, compared));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton />;
  const chinese = i18n.locale.startsWith("zh");
  const words: Record<Change["change"], string> = {
    new: t`new`,
    worse: t`worse`,
    not_checked: t`not checked in both`,
    same: t`the same`,
    better: t`better`,
    gone: t`gone`,
  };
  const facts = (each: Change["before"]) =>
    each ? `${each.count ?? "–"} (${formatPercent(each.share ?? 0, i18n.locale)})` : "–";
  const figure = (value: number | null) => (value === null ? "–" : i18n.number(value));
  return (
    <>
      <Figures
        items={[
          {
            label: t`Score`,
            value: `${figure(data.score.before)} → ${figure(data.score.after)}`,
          },
          { label: t`Rows`, value: `${figure(data.rows.before)} → ${figure(data.rows.after)}` },
        ]}
      />
      <DataTable
        label={t`Changes between the reports`}
        rows={data.findings}
        rowKey={(each) => `${each.code}-${each.column}`}
        columns={[
          {
            id: "finding",
            header: t`Finding`,
            primary: true,
            cell: (each) => (chinese ? each.message_zh : each.message) ?? each.code,
          },
          {
            id: "change",
            header: t({ message: "Change", context: "report" }),
            width: 160,
            cell: (each) => words[each.change],
          },
          {
            id: "before",
            header: data.before,
            width: 140,
            align: "right",
            cell: (each) => facts(each.before),
          },
          {
            id: "after",
            header: data.after,
            width: 140,
            align: "right",
            cell: (each) => facts(each.after),
          },
        ]}
        empty={<Text c="dimmed">{t`Neither report found anything.`}</Text>}
      />
    </>
  );
}
