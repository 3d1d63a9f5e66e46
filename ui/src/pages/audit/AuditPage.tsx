import { useLingui } from "@lingui/react/macro";
import { Button, Group, Menu, SegmentedControl, Select, TextInput } from "@mantine/core";
import { IconActivity, IconDownload, IconSearch } from "@tabler/icons-react";
import { useMemo } from "react";
import { type AuditFilter, auditExport, type Outcome, useAudit } from "@/api/audit";
import { codeOf, ProblemError } from "@/api/problem";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FilterInput } from "@/design/filter/FilterInput";
import { PageHeader } from "@/design/PageHeader";
import { TableSkeleton } from "@/design/Skeletons";
import { AuditTimeline } from "./AuditTimeline";
import { sinceOf } from "./days";
import { EntryDrawer } from "./EntryDrawer";
import { useOutcomeLabel } from "./Outcome";
import type { AuditSearch, Range } from "./search";
import { Verification } from "./Verification";

interface Props {
  search: AuditSearch;
  onSearch: (search: AuditSearch) => void;
}

const FIELDS = ["user", "action", "outcome", "resource_type", "resource", "project", "created"];

/** Who did what, when, from where, and with what outcome. */
export function AuditPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const since = useMemo(() => sinceOf(search.range, Date.now()), [search.range]);
  const filter: AuditFilter = {
    filter: search.filter,
    text: search.text,
    outcome: search.outcome,
    since,
  };
  const list = useAudit(filter);
  const entries = list.data?.pages.flatMap((page) => page.items);
  const misread = codeOf(list.error) === "request.invalid_filter";
  return (
    <>
      <PageHeader
        title={t`Audit`}
        lead={t`Who did what, when, from where, and with what outcome. Entries can't be changed or deleted here.`}
        actions={<Export filter={filter} />}
      />
      <Filters
        search={search}
        onSearch={onSearch}
        error={
          misread && list.error instanceof ProblemError ? list.error.problem.detail : undefined
        }
      />
      {!misread && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {!entries && !list.error && <TableSkeleton />}
      {entries?.length === 0 && (
        <EmptyState
          icon={<IconActivity size={32} stroke={1.5} />}
          title={t`No entry matches these filters`}
          action={
            <Button variant="default" onClick={() => onSearch({})}>
              {t`Clear the filters`}
            </Button>
          }
        >
          {t`A filter consists of comparisons, such as action contains "delete" and user = "lin".`}
        </EmptyState>
      )}
      {entries && !list.error && (
        <AuditTimeline
          entries={entries}
          shown={search.entry}
          onShow={(entry) => onSearch({ ...search, entry: entry.uuid ?? undefined })}
        />
      )}
      {list.hasNextPage && (
        <Button
          mt="md"
          variant="subtle"
          loading={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {t`Load more`}
        </Button>
      )}
      <Verification />
      <EntryDrawer
        entry={entries?.find(({ uuid }) => uuid !== null && uuid === search.entry)}
        onClose={() => onSearch({ ...search, entry: undefined })}
        onFilter={(wanted) => onSearch({ filter: wanted })}
      />
    </>
  );
}

interface FilterProps extends Props {
  /** Why the filter can't be read. */
  error: string | undefined;
}

function Filters({ search, onSearch, error }: FilterProps) {
  const { t } = useLingui();
  const outcomeLabel = useOutcomeLabel();
  return (
    <Group mb="md" gap="sm" align="flex-start">
      <FilterInput
        value={search.filter ?? ""}
        fields={FIELDS}
        width={420}
        placeholder={'action contains "delete"'}
        error={error}
        onApply={(filter) => onSearch({ ...search, filter: filter || undefined, entry: undefined })}
      />
      <TextInput
        size="xs"
        w={180}
        leftSection={<IconSearch size={14} />}
        placeholder={t`Words in details`}
        aria-label={t`Words in details`}
        maxLength={200}
        value={search.text ?? ""}
        onChange={(event) => onSearch({ ...search, text: event.currentTarget.value || undefined })}
      />
      <Select
        size="xs"
        w={140}
        clearable
        placeholder={t`Any outcome`}
        aria-label={t`Outcome`}
        value={search.outcome ?? null}
        onChange={(value) =>
          onSearch({ ...search, outcome: (value ?? undefined) as Outcome | undefined })
        }
        data={(["success", "denied", "failure"] as const).map((value) => ({
          value,
          label: outcomeLabel(value),
        }))}
      />
      <SegmentedControl
        size="xs"
        aria-label={t`Time`}
        value={search.range ?? "all"}
        onChange={(value) =>
          onSearch({ ...search, range: value === "all" ? undefined : (value as Range) })
        }
        data={[
          { value: "1d", label: t`1 day` },
          { value: "7d", label: t`7 days` },
          { value: "30d", label: t`30 days` },
          { value: "all", label: t`All` },
        ]}
      />
    </Group>
  );
}

function Export({ filter }: { filter: AuditFilter }) {
  const { t } = useLingui();
  return (
    <Menu>
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={16} />}>
          {t`Export`}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item component="a" href={auditExport("jsonl", filter)} download>
          {t`JSON lines, with proofs`}
        </Menu.Item>
        <Menu.Item component="a" href={auditExport("csv", filter)} download>
          {t`CSV, for spreadsheets`}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
