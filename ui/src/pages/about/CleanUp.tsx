import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { useCollectGarbage } from "@/api/health";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { Size } from "@/design/values";

/** Free storage that nothing refers to any more. */
export function CleanUp() {
  const { t } = useLingui();
  const collect = useCollectGarbage();
  const done = collect.data;
  return (
    <FormSection
      title={t`Clean up the storage`}
      description={t`Workers do this from time to time. What a version, model or task still needs is never touched.`}
    >
      <Group gap="sm">
        <Button
          variant="default"
          loading={collect.isPending && collect.variables.dry_run}
          onClick={() => collect.mutate({ dry_run: true })}
        >
          {t`See what would be freed`}
        </Button>
        <Button
          variant="default"
          loading={collect.isPending && !collect.variables.dry_run}
          onClick={() => collect.mutate({ dry_run: false })}
        >
          {t`Clean up now`}
        </Button>
      </Group>
      {done && (
        <Text size="sm" component="div" role="status">
          {done.dry_run ? t`Would be deleted now:` : t`Deleted:`}{" "}
          <Plural value={done.deleted.count} one="# file" other="# files" />,{" "}
          <Size bytes={done.deleted.size} />. {t`Marked, and deleted after a delay:`}{" "}
          <Plural value={done.marked.count} one="# file" other="# files" />,{" "}
          <Size bytes={done.marked.size} />.
        </Text>
      )}
      <ErrorNotice error={collect.error} />
    </FormSection>
  );
}
